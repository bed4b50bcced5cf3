"""A batch of texts that are written together, rows of different requests among them.

Every row owns its prompt, sampler, stop, seed and mask, so a text is the same alone and in any company, up to the last
bits of the model's own batched arithmetic. Requests are admitted and rows dropped while the batch runs: the state of a
recurrent model is one small array for each row, whatever was read before.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from ostinato.errors import GenerationError
from ostinato.generation.drafts import Draft, Mask, Masks, open_drafts
from ostinato.generation.events import Event, Failed, Written
from ostinato.generation.random import numbers
from ostinato.generation.request import TextModel, WriteRequest
from ostinato.generation.sampling import Sampler
from ostinato.protocols import Ids, State, StepModel, join, read_on

BLOCK = 32
"""Tokens that a model with a loop of its own draws at a time; those beyond a text's end are thrown away."""
SHORTEST_BLOCK = 4
"""The fewest tokens of a row's block where rows share a number of tokens, and of a row's first block then."""
LONGEST_BLOCK = 64
"""The most tokens of a row's block where rows share a number of tokens."""
READ_AT_ONCE = 2048
"""Tokens of prompts that one `advance` reads at most: a long prompt does not hold up the other rows for long."""
MOST_ROWS = 64
"""Rows that `write` has in its batch at a time; the others wait."""


@runtime_checkable
class BlockModel(StepModel, Protocol):
    """A StepModel with a loop of its own, which draws the same tokens as the loop of this file."""

    def decode_block(
        self,
        ids: Ids,
        state: State,
        *,
        samplers: Sequence[Sampler],
        u: npt.NDArray[np.float64],
        lengths: Sequence[int],
        recent: Sequence[Sequence[int]],
        forbidden: Sequence[Mask],
        stops: Sequence[Mask],
        before: Sequence[Sequence[int]] = (),
    ) -> tuple[list[list[int]], State]:
        """Read `ids` (B,), draw, read what was drawn, and so on: at most lengths[b] <= u.shape[1] tokens in row b.

        Draw t of row b takes the number u[b, t] and samplers[b], from logits with -inf at the ids of forbidden[b],
        (V,); recent[b] has the recent ids of the row (ids[b] included, oldest first), read if its sampler remembers
        any; before[b] has all ids drawn before in the row's text, read if its sampler `shifts`. A row ends when an id
        of stops[b], (V,), is drawn. Returns the drawn ids of each row, at least one, and the
        state before the last of them is read.
        """
        ...


@dataclass
class _Rows:
    """Rows of one state. `unread`: ids (T,) that all of them are still to read before their last one."""

    drafts: list[Draft]
    state: State
    unread: Ids


