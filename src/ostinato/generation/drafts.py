"""One text while it is written: what may be drawn next, and what a drawn token makes of the text.

A draft owns all that its text depends on: seed, sampler, stop, mask. So it is the same text in any company.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.generation.context import Context, open_context
from ostinato.generation.events import Event, Piece, Written
from ostinato.generation.random import row_key
from ostinato.generation.request import TextModel, WriteRequest
from ostinato.generation.stopping import Reason, Stop, Transcript
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER, Utf8State

Mask = npt.NDArray[np.bool_]

TITLE = Stop(lines=1, tokens=48)
"""Where a title that the model makes up ends, at the latest."""


class Draft(ABC):
    """One text of a batch.

    row: its number in the batch. unread: ids that the model has not read yet, at least one; when there is just one, the
    next token is drawn after it. drawn: how many tokens were drawn.
    """

    def __init__(
        self, row: int, index: int, request: WriteRequest, model: TextModel, read: tuple[int, ...], masks: "Masks"
    ) -> None:
        """index: the text's number within its request. read: what the model reads before the first draw."""
        self.row, self.sampler = row, request.sampler
        self._model = model
        self.key = row_key(request.seed, index)
        self.unread = list(read)
        self.finished = False
        self._masks = masks
        begins = not request.prompt and bool(model.openings)
        self._begun: str | None = "" if begins else None  # None: no longer at the text's beginning
        self._ids: list[int] = []
        self._since: list[int] = []  # ids since the last piece
        self._read = len(read)
        self._restriction = None if request.max_copy is None else model.restriction(request.max_copy)
        self._recent: deque[int] = deque(read, maxlen=self.sampler.remembers)
        self._last: deque[int] = deque(read, maxlen=self._restriction.span if self._restriction else 0)

    @property
    def drawn(self) -> int:
        """How many tokens were drawn."""
        return len(self._ids)

    @property
    def ids(self) -> list[int]:
        """The ids drawn so far; not to be changed."""
        return self._ids

    @property
    def recent(self) -> list[int]:
        """The recent ids that the sampler wants to see, oldest first."""
        return list(self._recent)

    def forbidden(self) -> Mask:
        """(V,) bool, the ids that may not come next."""
        mask = self._mask()
        if self._restriction is not None:
            mask = mask | self._restriction.forbidden(list(self._last))
        return mask if self._begun is None else self._masks.beginning(mask, self._begun)

    def room(self, most: int) -> int:
        """How many tokens may be drawn, `most` at a time, before the mask can change without a token of `stops`."""
        return 1 if self._restriction is not None or not self._plain else min(most, self._left)

    def take(self, token_ids: Sequence[int]) -> Iterator[Event]:
        """Enter ids drawn in a row, at most `room`; yields what happens, the finished text last.

        Those beyond the end of the text are passed over.
        """
        for token_id in token_ids:
            self._ids.append(token_id)
            self.unread = [token_id]
            self._note((token_id,))
            if self._begun is not None:
                self._begun = self._model.openings.after(self._begun, token_id)
            yield from self._enter(token_id)
            if self.finished:
                return

    def _note(self, token_ids: Sequence[int]) -> None:
        self._recent.extend(token_ids)
        self._last.extend(token_ids)
        self._since.extend(token_ids)

    def _piece(self, text: str, *, title: bool = False) -> Iterator[Event]:
        if text:
            ids, self._since = tuple(self._since), []
            yield Piece(self.row, text, title, ids)

    def _written(self, text: str, title: str | None, reason: Reason) -> Written:
        self.finished = True
        return Written(self.row, text, title, reason, self.drawn, tuple(self._ids), self._read, tuple(self._since))

    @property
    @abstractmethod
    def stops(self) -> Mask:
        """(V,) bool, the ids after which another mask may hold, or the text may be finished."""

    @property
    @abstractmethod
    def _plain(self) -> bool:
        """Whether the mask stays as it is until an id of `stops` is drawn."""

    @property
    @abstractmethod
    def _left(self) -> int:
        """The most tokens that can still be drawn."""

    @abstractmethod
    def start(self) -> Iterator[Event]:
        """What happens before anything is drawn."""

    @abstractmethod
    def _mask(self) -> Mask: ...

    @abstractmethod
    def _enter(self, token_id: int) -> Iterator[Event]: ...


