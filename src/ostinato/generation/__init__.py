"""Writing with a model: the loop, samplers, stops.

Names are loaded when they are first used: reading a tokenizer or writing freely needs few of them.
"""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.generation.backward import write_backward
    from ostinato.generation.loop import BlockModel, Piece, Written, generate, write
    from ostinato.generation.sampling import Sampler
    from ostinato.generation.stopping import Stop

__all__ = [
    "BlockModel",
    "Piece",
    "Sampler",
    "Stop",
    "Written",
    "generate",
    "write",
    "write_backward",
]

__getattr__ = lazily(
    __name__,
    {
        "write_backward": "ostinato.generation.backward",
        "BlockModel": "ostinato.generation.loop",
        "Piece": "ostinato.generation.loop",
        "Written": "ostinato.generation.loop",
        "generate": "ostinato.generation.loop",
        "write": "ostinato.generation.loop",
        "Sampler": "ostinato.generation.sampling",
        "Stop": "ostinato.generation.stopping",
    },
)
