"""One text as a client of OpenAI's API receives it: the text after the prompt, with log-probabilities if requested."""

from collections.abc import Sequence
from typing import Any

from ostinato.engine import Reader, Reading
from ostinato.generation import Event, Piece, WriteRequest, Written
from ostinato.generation.context import open_context
from ostinato.server.prompts import Prompt
from ostinato.server.service import Served

_LEAST = -9999.0
"""What stands for the logarithm of 0, which JSON cannot have."""

FINISH = {"tokens": "length", "limit": "length"}
"""Why a text ended, in OpenAI's words: all other reasons are "stop"."""


class Continuation:
    """One row of a request: takes its events and returns the text after the prompt and the ids it consists of.

    A title that the model makes up is left out. If the prompt begins with the heading of a title, the rest of the title
    belongs to the continuation.
    """

    def __init__(self, served: Served, request: WriteRequest, top: int | None) -> None:
        """top: how many of the likeliest tokens are listed for each token (None: no log-probabilities)."""
        heading = served.text_model.heading
        self._whole = bool(heading) and request.prompt.startswith(heading)
        self._skip = len(request.prompt)
        self._top, self._served, self._request = top, served, request
        self._reader: Reader | None = None
        self._unread: list[tuple[tuple[int, ...], bool]] = []
        self.text = ""
        self.finish: str | None = None
        self.tokens = 0
        self.readings: list[Reading] = []

    def take(self, event: Event) -> str:
        """Returns the text that an event adds."""
        shown = isinstance(event, Piece) and (self._whole or not event.title)
        if isinstance(event, Written):
            self.finish = FINISH.get(event.reason, "stop")
            self.tokens = event.tokens
            self._unread.append((event.rest, True))
            return ""
        if not isinstance(event, Piece):
            return ""
        self._unread.append((event.ids, shown))
        if not shown:
            return ""
        text = event.text[self._skip :]
        self._skip = max(0, self._skip - len(event.text))
        self.text += text
        return text

    def read(self) -> list[Reading]:
        """Scores the ids since the last call. This is slow, so it runs outside the batch."""
        if self._reader is None:
            read = open_context(self._served.text_model, self._request.prompt).read
            self._reader = Reader(self._served.model.step_model, read, self._top or 0)
        unread, self._unread = self._unread, []
        found = []
        for ids, told in unread:
            readings = self._reader.read(ids)
            found += readings if told else []
        self.readings += found
        return found


def logprobs_object(
    served: Served, readings: Sequence[Reading], prompt: Prompt, at: int | None = None
) -> dict[str, Any]:
    """OpenAI's `logprobs` object of a completion.

    at: the offset in characters at which the first token's text begins (None: at the beginning of the prompt). The
    first token of a document has its probability at the beginning of a document. The beginning itself (id 0, if a
    prompt of ids contains it) has none.
    """
    names = served.names
    token_logprobs: list[float | None] = []
    top: list[dict[str, float] | None] = []
    for number, reading in enumerate(readings):
        if at is None and number == 0 and not prompt.context:
            token_logprobs.append(None)
            top.append(None)
            continue
        token_logprobs.append(finite(reading.log_probability))
        likeliest = {names[token_id]: finite(p) for token_id, p in reading.top}
        top.append(likeliest | {names[reading.id]: finite(reading.log_probability)})
    ids = [reading.id for reading in readings]
    return {
        "tokens": [names[token_id] for token_id in ids],
        "token_logprobs": token_logprobs,
        "top_logprobs": top,
        "text_offset": names.offsets(ids, 0 if at is None else at),
    }


def finite(log_probability: float) -> float:
    """The value as JSON can represent it."""
    return max(log_probability, _LEAST)
