"""Writing with a model: freely, or in a given form.

Names are loaded when they are first used: reading a tokenizer or writing freely needs few of them.
"""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.generation.backward import write_backward
    from ostinato.generation.composing import Composed, compose
    from ostinato.generation.form import Form
    from ostinato.generation.loop import BlockModel, Piece, Written, generate, write
    from ostinato.generation.proposing import Proposer, next_lines
    from ostinato.generation.sampling import Sampler
    from ostinato.generation.stopping import Stop

__all__ = [
    "BlockModel",
    "Composed",
    "Form",
    "Piece",
    "Proposer",
    "Sampler",
    "Stop",
    "Written",
    "compose",
    "generate",
    "next_lines",
    "write",
    "write_backward",
]

__getattr__ = lazily(
    __name__,
    {
        "write_backward": "ostinato.generation.backward",
        "Composed": "ostinato.generation.composing",
        "compose": "ostinato.generation.composing",
        "Form": "ostinato.generation.form",
        "BlockModel": "ostinato.generation.loop",
        "Piece": "ostinato.generation.loop",
        "Written": "ostinato.generation.loop",
        "generate": "ostinato.generation.loop",
        "write": "ostinato.generation.loop",
        "Proposer": "ostinato.generation.proposing",
        "next_lines": "ostinato.generation.proposing",
        "Sampler": "ostinato.generation.sampling",
        "Stop": "ostinato.generation.stopping",
    },
)
