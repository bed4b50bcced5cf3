"""Two ways of cutting a long text into minibatches, shown on the integers 0 to 29: batch 2, 6 time steps.

Expected: random pieces never overlap and come in a new order each epoch; in consecutive sampling every row
continues the same row of the minibatch before, so the hidden state can be carried (and is detached: no
gradient through the border).
"""

import numpy as np

from ostinato.batching import minibatches


def show(row: np.ndarray) -> str:
    return " ".join(f"{number:2}" for number in row)


def main() -> None:
    ids = np.arange(30, dtype=np.uint16)
    for sampling in ("random", "consecutive"):
        batches = minibatches(sampling, ids, batch_size=2, window=6, seed=1)
        print(f"{sampling}: {len(batches)} minibatches, carry the hidden state: {batches.carries_state}")
        for x, y in batches:
            assert (y == x + 1).all()  # the target is always one step ahead
            print("\n".join(f"  x {show(a)}   y {show(b)}" for a, b in zip(x, y, strict=True)), end="\n\n")

    (first, _), (second, _) = minibatches("consecutive", ids, batch_size=2, window=6)
    print("consecutive rows continue:", (second[:, 0] == first[:, -1] + 1).all())
    seen = np.concatenate([x.ravel() for x, _ in minibatches("random", ids, batch_size=2, window=6, seed=1)])
    print("random pieces do not overlap:", len(set(seen.tolist())) == len(seen))
    starts = [[int(x[0, 0]) for x, _ in minibatches("random", ids, batch_size=2, window=6, epoch=e)] for e in range(8)]
    print("a new order each epoch:", len({tuple(s) for s in starts}) > 1)


if __name__ == "__main__":
    main()
