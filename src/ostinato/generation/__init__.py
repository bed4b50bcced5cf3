"""Writing with a model: freely, or in a given form."""

from ostinato.generation.backward import write_backward
from ostinato.generation.compose import Composed, compose, next_lines
from ostinato.generation.form import Form
from ostinato.generation.loop import BlockModel, Piece, Written, generate, write
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop

__all__ = [
    "BlockModel",
    "Composed",
    "Form",
    "Piece",
    "Sampler",
    "Stop",
    "Written",
    "compose",
    "generate",
    "next_lines",
    "write",
    "write_backward",
]
