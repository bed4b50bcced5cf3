"""n-gram models of n = 1, 2, 3 from counts, and their trade-off: longer contexts say more and are met more
rarely.

Expected: on the training text the perplexity falls with n, to almost nothing; on songs that were held out,
plain counts call more and more tokens impossible, and only smoothing makes the longer context pay.
"""

import tempfile

import numpy as np

from ostinato.evaluation import evaluate
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(["lyrics-zh"], TextSettings(limit=60_000), folder)
        train, heldout, V = corpus.train, corpus.heldout, corpus.tokenizer.vocabulary_size
        print(f"{train.tokens} tokens to count, {heldout.tokens} held out, vocabulary {V}")
        print("n  n-grams   counts: training  held-out  impossible   Kneser-Ney: held-out")
        for n in (1, 2, 3):
            counts = fit_ngram(train.ids, V, order=n, smoothing="maximum-likelihood")
            smooth = fit_ngram(train.ids, V, order=n, smoothing="kneser-ney")
            impossible = np.isneginf(counts.score(heldout.ids)).mean()
            print(
                f"{n} {sum(counts.sizes):8}"
                f"{evaluate(counts, train.ids, train.characters, 'training').perplexity:18.1f}"
                f"{evaluate(counts, heldout.ids, heldout.characters).perplexity:10.1f}{impossible:12.1%}"
                f"{evaluate(smooth, heldout.ids, heldout.characters).perplexity:23.1f}"
            )


if __name__ == "__main__":
    main()
