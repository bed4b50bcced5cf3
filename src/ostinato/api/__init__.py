"""The Python interface: train or load a model, then write and score with it."""

from ostinato.api.model import Model, TokenProbability, load
from ostinato.api.training import train, train_task
from ostinato.generation.request import WriteOptions

__all__ = ["Model", "TokenProbability", "WriteOptions", "load", "train", "train_task"]
