"""The context-mixing model: counters of many contexts, mixed decision by decision; trained in seconds, no network."""

from ostinato.kernels.mixing import is_compiled
from ostinato.mixing.fit import LARGEST_VOCABULARY, fit_mixing
from ostinato.mixing.model import MixingModel
from ostinato.mixing.saved import from_tensors, to_tensors

__all__ = ["LARGEST_VOCABULARY", "MixingModel", "fit_mixing", "from_tensors", "is_compiled", "to_tensors"]
