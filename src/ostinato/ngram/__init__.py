"""n-gram models: counts, smoothing, ARPA files."""

from ostinato.ngram.arpa import token_names, write_arpa
from ostinato.ngram.arpa_reader import read_arpa
from ostinato.ngram.fit import SMOOTHINGS, fit_ngram, from_arrays, unseen_note
from ostinato.ngram.model import NgramModel

__all__ = [
    "SMOOTHINGS",
    "NgramModel",
    "fit_ngram",
    "from_arrays",
    "read_arpa",
    "token_names",
    "unseen_note",
    "write_arpa",
]
