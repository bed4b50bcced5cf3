"""Writing and scoring one token at a time: the state stands for all that was read, so nothing is read twice.

Three ways to score a held-out text of 100 characters with one trained model: one step a token with the state
carried; all of the text again for every token, from an empty state; and the mixed-up way, all of it again
*into the carried state*.
Expected: the first two agree, at 100 and about 5,000 steps; the third pays as much for other probabilities
than those of the model that was trained.
"""

import math

import numpy as np

import ostinato
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.text import open_corpus

SETTINGS = {
    "text.limit": 50_000,
    "model.hidden_size": 96,
    "model.mixture": "none",  # the network alone
    "training.precision": "fp32",
    "training.learning_rate": 0.01,
}


def main() -> None:
    model = ostinato.train("lyrics-en", steps=100, seed=1, settings=SETTINGS, device="cpu", progress=False)
    ids = open_corpus(model.path.parent / "text").heldout.ids[:100]
    step_model, read, first = model.step_model, 0, []

    def step(token, state):  # type: ignore[no-untyped-def]
        nonlocal read
        read += 1
        return step_model.step(np.array([token], dtype=ids.dtype), state)

    def nats(logits: np.ndarray, token: int) -> float:
        row = logits[0].astype(np.float64)
        return float(np.logaddexp.reduce(row) - row[token])

    def report(name: str, costs: list[float]) -> None:
        away = np.abs(np.subtract(costs, first or costs)).max()
        print(f"{name:34} perplexity {math.exp(np.mean(costs)):.2f}, {read:,} steps, differs by up to {away:.3f} nats")

    before = [END_OF_DOCUMENT, *ids.tolist()]  # what stands before each token
    costs, state = [], step_model.initial_state(1)
    for token, target in zip(before, ids, strict=False):
        logits, state = step(token, state)
        costs.append(nats(logits, target))
    report("one step a token, state carried", costs)
    first = costs

    for name, carried in (("all again, from an empty state", False), ("all again, into the carried state", True)):
        costs, read, state = [], 0, step_model.initial_state(1)
        for t, target in enumerate(ids):
            if not carried:
                state = step_model.initial_state(1)
            for token in before[: t + 1]:
                logits, state = step(token, state)
            costs.append(nats(logits, target))
        report(name, costs)


if __name__ == "__main__":
    main()
