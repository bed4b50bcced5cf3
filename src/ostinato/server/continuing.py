"""One text as a client of OpenAI's API gets it: what comes after the prompt, with log-probabilities if asked for."""

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
    """A row of a request: takes its events, gives the text after the prompt and the ids that it was drawn from.

    A title that the model makes up for itself is left out. A prompt that begins with the heading of a title has the
    rest of the title in its continuation.
    """

    def __init__(self, served: Served, request: WriteRequest, top: int | None) -> None:
        """top: how many likely tokens are told beside each (None: no log-probabilities)."""
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
        """The text that an event adds."""
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
        """What the model thinks of the ids since the last call; slow, so it runs beside the batch."""
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
    """OpenAI's `logprobs` of a completion.

    at: where the first token's text begins (None: at the beginning of the prompt). The first token of a document has
    its probability after the document's beginning; the beginning itself (id 0, where a prompt of ids has it) has none.
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
    """As JSON can have it."""
    return max(log_probability, _LEAST)