class Batch:
    """Texts of one model that are written together. Not safe to use from several threads at once.

    batch = Batch(text_model)
    batch.admit(WriteRequest(prompt="night", seed=1))
    while batch:
        for event in batch.advance(): ...
    """

    def __init__(self, model: TextModel, at_once: int | None = None) -> None:
        """at_once: about how many tokens of all rows one `advance` draws, so that no row waits long for its next ones
        (None: BLOCK of each row)."""
        self._model, self._masks, self._at_once = model, Masks(model), at_once
        self._engine = model.step_model
        self._blocks = self._engine if isinstance(self._engine, BlockModel) else None
        self._opening: list[_Rows] = []
        self._running: list[_Rows] = []
        self._events: list[Event] = []
        self._next_row = 0
        self._samplers: WeakValueDictionary[Sampler, Sampler] = WeakValueDictionary()

    def __len__(self) -> int:
        """Rows that are not finished, or whose last events `advance` has not returned yet."""
        waiting = len({event.row for event in self._events})
        return waiting + sum(len(rows.drafts) for rows in (*self._opening, *self._running))

    def admit(self, request: WriteRequest, *, whole_blocks: bool = False) -> list[int]:
        """Take a request in; returns the numbers of its rows, which are new in this batch.

        whole_blocks: pieces may be as long as what was drawn at a time (False: a piece per token at most).
        Raises UsageError for what cannot be asked of this model; the batch is then as it was.
        """
        # equal samplers become the same object: a block is prepared for each once
        request = replace(request, sampler=self._samplers.setdefault(request.sampler, request.sampler))
        drafts = open_drafts(self._model, request, self._next_row, self._masks, whole_blocks=whole_blocks)
        self._next_row += len(drafts)
        for draft in drafts:
            self._events += draft.start()
        ids = np.array(drafts[0].unread, np.uint32)
        drafts_left = [draft for draft in drafts if not draft.finished]
        for draft in drafts_left:
            draft.unread = draft.unread[-1:]
        if drafts_left:
            self._opening.append(_Rows(drafts_left, self._engine.initial_state(1), ids[:-1]))
        return [draft.row for draft in drafts]

    def drop(self, row: int) -> None:
        """Forget a row; nothing more is heard of it. A row that is finished or unknown is passed over."""
        self._events = [event for event in self._events if event.row != row]
        for group in (self._opening, self._running):
            for rows in group:
                kept = [at for at, draft in enumerate(rows.drafts) if draft.row != row]
                if len(kept) < len(rows.drafts):
                    if group is self._running:
                        rows.state = self._engine.select(rows.state, np.array(kept, np.intp))
                    rows.drafts = [rows.drafts[at] for at in kept]
            group[:] = [rows for rows in group if rows.drafts]

    def advance(self) -> list[Event]:
        """Read on in prompts, draw a token or a block of tokens in every other row; returns what happened."""
        events, self._events = self._events, []
        self._read_prompts()
        self._join()
        running, self._running = self._running, []
        for rows in running:
            events += self._draw(rows)
        return events

    # -- prompts ----------------------------------------------------------------------------------------------------

    def _read_prompts(self) -> None:
        left = READ_AT_ONCE
        waiting: list[_Rows] = []
        for rows in self._opening:
            part, rows.unread = rows.unread[:left], rows.unread[left:]
            rows.state = read_on(self._engine, part, rows.state)
            left -= len(part)
            if len(rows.unread):
                waiting.append(rows)
                continue
            rows.state = self._engine.select(rows.state, np.zeros(len(rows.drafts), np.intp))
            self._running.append(rows)
        self._opening = waiting

    def _join(self) -> None:
        """Put the rows of all states into one, where the model can."""
        running = self._running
        if len(running) < 2:
            return
        joined = join(self._engine, [rows.state for rows in running])
        if joined is not None:
            drafts = [draft for rows in running for draft in rows.drafts]
            self._running = [_Rows(drafts, joined, running[0].unread)]

    # -- drawing ----------------------------------------------------------------------------------------------------

    def _draw(self, rows: _Rows) -> list[Event]:
        """The next tokens of rows that share a state."""
        try:
            drawn, state = self._draw_step(rows) if self._blocks is None else self._draw_block(rows)
        except GenerationError as error:
            return self._draw_apart(rows, error)
        events: list[Event] = []
        for draft, token_ids in zip(rows.drafts, drawn, strict=True):
            events += draft.take(token_ids)
        kept = [at for at, draft in enumerate(rows.drafts) if not draft.finished and len(draft.unread) == 1]
        for at, draft in enumerate(rows.drafts):
            if not draft.finished and len(draft.unread) > 1:
                unread, draft.unread = np.array(draft.unread[:-1], np.uint32), draft.unread[-1:]
                self._opening.append(_Rows([draft], self._engine.select(state, np.array([at], np.intp)), unread))
        if kept:
            if len(kept) < len(rows.drafts):
                state = self._engine.select(state, np.array(kept, np.intp))
            self._running.append(_Rows([rows.drafts[at] for at in kept], state, rows.unread))
        return events

    def _draw_apart(self, rows: _Rows, error: GenerationError) -> list[Event]:
        """Draw in each row by itself: one that cannot go on fails alone."""
        if len(rows.drafts) == 1:
            return [Failed(rows.drafts[0].row, error)]
        events: list[Event] = []
        for at, draft in enumerate(rows.drafts):
            state = self._engine.select(rows.state, np.array([at], np.intp))
            events += self._draw(_Rows([draft], state, rows.unread))
        return events

    def _draw_step(self, rows: _Rows) -> tuple[list[list[int]], State]:
        drafts = rows.drafts
        logits, state = self._engine.step(_last(drafts), rows.state)
        drawn = np.zeros(len(drafts), np.intp)
        by_sampler: dict[Sampler, list[int]] = {}
        for at, draft in enumerate(drafts):
            by_sampler.setdefault(draft.sampler, []).append(at)
        for sampler, places in by_sampler.items():
            z = logits[places].astype(np.float64)
            for row, at in zip(z, places, strict=True):
                row[drafts[at].forbidden()] = -np.inf
            recent = [drafts[at].recent for at in places] if sampler.remembers else []
            before = [drafts[at].ids for at in places] if sampler.shifts else []
            drawn[places] = sampler(z, _uniforms([drafts[at] for at in places], 1)[:, 0], recent, before)
        return [[token_id] for token_id in drawn.tolist()], state

    def _draw_block(self, rows: _Rows) -> tuple[list[list[int]], State]:
        drafts = rows.drafts
        assert self._blocks is not None
        if self._at_once is None:
            lengths = [draft.room(BLOCK) for draft in drafts]
        else:
            most = min(LONGEST_BLOCK, max(SHORTEST_BLOCK, self._at_once // len(drafts)))
            lengths = [draft.room(most if draft.drawn else SHORTEST_BLOCK) for draft in drafts]
        return self._blocks.decode_block(
            _last(drafts),
            rows.state,
            samplers=[draft.sampler for draft in drafts],
            u=_uniforms(drafts, max(lengths)),
            lengths=lengths,
            recent=[draft.recent for draft in drafts],
            forbidden=[draft.forbidden() for draft in drafts],
            stops=[draft.stops for draft in drafts],
            before=[draft.ids if draft.sampler.shifts else () for draft in drafts],
        )


def _last(drafts: Sequence[Draft]) -> Ids:
    return np.array([draft.unread[-1] for draft in drafts], np.uint32)


def _uniforms(drafts: Sequence[Draft], length: int) -> npt.NDArray[np.float64]:
    starts = np.array([[draft.drawn] for draft in drafts])
    return numbers(np.array([[draft.key] for draft in drafts], np.uint64), starts + np.arange(length))


def stream(model: TextModel, request: WriteRequest) -> Iterator[Event]:
    """Write one request for free writing: pieces of text `row` (0 .. count - 1) as they come, then it as `Written`.

    Raises UsageError at once for what cannot be asked of this model, GenerationError where it allows no token.
    """
    batch = Batch(model)
    batch.admit(request)
    return _run(batch, [])


def write(model: TextModel, requests: WriteRequest | Iterable[WriteRequest]) -> list[Written]:
    """The finished texts of one request, or of many in one batch: the texts of the first request first, and so on.

    Raises UsageError and GenerationError as `stream`.
    """
    asked = [requests] if isinstance(requests, WriteRequest) else list(requests)
    found = [event for event in _run(Batch(model), asked) if isinstance(event, Written)]
    return sorted(found, key=lambda written: written.row)


def _run(batch: Batch, waiting: Sequence[WriteRequest]) -> Iterator[Event]:
    at = 0
    while batch or at < len(waiting):
        while at < len(waiting) and (not batch or len(batch) + waiting[at].count <= MOST_ROWS):
            batch.admit(waiting[at])
            at += 1
        for event in batch.advance():
            if isinstance(event, Failed):
                raise event.error
            yield event
