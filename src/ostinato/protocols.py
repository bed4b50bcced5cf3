"""The two contracts between the rooms: what reads text and what continues it."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Ids: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
State: TypeAlias = Any

END_OF_DOCUMENT = 0
"""Id of the reserved token that ends every document and is the context every text starts from."""


@runtime_checkable
class StepModel(Protocol):
    """Whatever can continue or score a sequence of token ids.

    States are explicit values: `step` returns a new one and leaves the one it was given as it was, so that a state
    can be kept, copied (`copy.deepcopy`), compared and used again. A new text starts with
    `step([END_OF_DOCUMENT] * batch, initial_state(batch))`.
    """

    @property
    def vocabulary_size(self) -> int:
        """V, the number of token ids: ids lie in 0 .. V-1."""
        ...

    def initial_state(self, batch: int) -> State:
        """The state of `batch` rows that have read nothing yet."""
        ...

    def step(self, ids: Ids, state: State) -> tuple[Floats, State]:
        """Read one token a row. `ids`: (batch,). Returns logits (batch, V), float32 or float64, and the new state.

        Logits are natural-log scores up to a constant a row: softmax(logits) is the next token's distribution.
        """
        ...

    def select(self, state: State, rows: npt.NDArray[np.intp]) -> State:
        """The state of the given rows, in that order; rows may repeat (to branch) or be absent (to drop)."""
        ...

    def score(self, ids: Ids) -> npt.NDArray[np.float64]:
        """log P(ids[t] | END_OF_DOCUMENT, ids[:t]) in nats for every t. `ids`: (T,). Returns (T,) float64.

        Recurrent models carry their state over END_OF_DOCUMENT tokens inside `ids`; n-gram models start afresh there.
        """
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back. Never fails on a valid string and never loses anything: decode(encode(s)) == s."""

    @property
    def kind(self) -> str:
        """`character`, `word`, `byte` or `whitespace`."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """V, the number of ids, END_OF_DOCUMENT (0) among them."""
        ...

    def encode(self, text: str) -> Ids:
        """Ids of `text`, (T,) uint16 where V fits, else uint32; never contains END_OF_DOCUMENT.

        Raises TextError for a lone surrogate: it is no character and has no UTF-8 form.
        """
        ...

    def decode(self, ids: Ids) -> str:
        """The text of `ids`. END_OF_DOCUMENT decodes to nothing; invalid byte sequences to U+FFFD."""
        ...

    def token(self, token_id: int) -> str:
        """A readable name of one token, for tables: its text, or `<E4>` for a byte, `<end>` for the reserved one."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `text.tokenizers.from_json` needs to build an equal tokenizer: JSON types only."""
        ...


JsonObject: TypeAlias = Mapping[str, Any]
