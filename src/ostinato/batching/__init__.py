"""Minibatches over an array of token ids: random, consecutive, and sliding-window sampling."""

from ostinato.batching.samplers import Minibatches, minibatches
from ostinato.batching.shuffle import Shuffle

__all__ = ["Minibatches", "Shuffle", "minibatches"]
