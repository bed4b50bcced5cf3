"""Cells over time: stacks, directions, dropout, and the backends that compute them."""

from ostinato.layers.backends import BACKENDS, Backend, RunLayer, RunStack, choose, select_backend
from ostinato.layers.dropout import dropout, embedding_dropout, weight_drop
from ostinato.layers.initialisation import INITIALISATIONS, initialisation, initialise, keep_one_bias, start_output_bias
from ostinato.layers.recurrent import GRU, LSTM, RNN, Recurrent, RecurrentState
from ostinato.layers.tied import shared

__all__ = [
    "BACKENDS",
    "GRU",
    "INITIALISATIONS",
    "LSTM",
    "RNN",
    "Backend",
    "Recurrent",
    "RecurrentState",
    "RunLayer",
    "RunStack",
    "choose",
    "dropout",
    "embedding_dropout",
    "initialisation",
    "initialise",
    "keep_one_bias",
    "select_backend",
    "shared",
    "start_output_bias",
    "weight_drop",
]