class ForwardDraft(Draft):
    """A title, perhaps, then the prompt, then what is drawn."""

    def __init__(
        self, row: int, index: int, request: WriteRequest, model: TextModel, context: Context, masks: "Masks",
        whole_blocks: bool,
    ) -> None:  # fmt: skip
        super().__init__(row, index, request, model, context.read, masks)
        self._context = context
        self._utf8, self._only_known = masks.utf8.copy(), request.only_known
        self._title = Transcript(model.tokenizer, TITLE, context.title or "") if context.title_open else None
        self._body = Transcript(
            model.tokenizer, request.stop, context.prompt, line_documents=model.line_documents, trim=context.trim
        )
        self._limit = request.stop.limit
        self._whole_blocks = whole_blocks

    @property
    def _in_title(self) -> bool:
        return self._title is not None and self._title.reason is None

    @property
    def _plain(self) -> bool:
        return self._utf8.complete and self._begun is None

    @property
    def _left(self) -> int:
        if self._title is not None and self._in_title:
            return TITLE.limit - self._title.drawn
        return self._limit - self._body.drawn

    @property
    def stops(self) -> Mask:
        return self._masks.title_stops if self._in_title else self._masks.stops

    def take(self, token_ids: Sequence[int]) -> Iterator[Event]:
        if not self._whole_blocks or self._in_title or not self._plain:
            yield from super().take(token_ids)
            return
        text, count = self._body.add_all(token_ids)
        taken = token_ids[:count]
        self._ids += taken
        self.unread = [taken[-1]]
        self._note(taken)
        self._utf8.push(taken[-1])  # those before it are whole characters
        yield from self._piece(text)
        yield from self._ended()

    def start(self) -> Iterator[Event]:
        context = self._context
        if context.title is not None and (context.title or context.title_open):
            line_end = "" if context.title_open else "\n"
            yield from self._piece(f"{context.heading}{context.title}{line_end}", title=True)
        if not context.title_open:
            yield from self._piece(context.prompt)
        yield from self._ended()

    def _mask(self) -> Mask:
        end = not self._in_title and self._body.may_end
        return self._masks.forward(self._utf8, end=end, only_known=self._only_known)

    def _enter(self, token_id: int) -> Iterator[Event]:
        self._utf8.push(token_id)
        if self._title is not None and self._in_title:
            untitled = not self._title.text
            text = self._title.add(token_id)
            yield from self._piece(text.lstrip() if untitled else text, title=True)
            if self._title.reason is not None:
                yield from self._open_body(newline_read=self._title.reason == "lines")
        else:
            yield from self._piece(self._body.add(token_id))
        yield from self._ended()

    def _open_body(self, *, newline_read: bool) -> Iterator[Event]:
        self._utf8.state = 0
        newline = () if newline_read else tuple(self._model.tokenizer.encode("\n").tolist())
        for token_id in (*newline, *self._context.after_title):
            self.unread.append(token_id)
            self._note((token_id,))
        yield from self._piece("\n", title=True)
        yield from self._piece(self._context.prompt)

    def _ended(self) -> Iterator[Event]:
        if self._body.reason is not None and not self._in_title:
            title = self._context.title if self._title is None else self._title.text.strip()
            yield self._written(self._body.text, title, self._body.reason)


