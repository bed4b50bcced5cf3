"""n-gram models: counts, smoothing, ARPA files; a cache; and mixtures of any models."""

from ostinato.ngram.arpa import save_arpa, token_names, write_arpa
from ostinato.ngram.arpa_reader import read_arpa
from ostinato.ngram.cache import UnigramCache
from ostinato.ngram.continuous import ContinuousCache, HiddenStates
from ostinato.ngram.fit import SMOOTHINGS, fit_ngram, from_arrays, load_ngram, unseen_note
from ostinato.ngram.gated import GatedMixture, Heard, cross_fit_gate, fit_gate, hear, mixed_scores, untrained
from ostinato.ngram.mixture import (
    Mixture,
    SavedPart,
    cache_part,
    continuous_part,
    cross_fit,
    fit_weights,
    join_gated,
    join_parts,
    load_mixture,
    middle_of,
    mix,
)
from ostinato.ngram.model import NgramModel

__all__ = [
    "SMOOTHINGS",
    "ContinuousCache",
    "GatedMixture",
    "Heard",
    "HiddenStates",
    "Mixture",
    "NgramModel",
    "SavedPart",
    "UnigramCache",
    "cache_part",
    "continuous_part",
    "cross_fit",
    "cross_fit_gate",
    "fit_gate",
    "fit_ngram",
    "fit_weights",
    "from_arrays",
    "hear",
    "join_gated",
    "join_parts",
    "load_mixture",
    "load_ngram",
    "middle_of",
    "mix",
    "mixed_scores",
    "read_arpa",
    "save_arpa",
    "token_names",
    "unseen_note",
    "untrained",
    "write_arpa",
]
