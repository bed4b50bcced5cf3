"""A tiny lyric generator: train on the bundled lyrics, look at the loss, write on from two words, and check for
copies.

Only 60 steps on 20,000 characters, to be quick: give it minutes=3 and no limit to see real lines.
Expected: a held-out perplexity far below the vocabulary size; greedy, top-k and sampled text (lines that
begin with >).
"""

import ostinato
from ostinato.training.metrics import read_metrics

SETTINGS = {
    "text.limit": 20_000,
    "model.cell": "gru",
    "model.hidden_size": 96,
    "model.mixture": "none",  # the network alone
    "training.clip": 5.0,
    "training.batch_size": 16,
    "training.window": 32,
    "training.learning_rate": 0.01,
    "training.precision": "fp32",
}


def main() -> None:
    model = ostinato.train("lyrics-zh", steps=60, seed=1, settings=SETTINGS, device="cpu", progress=False)
    for row in read_metrics(model.path.parent / "metrics.jsonl"):
        if row["heldout_loss"] is not None:
            print(
                f"step {row['step']:3}: training loss {row['train_loss']:.2f}, held-out loss {row['heldout_loss']:.2f}"
            )
    heldout = model.config["evaluation"]["held-out"]["perplexity"]
    print(f"vocabulary {model.tokenizer.vocabulary_size}, held-out perplexity {heldout:.0f}")

    for prompt in ("分开", "天晴"):
        for name, how in (("greedy", {"temperature": 0.0}), ("top-k", {"top_k": 5}), ("sampled", {"temperature": 0.8})):
            written = model.write(prompt, tokens=24, seed=7, **how)
            print(f"> {name:8}{written!r}")
    longest = model.novelty(written).longest
    print(f"> the longest copy from the training text: {longest.length if longest else 0} characters")


if __name__ == "__main__":
    main()
