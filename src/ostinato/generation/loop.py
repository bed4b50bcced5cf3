"""Writing: one loop over a StepModel that carries the state, so that a token costs the same at any length.

The context (see `context`) is read once, for all texts together; from there on each text is a row of the batch until
it is finished. Row r draws the numbers `uniforms(seed, r, ...)` whatever the other rows do, so it is the same text
for any `count`, up to the last bits of the model's own batched arithmetic.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.generation.context import Context, open_context
from ostinato.generation.random import check_seed, uniforms
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Reason, Stop, Transcript
from ostinato.protocols import END_OF_DOCUMENT, Ids, State, StepModel, Tokenizer
from ostinato.text.utf8 import FIRST_BYTE, Utf8State

Mask = npt.NDArray[np.bool_]

BLOCK = 32
"""Tokens that a model with a loop of its own draws at a time: shown at once, and at the end partly drawn in vain."""
TITLE = Stop(lines=1, tokens=48)
"""Where a title that the model makes up ends, at the latest."""


@dataclass(frozen=True)
class Piece:
    """A piece of text `row`, in order, as soon as it is certain; `title` where it belongs to the title's line.

    A row's pieces joined are the document as far as it was written: title line, heading and newline included.
    """

    row: int
    text: str
    title: bool = False


@dataclass(frozen=True)
class Written:
    """A finished text.

    text: the prompt and what was written after it. title: the title it was written under, None where the model's
    texts have none. reason: why it ended. tokens: how many tokens were drawn for it, its title's included.
    """

    row: int
    text: str
    title: str | None
    reason: Reason
    tokens: int

    def __str__(self) -> str:
        return self.text


@runtime_checkable
class BlockModel(StepModel, Protocol):
    """A StepModel with a loop of its own, which draws the same tokens as the loop of this file."""

    def decode_block(
        self,
        ids: Ids,
        state: State,
        *,
        sampler: Sampler,
        u: npt.NDArray[np.float64],
        recent: Sequence[Sequence[int]],
        forbidden: Mask,
        stops: Mask,
    ) -> tuple[list[list[int]], State]:
        """Read `ids` (B,), draw, read what was drawn, and so on: at most u.shape[1] tokens a row.

        Draw t of row b takes the number u[b, t], from logits with -inf at the ids of `forbidden` (V,); `recent` has
        the recent ids of each row (`ids` included, oldest first) if `sampler.remembers`. A row ends when an id of
        `stops` (V,) is drawn. Returns the drawn ids of each row, at least one, and the state before the last of them
        is read.
        """
        ...


def generate(
    model: StepModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    sampler: Sampler | None = None,
    stop: Stop | None = None,
    count: int = 1,
    seed: int = 0,
    heading: str = "",
    title: str | None = None,
) -> Iterator[Piece | Written]:
    """Continue `prompt` `count` times; yields each text's pieces as they come, then the text as `Written`.

    `heading` is what a title line begins with in the model's documents ("" if they have no titles), `title` the title
    to write under (None: the model makes one up). Raises UsageError for what cannot be asked for, GenerationError
    where the model allows no token.
    """
    if count < 1:
        raise UsageError(f"count must be 1 or more, got {count}")
    context = open_context(tokenizer, prompt, heading, title)
    return _Writing(model, tokenizer, context, sampler or Sampler(), stop or Stop(), check_seed(seed)).run(count)


def write(
    model: StepModel,
    tokenizer: Tokenizer,
    prompt: str = "",
    *,
    sampler: Sampler | None = None,
    stop: Stop | None = None,
    count: int = 1,
    seed: int = 0,
    heading: str = "",
    title: str | None = None,
) -> list[Written]:
    """The `count` finished texts of `generate`, row by row."""
    events = generate(
        model, tokenizer, prompt, sampler=sampler, stop=stop, count=count, seed=seed, heading=heading, title=title
    )
    return sorted((event for event in events if isinstance(event, Written)), key=lambda written: written.row)


class _Row:
    """One text: a title, perhaps, then ids to be read as they are, then what is drawn."""

    def __init__(
        self, index: int, tokenizer: Tokenizer, context: Context, stop: Stop, remembers: int, utf8: Utf8State
    ) -> None:
        self.index = index
        self.drawn = 0
        self.utf8 = utf8.copy()
        self.recent: deque[int] = deque(context.read, maxlen=remembers)
        self.forced: deque[int] = deque()
        self.title = Transcript(tokenizer, TITLE, context.title or "") if context.title_open else None
        self.body = Transcript(tokenizer, stop, context.prompt)

    @property
    def in_title(self) -> bool:
        return self.title is not None and self.title.reason is None

    @property
    def finished(self) -> bool:
        return self.body.reason is not None and not self.in_title

    @property
    def plain(self) -> bool:
        """Whether the next token is drawn as most are: not read, not part of a title or of a half-spelled character."""
        return self.utf8.complete and not self.forced and not self.in_title


class _Writing:
    """One call of `generate`."""

    def __init__(
        self, model: StepModel, tokenizer: Tokenizer, context: Context, sampler: Sampler, stop: Stop, seed: int
    ) -> None:
        self._model, self._tokenizer, self._context = model, tokenizer, context
        self._sampler, self._stop, self._seed = sampler, stop, seed

    def run(self, count: int) -> Iterator[Piece | Written]:
        context, model = self._context, self._model
        state = model.initial_state(1)
        for token_id in context.read[:-1]:
            _, state = model.step(np.array([token_id], np.uint32), state)
        state = model.select(state, np.zeros(count, np.intp))
        ids: Ids = np.full(count, context.read[-1], np.uint32)
        remembers, utf8 = self._sampler.remembers, Utf8State(self._tokenizer)
        rows = [_Row(i, self._tokenizer, context, self._stop, remembers, utf8) for i in range(count)]
        for row in rows:
            if context.title is not None:
                line_end = "" if context.title_open else "\n"
                yield from _piece(row, f"{context.heading}{context.title}{line_end}", title=True)
            if not context.title_open:
                yield from _piece(row, context.prompt)
        while rows:
            yield from (self._written(row) for row in rows if row.finished)
            kept = np.array([i for i, row in enumerate(rows) if not row.finished], np.intp)
            if len(kept) < len(rows):
                rows, ids, state = [rows[i] for i in kept], ids[kept], model.select(state, kept)
            if rows:
                ids, state, pieces = self._advance(rows, ids, state)
                yield from pieces

    def _written(self, row: _Row) -> Written:
        title = self._context.title if row.title is None else row.title.text.strip()
        return Written(row.index, row.body.text, title, row.body.reason or "limit", row.drawn)

    def _advance(self, rows: list[_Row], ids: Ids, state: State) -> tuple[Ids, State, list[Piece]]:
        """Read `ids` (B,) and find what follows; the new ids are not read yet, and the state is the one before them."""
        if isinstance(self._model, BlockModel) and all(row.plain for row in rows):
            drawn, state = self._draw_block(self._model, rows, ids, state)
        else:
            logits, state = self._model.step(ids, state)
            drawn = self._draw(rows, logits)
        pieces = [piece for row, token_ids in zip(rows, drawn, strict=True) for piece in self._take(row, token_ids)]
        return np.array([token_ids[-1] for token_ids in drawn], np.uint32), state, pieces

    def _draw(self, rows: list[_Row], logits: npt.NDArray[np.floating]) -> list[list[int]]:
        """The next id of each row: the next one to be read as it is, else one drawn from its logits."""
        free = [i for i, row in enumerate(rows) if not row.forced]
        ids = [row.forced[0] if row.forced else END_OF_DOCUMENT for row in rows]
        if free:
            z = logits[free].astype(np.float64)
            for at, i in enumerate(free):
                z[at, self._forbidden(rows[i])] = -np.inf
            drawing = [rows[i] for i in free]
            chosen = self._sampler(z, self._uniforms(drawing, 1)[:, 0], self._recent(drawing))
            for i, token_id in zip(free, chosen.tolist(), strict=True):
                ids[i] = token_id
        return [[token_id] for token_id in ids]

    def _draw_block(self, model: BlockModel, rows: list[_Row], ids: Ids, state: State) -> tuple[list[list[int]], State]:
        stops = np.zeros(self._tokenizer.vocabulary_size, np.bool_)
        stops[END_OF_DOCUMENT] = True
        stops[FIRST_BYTE + 0xC2 : FIRST_BYTE + 0xF5] = True  # they begin characters of several bytes
        length = min(BLOCK, *(self._stop.limit - row.body.drawn for row in rows))
        return model.decode_block(
            ids,
            state,
            sampler=self._sampler,
            u=self._uniforms(rows, length),
            recent=self._recent(rows),
            forbidden=self._forbidden(rows[0]),
            stops=stops,
        )

    def _take(self, row: _Row, token_ids: list[int]) -> Iterator[Piece]:
        """Enter the next ids of a row into its text."""
        for token_id in token_ids:
            row.recent.append(token_id)
            if row.forced:
                row.forced.popleft()
                continue
            row.drawn += 1
            row.utf8.push(token_id)
            if row.title is not None and row.in_title:
                untitled = not row.title.text
                piece = row.title.add(token_id)
                yield from _piece(row, piece.lstrip() if untitled else piece, title=True)
                if row.title.reason is not None:
                    yield from self._open_body(row, newline_read=row.title.reason == "lines")
            else:
                yield from _piece(row, row.body.add(token_id))
            if row.finished:
                return

    def _open_body(self, row: _Row, *, newline_read: bool) -> Iterator[Piece]:
        row.utf8.state = 0
        if not newline_read:
            row.forced.extend(self._tokenizer.encode("\n").tolist())
        row.forced.extend(self._context.after_title)
        yield from _piece(row, "\n", title=True)
        yield from _piece(row, self._context.prompt)

    def _forbidden(self, row: _Row) -> Mask:
        forbidden = ~row.utf8.allowed()
        forbidden[END_OF_DOCUMENT] |= row.in_title or not row.body.may_end
        return forbidden

    def _recent(self, rows: list[_Row]) -> list[list[int]]:
        return [list(row.recent) for row in rows] if self._sampler.remembers else []

    def _uniforms(self, rows: list[_Row], length: int) -> npt.NDArray[np.float64]:
        starts = np.array([[row.drawn] for row in rows])
        return uniforms(self._seed, np.array([[row.index] for row in rows]), starts + np.arange(length))


def _piece(row: _Row, text: str, *, title: bool = False) -> Iterator[Piece]:
    if text:
        yield Piece(row.index, text, title)
