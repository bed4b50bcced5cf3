"""Which tokens may follow without breaking a UTF-8 character, and text as it grows token by token.

Byte tokens have ids 1 .. 256 (id = byte + 1) in every tokenizer; all other tokens are whole characters. The automaton
is the table of well-formed sequences (Unicode Standard, table 3-7): E0, ED, F0 and F4 narrow their second byte.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT, Tokenizer

FIRST_BYTE = 1
FIRST_CHARACTER = 257
"""Ids 1 .. 256 are the bytes 0 .. 255; characters, then words, follow."""

# state: (lowest, highest byte that may follow, state after it); state 0 is between characters
_PENDING = {
    1: (0x80, 0xBF, 0),
    2: (0x80, 0xBF, 1),
    3: (0x80, 0xBF, 2),
    4: (0xA0, 0xBF, 1),  # after E0: no overlong form
    5: (0x80, 0x9F, 1),  # after ED: no surrogate
    6: (0x90, 0xBF, 2),  # after F0: no overlong form
    7: (0x80, 0x8F, 2),  # after F4: nothing beyond U+10FFFF
}
_LEADS = [(0xC2, 0xDF, 1), (0xE0, 0xEF, 2), (0xE0, 0xE0, 4), (0xED, 0xED, 5), (0xF0, 0xF4, 3), (0xF0, 0xF0, 6),
          (0xF4, 0xF4, 7)]  # fmt: skip


@lru_cache(maxsize=1)
def _automaton() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """(8, 256) allowed and (8, 256) next state of every byte in every state."""
    allowed = np.zeros((8, 256), np.bool_)
    allowed[0, [0x09, 0x0A, *range(0x20, 0x7F)]] = True  # control characters would act on a terminal
    following = np.zeros((8, 256), np.uint8)
    for low, high, state in _LEADS:
        allowed[0, low : high + 1] = True
        following[0, low : high + 1] = state
    following[1:] = following[0]  # after a broken character the next one starts afresh
    for state, (low, high, after) in _PENDING.items():
        allowed[state, low : high + 1] = True
        following[state, low : high + 1] = after
    return allowed, following


class Utf8State:
    """Where a text stands inside a UTF-8 character: `allowed()` masks the tokens that may come, `push` reads one.

    Both cost a table look-up. States are values: `copy` one to branch.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._size = tokenizer.vocabulary_size
        self._masks: dict[int, npt.NDArray[np.bool_]] = {}
        self.state = 0

    def allowed(self) -> npt.NDArray[np.bool_]:
        """(V,) bool, read-only: True for tokens after which the text is still the start of valid UTF-8.

        Between characters everything but continuation bytes, the never valid C0, C1, F5 .. FF, and the bytes of control
        characters other than tab and newline; inside one only the right continuation bytes, so not END_OF_DOCUMENT
        either.
        """
        mask = self._masks.get(self.state)
        if mask is None:
            mask = np.full(self._size, self.state == 0)
            mask[FIRST_BYTE:FIRST_CHARACTER] = _automaton()[0][self.state]
            mask.flags.writeable = False
            self._masks[self.state] = mask
        return mask

    def push(self, token_id: int) -> None:
        """Read one token, allowed or not."""
        inside = FIRST_BYTE <= token_id < FIRST_CHARACTER
        self.state = int(_automaton()[1][self.state, token_id - FIRST_BYTE]) if inside else 0

    @property
    def complete(self) -> bool:
        """Whether the text stands between two characters."""
        return self.state == 0

    def copy(self) -> "Utf8State":
        """A state that goes its own way from here; the masks are shared."""
        other = Utf8State.__new__(Utf8State)
        other._size, other._masks, other.state = self._size, self._masks, self.state
        return other


class TextStream:
    """Ids in, text out, as soon as it is certain: the pieces joined are `tokenizer.decode` of all ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._texts_after = getattr(tokenizer, "texts_after", None)
        self._utf8 = Utf8State(tokenizer)
        self._context: list[int] = []
        self._pending: list[int] = []

    def push(self, token_id: int) -> str:
        """Read one token; returns the text that is now complete, "" inside a character spelled in bytes."""
        if token_id == END_OF_DOCUMENT:  # decodes to nothing, and no blank is implied over it
            self._context = []
            self._pending += [token_id] * bool(self._pending)
            return ""
        self._pending.append(token_id)
        self._utf8.push(token_id)
        return self.flush() if self._utf8.complete else ""

    def push_all(self, token_ids: Sequence[int]) -> list[str]:
        """`push` of each token: as many texts."""
        if self._texts_after is None or self._pending or min(token_ids, default=0) < FIRST_CHARACTER:
            return [self.push(token_id) for token_id in token_ids]
        texts: list[str] = self._texts_after(self._context[0] if self._context else END_OF_DOCUMENT, token_ids)
        self._context, self._utf8.state = [token_ids[-1]], 0
        return texts

    def flush(self) -> str:
        """The text still held back; an unfinished character becomes U+FFFD."""
        if not self._pending:
            return ""
        # one whole token of context: a `whitespace` tokenizer implies a blank between two words
        before = len(self._decode(self._context))
        text = self._decode(self._context + self._pending)[before:]
        last = self._pending[-1]
        self._context = [last] if last >= FIRST_CHARACTER else []
        self._pending = []
        return text

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(np.array(ids, np.uint32)) if ids else ""
