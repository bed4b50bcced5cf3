"""The two contracts between the rooms: what reads text and what continues it."""

from collections.abc import Mapping, Sequence
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

        Logits are natural-log scores up to a constant per row: softmax(logits) is the next token's distribution.
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
class ReadsOn(Protocol):
    """A StepModel that reads many tokens of one row faster than step by step, to the same state."""

    def read_on(self, ids: Ids, state: State) -> State:
        """The state after all of `ids`, (T,), from the `state` of one row."""
        ...


@runtime_checkable
class Joins(Protocol):
    """A StepModel whose states can be put into one batch."""

    def join(self, states: Sequence[State]) -> State | None:
        """One state with the rows of all `states`, in order; None where these cannot be joined (yet)."""
        ...


@runtime_checkable
class ScoresMany(Protocol):
    """A StepModel that scores many texts at once."""

    def score_many(self, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
        """`score` of each text."""
        ...


def read_on(model: StepModel, ids: Ids, state: State) -> State:
    """The state of one row after all of `ids`, (T,), in as few calls as the model can."""
    if len(ids) and isinstance(model, ReadsOn):
        return model.read_on(ids, state)
    for at in range(len(ids)):
        _, state = model.step(ids[at : at + 1], state)
    return state


def join(model: StepModel, states: Sequence[State]) -> State | None:
    """One state with the rows of all `states`, in order; None where the model cannot join them."""
    return model.join(states) if isinstance(model, Joins) else None


def score_many(model: StepModel, texts: Sequence[Ids]) -> list[npt.NDArray[np.float64]]:
    """`model.score` of each text, in as few calls as the model can."""
    return model.score_many(texts) if isinstance(model, ScoresMany) else [model.score(ids) for ids in texts]


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
