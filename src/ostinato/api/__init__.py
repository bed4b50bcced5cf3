"""The Python interface: train, load, and a model one can write and score with."""

from ostinato.api.model import Model, TokenProbability, load
from ostinato.api.training import train, train_task
from ostinato.generation.request import WriteOptions

__all__ = ["Model", "TokenProbability", "WriteOptions", "load", "train", "train_task"]
