"""The Python interface: train, load, and a model one can write and score with."""

from ostinato.api.model import Model, WriteOptions, load
from ostinato.api.training import measure_int8, train

__all__ = ["Model", "WriteOptions", "load", "measure_int8", "train"]
