"""Counts, a window, a state: three ways of knowing what came before, on 50,000 characters and held-out songs.

Expected: the more tokens the window holds, the better it predicts and the more weights it has. The recurrent
network does better with no window at all: its weights do not grow with what it remembers. On so little text
counting still wins.
"""

import tempfile
from pathlib import Path
from typing import Any

import ostinato

TEXT = {"text.limit": 50_000}
NETWORK = {
    **TEXT,
    "model.hidden_size": 128,
    "model.embedding_size": 32,
    "model.dropout": 0.1,
    "model.mixture": "none",  # networks alone
    "training.batch_size": 8,
    "training.window": 32,
    "training.evaluate_every": 3,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def train(name: str, **options: Any) -> None:
            model = ostinato.train("lyrics-en", out=Path(folder) / name, progress=False, **options)
            heldout = model.config["evaluation"]["held-out"]
            numbers = sum(tensor.size for tensor in model.tensors.values())
            print(f"{name:13}{heldout['perplexity']:10.2f}{heldout['bits_per_character']:10.3f}{numbers:12,}")

        print("             perplexity  bits/char     numbers")
        for n in (2, 3, 5):
            train(f"{n}-grams", recipe="kneser-ney", settings={**TEXT, "ngram.order": n})
        for n in (2, 4, 8):
            train(f"window of {n}", epochs=9, settings={**NETWORK, "model.context": n})
        train("LSTM", epochs=9, settings=NETWORK)


if __name__ == "__main__":
    main()
