"""Free writing with a model that reads from right to left: the prompt is the end, and the text grows before it."""

import numpy as np
import numpy.typing as npt

from ostinato.errors import UsageError
from ostinato.generation.loop import Written
from ostinato.generation.random import check_seed, uniforms
from ostinato.generation.sampling import Sampler
from ostinato.generation.stopping import Reason, Stop
from ostinato.protocols import END_OF_DOCUMENT, Ids, StepModel, Tokenizer
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER


def write_backward(
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
    """`count` texts that end with `prompt`. Nothing can be shown before a text is finished: its end is written first.

    `stop.lines` counts from the end. A text that reaches the beginning of its document has the title it found there, if
    its first line begins with `heading`; none can be given, as it is read last. Raises UsageError for a title, for stop
    strings, and as `write` does.
    """
    sampler, stop = sampler or Sampler(), stop or Stop()
    if count < 1:
        raise UsageError(f"count must be 1 or more, got {count}")
    if title is not None:
        raise UsageError(f"a model that reads from right to left finds the title last: leave the title {title!r} out")
    if stop.texts:
        raise UsageError("a model that reads from right to left cannot stop at a text: ask for lines or tokens")
    check_seed(seed)
    rows = [_Row(index, tokenizer, prompt, stop, heading) for index in range(count)]
    state = model.initial_state(1)
    for token_id in rows[0].ids[:-1]:
        _, state = model.step(np.array([token_id], np.uint32), state)
    state = model.select(state, np.zeros(count, np.intp))
    active = [row for row in rows if row.written is None]
    if len(active) < count:  # the prompt has all the lines: every row is finished
        return [row.written for row in rows if row.written is not None]
    while active:
        logits, state = model.step(np.array([row.ids[-1] for row in active], np.uint32), state)
        z = logits.astype(np.float64)
        for at, row in enumerate(active):
            z[at, row.forbidden()] = -np.inf
        u = uniforms(seed, [row.index for row in active], [row.drawn for row in active])
        recent = [row.ids[-sampler.recent :] for row in active] if sampler.remembers else []
        for row, token_id in zip(active, sampler(z, u, recent).tolist(), strict=True):
            row.take(token_id)
        kept = np.array([at for at, row in enumerate(active) if row.written is None], np.intp)
        if len(kept) < len(active):
            active, state = [active[at] for at in kept], model.select(state, kept)
    return [row.written for row in rows if row.written is not None]


class _Row:
    """One text, drawn from its end: ids in the order drawn, the prompt's first."""

    def __init__(self, index: int, tokenizer: Tokenizer, prompt: str, stop: Stop, heading: str) -> None:
        self.index, self.drawn = index, 0
        self.ids = [END_OF_DOCUMENT, *tokenizer.encode(prompt).tolist()[::-1]]
        self.written: Written | None = None
        self._tokenizer, self._stop, self._heading = tokenizer, stop, heading
        self._bytes: list[int] = []  # continuation bytes drawn of the character that is open, the last one first
        if stop.lines is not None and self._complete_lines() >= stop.lines:
            self._finish("lines")

    def forbidden(self) -> npt.NDArray[np.bool_]:
        """(V,) bool, the ids that would break a UTF-8 character, and END_OF_DOCUMENT before its time."""
        out = np.full(self._tokenizer.vocabulary_size, bool(self._bytes))
        out[END_OF_DOCUMENT] |= self._stop.lines is not None and self._stop.fill
        out[FIRST_BYTE + 0x80 : FIRST_CHARACTER] = True
        for low, high in _before(self._bytes):
            out[FIRST_BYTE + low : FIRST_BYTE + high + 1] = False
        return out

    def take(self, token_id: int) -> None:
        """Enter a drawn id; sets `written` when the text is finished."""
        self.drawn += 1
        if token_id == END_OF_DOCUMENT:
            self._finish("end of document")
            return
        self.ids.append(token_id)
        byte = token_id - FIRST_BYTE
        self._bytes = [*self._bytes, byte] if 0x80 <= byte < 0xC0 else []
        newline = byte == 0x0A or "\n" in self._tokenizer.token(token_id)
        if self._stop.lines is not None and newline and self._complete_lines() >= self._stop.lines:
            self._finish("lines")
        if self.written is None and self.drawn >= self._stop.limit:
            self._finish("limit" if self._stop.tokens is None else "tokens")

    def _text(self) -> str:
        ids: Ids = np.array(self.ids[len(self.ids) - len(self._bytes) - 1 :: -1], np.uint32)
        return self._tokenizer.decode(ids)

    def _complete_lines(self) -> int:
        return sum(bool(line.strip()) for line in self._text().split("\n")[1:])

    def _finish(self, reason: Reason) -> None:
        text, title = self._text(), None
        if reason == "end of document" and self._heading and text.startswith(self._heading):
            first, _, text = text.removeprefix(self._heading).partition("\n")
            title = first.strip()
        if reason == "lines":
            text = text.partition("\n")[2]
        self.written = Written(self.index, text.strip("\n"), title, reason, self.drawn)


def _before(continuation: list[int]) -> list[tuple[int, int]]:
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