class BackwardDraft(Draft):
    """A text drawn from its end by a model that reads from right to left. It can be shown when it is finished.

    `stop.lines` counts from the end. A text that reaches the beginning of its document has the title it found there, if
    its first line begins with the heading.
    """

    def __init__(
        self, row: int, index: int, request: WriteRequest, model: TextModel, read: tuple[int, ...], masks: "Masks"
    ) -> None:
        super().__init__(row, index, request, model, read, masks)
        self._stop, self._only_known = request.stop, request.only_known
        self._all = list(read)  # the ids of the text, the last one first, after END_OF_DOCUMENT
        self._bytes: tuple[int, ...] = ()  # of the character that is open, the last one first
        self._end_is_newline = model.line_documents and self._stop.lines is not None and self._stop.fill

    @property
    def _plain(self) -> bool:
        return not self._bytes and self._begun is None

    @property
    def _left(self) -> int:
        return self._stop.limit - self.drawn

    @property
    def stops(self) -> Mask:
        return self._masks.backward_stops

    def start(self) -> Iterator[Event]:
        if self._stop.lines is not None and self._complete_lines() >= self._stop.lines:
            yield from self._finish("lines")

    def _mask(self) -> Mask:
        end = self._stop.lines is None or not self._stop.fill or self._end_is_newline
        return self._masks.backward(self._bytes, end=end, only_known=self._only_known)

    def _enter(self, token_id: int) -> Iterator[Event]:
        if token_id == END_OF_DOCUMENT and not self._end_is_newline:
            yield from self._finish("end of document")
            return
        self._all.append(token_id)
        byte = token_id - FIRST_BYTE
        self._bytes = (*self._bytes, byte) if 0x80 <= byte < 0xC0 else ()
        newline = token_id == END_OF_DOCUMENT or byte == 0x0A or "\n" in self._model.tokenizer.token(token_id)
        if self._stop.lines is not None and newline and self._complete_lines() >= self._stop.lines:
            yield from self._finish("lines")
        elif self.drawn >= self._stop.limit:
            yield from self._finish("limit" if self._stop.tokens is None else "tokens")

    def _text(self) -> str:
        ids = np.array(self._all[len(self._all) - len(self._bytes) - 1 : 0 : -1], np.uint32)
        parts = np.split(ids, np.flatnonzero(ids == END_OF_DOCUMENT))
        return "\n".join(self._model.tokenizer.decode(part) for part in parts)

    def _complete_lines(self) -> int:
        return sum(bool(line.strip()) for line in self._text().split("\n")[1:])

    def _finish(self, reason: Reason) -> Iterator[Event]:
        text, title, heading = self._text(), None, self._model.heading
        if reason == "end of document" and heading and text.startswith(heading):
            first, _, text = text.removeprefix(heading).partition("\n")
            title = first.strip()
            yield from self._piece(f"{heading}{title}\n", title=True)
        if reason == "lines" or (reason == "limit" and "\n" in text.strip("\n")):
            text = text.partition("\n")[2]
        text = text.strip("\n")
        yield from self._piece(text)
        yield self._written(text, title, reason)


