"""Writing with a model: requests, the batch, samplers, stops.

Names are loaded when they are first used: reading a tokenizer or asking for a text needs few of them.
"""

from typing import TYPE_CHECKING

from ostinato.lazy import lazily

if TYPE_CHECKING:
    from ostinato.generation.batch import Batch, BlockModel, stream, write
    from ostinato.generation.events import Event, Failed, Piece, Written
    from ostinato.generation.request import Search, TextModel, WriteOptions, WriteRequest
    from ostinato.generation.sampling import Sampler
    from ostinato.generation.stopping import Stop

__all__ = [
    "Batch",
    "BlockModel",
    "Event",
    "Failed",
    "Piece",
    "Sampler",
    "Search",
    "Stop",
    "TextModel",
    "WriteOptions",
    "WriteRequest",
    "Written",
    "stream",
    "write",
]

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(("Batch", "BlockModel", "stream", "write"), "ostinato.generation.batch"),
        **dict.fromkeys(("Event", "Failed", "Piece", "Written"), "ostinato.generation.events"),
        **dict.fromkeys(("Search", "TextModel", "WriteOptions", "WriteRequest"), "ostinato.generation.request"),
        "Sampler": "ostinato.generation.sampling",
        "Stop": "ostinato.generation.stopping",
    },
)
