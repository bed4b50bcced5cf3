"""Writing with a model: sampling, stopping, and the loop that carries the state."""

from ostinato.generation.loop import BlockModel, Piece, Written, generate, write
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Stop

__all__ = ["BlockModel", "Piece", "Sampler", "Stop", "Written", "generate", "write"]