class Masks:
    """The masks of one tokenizer, each made once: drafts that may draw the same share the same array."""

    def __init__(self, model: TextModel) -> None:
        self.utf8 = Utf8State(model.tokenizer)
        self._size = model.tokenizer.vocabulary_size
        self._forward: dict[tuple[int, bool, bool], Mask] = {}
        self._backward: dict[tuple[tuple[int, ...], bool, bool], Mask] = {}
        self.stops = self._stops(0xC2, 0xF5)  # they begin characters of several bytes
        self.backward_stops = self._stops(0x80, 0xC0)  # they end them
        self._token = model.tokenizer.token
        self._model = model

    def beginning(self, mask: Mask, begun: str) -> Mask:
        """`mask`, and the ids that do not go on with what is `begun` as texts begin, unless that would leave none."""
        forbidden = self._model.openings.forbidden(begun)
        both = mask if forbidden is None else mask | forbidden
        return mask if both.all() else both

    @cached_property
    def title_stops(self) -> Mask:
        """The same as `stops`, and the tokens with a newline, which end a title."""
        mask = self.stops.copy()
        mask[FIRST_BYTE + 0x0A] = True
        mask[[token_id for token_id in range(FIRST_CHARACTER, self._size) if "\n" in self._token(token_id)]] = True
        return mask

    def _stops(self, low: int, high: int) -> Mask:
        mask = np.zeros(self._size, np.bool_)
        mask[END_OF_DOCUMENT] = True
        mask[FIRST_BYTE + low : FIRST_BYTE + high] = True
        return mask

    def forward(self, utf8: Utf8State, *, end: bool, only_known: bool = False) -> Mask:
        """(V,) bool, read-only: ids that would break a character, END_OF_DOCUMENT unless `end`, and bytes if
        `only_known`."""
        key = (utf8.state, end, only_known)
        mask = self._forward.get(key)
        if mask is None:
            mask = self._forward[key] = ~utf8.allowed()
            mask[END_OF_DOCUMENT] |= not end
            mask[FIRST_BYTE:FIRST_CHARACTER] |= only_known
            mask.flags.writeable = False
        return mask

    def backward(self, continuation: tuple[int, ...], *, end: bool, only_known: bool = False) -> Mask:
        """The same before these continuation bytes, the last of the character first."""
        key = (continuation, end, only_known)
        mask = self._backward.get(key)
        if mask is None:
            mask = self._backward[key] = np.full(self._size, bool(continuation))
            mask[END_OF_DOCUMENT] |= not end
            mask[FIRST_BYTE + 0x80 : FIRST_CHARACTER] = True
            for low, high in bytes_before(continuation):
                mask[FIRST_BYTE + low : FIRST_BYTE + high + 1] = False
            mask[FIRST_BYTE:FIRST_CHARACTER] |= only_known
            mask.flags.writeable = False
        return mask


def bytes_before(continuation: tuple[int, ...]) -> list[tuple[int, int]]:
    """The bytes of 0x80 and above that may stand before these continuation bytes (the last of the character first).

    Table 3-7 of the Unicode standard, read from the right: what a leading byte asks of the byte after it decides.
    """
    if not continuation:
        return [(0x80, 0xBF)]
    second = continuation[-1]
    if len(continuation) == 1:
        return [(0x80, 0xBF), (0xC2, 0xDF)]
    if len(continuation) == 2:
        leads = [(0xE1, 0xEC), (0xEE, 0xEF), (0xE0, 0xE0) if second >= 0xA0 else (0xED, 0xED)]
        return [(0x80, 0xBF), *leads]
    return [(0xF1, 0xF3), (0xF0, 0xF0) if second >= 0x90 else (0xF4, 0xF4)]


def open_drafts(
    model: TextModel, request: WriteRequest, first_row: int, masks: Masks, *, whole_blocks: bool = False
) -> list[Draft]:
    """The drafts of a request for free writing. whole_blocks: see `Batch.admit`.

    Raises UsageError for what cannot be asked of this model.
    """
    if request.form is not None:
        raise UsageError("a form needs form.stream: free writing cannot follow one")
    if request.only_known and model.tokenizer.kind == "byte":
        raise UsageError("a model that writes bytes spells every character: only_known= would leave it none")
    size = model.tokenizer.vocabulary_size
    for token_id, _ in request.sampler.bias:
        if token_id >= size:
            raise UsageError(f"a bias is given for id {token_id}, but ids lie in 0 .. {size - 1}")
    if not model.backward:
        context = open_context(model, request.prompt, request.title)
        return [
            ForwardDraft(first_row + i, i, request, model, context, masks, whole_blocks) for i in range(request.count)
        ]
    if request.title is not None:
        raise UsageError(
            f"a model that reads from right to left would read the title last: leave the title {request.title!r} out"
        )
    if request.stop.texts:
        raise UsageError("a model that reads from right to left cannot stop at a text: ask for lines or tokens")
    read = (END_OF_DOCUMENT, *(model.encode(request.prompt)[::-1] if request.prompt else model.opening.after))
    return [BackwardDraft(first_row + i, i, request, model, read, masks) for i in range(request.count)]
