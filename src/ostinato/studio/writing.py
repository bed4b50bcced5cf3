"""Writing, as the page needs it: each word with its surprisal and what could have stood there instead; what is copied;
line by line."""

import math
from collections.abc import AsyncIterator, Sequence, Sized
from typing import Any

import numpy as np
from starlette.responses import Response

from ostinato.engine import Reader
from ostinato.errors import UsageError
from ostinato.evaluation.novelty import measure
from ostinato.form import Form, Proposer
from ostinato.form.form import refuse_two_beginnings
from ostinato.generation import Piece, WriteRequest, Written
from ostinato.generation.context import open_context
from ostinato.server.answering import check_limits, event, log_text, record_call, started, streamed
from ostinato.server.endpoint import Call, Endpoint, Json, unless_gone
from ostinato.server.own import WRITE, form_of, request_of
from ostinato.server.problems import Problem
from ostinato.server.prompts import Prompt
from ostinato.server.schema import Schema, integer, number, record, several, text
from ostinato.server.service import Served
from ostinato.server.writing import Writing, beside
from ostinato.studio.library import Library
from ostinato.studio.sounds import sounds_of
from ostinato.studio.tokens import Shown, TokenReader, bits_of, read_text

MOST_TOKENS = 20_000
"""Tokens of a text that is read as a whole."""
_CONTEXT = 30
"""Characters shown before and after a copied span."""
_ANY = {"type": "object"}
_MODEL = text("the run's name")
_TITLE = text("the title, where the model's texts have titles")
_WRITE: Schema = record(
    {**WRITE["properties"], "top": integer("alternatives told of each token", 0, 50, default=5)}, required=("model",)
)
_NEXT = record(
    {"model": _MODEL, "text": text("what stands there", default=""), "title": _TITLE,
     "k": integer("how many", 1, 200, default=20)},
    required=("model",),
)  # fmt: skip
_COPIES = record(
    {"model": _MODEL, "text": text("the text"), "tokens": integer("the shortest span", 1, 1 << 20, default=8)},
    required=("model", "text"),
)
_SUGGEST = record(
    {
        "model": _MODEL, "title": _TITLE,
        "lines": several(text("a line"), maxItems=2000),
        "count": integer("how many lines are proposed", 1, 50, default=5),
        "row": integer("which draw: another number proposes other lines", 0, 1 << 31, default=0),
        "seed": integer("the same seed proposes the same lines", 0, (1 << 64) - 1, default=0),
        **{name: WRITE["properties"][name] for name in ("temperature", "top_k", "top_p", "min_p", "search", "form")},
        "repetition_penalty": number("recent tokens become this many times less likely", 0.01, 100, default=1.0),
    },
    required=("model",),
)  # fmt: skip


class WritingRoutes:
    """The addresses of writing."""

    def __init__(self, library: Library) -> None:
        self._library = library

    # -- words as they come ----------------------------------------------------------------------------------------

    async def write(self, call: Call) -> Response:
        """A whole `WriteRequest`, as server-sent events with every token."""
        body = call.body
        served = self._library.find(body["model"])
        check_limits(call, body["count"], body.get("tokens"))
        if "form" not in body and "lines" not in body and "tokens" not in body:
            body = {**body, "tokens": call.service.options.tokens}
        request = request_of(body)
        ids = served.text_model.encode(request.prompt)
        check_length(ids)
        record_call(call, served, [Prompt(request.prompt, ids)])
        writing = Writing(call, served, [request])
        parts = await started(call, writing, self._events(call, served, writing, request, body["top"]))
        return streamed(call, parts, lambda usage: b"", writing.close)

    async def _events(
        self, call: Call, served: Served, writing: Writing, request: WriteRequest, top: int
    ) -> AsyncIterator[bytes]:
        rows: dict[int, _Row] = {}
        part = event({"seed": request.seed})
        async for happened in writing:
            for _, number_, one in happened:
                row = rows.setdefault(number_, _Row(served, request, top))
                if isinstance(one, Piece) and one.title:
                    part += event({"index": number_, "title": True, "piece": one.text})
                if isinstance(one, Piece | Written) and (tokens := await beside(call, served, row.take, one)):
                    part += event({"index": number_, "tokens": tokens})
                if isinstance(one, Written):
                    log_text(call, one.text)
                    part += event(
                        {"index": number_, "text": one.text, "title": one.title, "drawn": one.tokens,
                         "reason": one.reason, **({"notes": list(one.notes)} if one.notes else {})}
                    )  # fmt: skip
            yield part
            part = b""

    # -- what could come -------------------------------------------------------------------------------------------

    async def next(self, call: Call) -> Response:
        """The likeliest tokens after a text."""
        body, served = call.body, self._library.find(call.body["model"])
        _refuse_backward(served)
        return Json(await unless_gone(call.request, beside(
            call, served, _next, served, body["text"], body.get("title"), body["k"])))  # fmt: skip

    async def suggest(self, call: Call) -> Response:
        """Candidates for the next line of a text."""
        served = self._library.find(call.body["model"])
        return Json(await unless_gone(call.request, beside(call, served, _suggest, served, call.body)))

    # -- what stands in the training text ----------------------------------------------------------------------------

    async def copies(self, call: Call) -> Response:
        """The spans of a text that stand in the training text."""
        body, served = call.body, self._library.find(call.body["model"])
        return Json(await unless_gone(call.request, beside(call, served, _copies, served, body["text"],
                                                          body["tokens"])))  # fmt: skip

    async def sounds(self, call: Call) -> Response:
        """Rhymes to choose from."""
        query = call.request.query_params
        language, scheme = query.get("language", "zh"), query.get("scheme", "13")
        served = await self._library.model(query["model"]) if query.get("model") else None
        if language not in ("zh", "en"):
            raise Problem(400, f"language must be zh or en, got {language[:20]!r}", param="language")
        return Json({"sounds": await unless_gone(call.request, _in_thread(sounds_of, language, scheme, served))})

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where all this is."""
        base = "/studio/api"
        return (
            Endpoint("POST", f"{base}/write", self.write, "Write, every token with its surprisal", _ANY, _WRITE,
                     streams=True),
            Endpoint("POST", f"{base}/next", self.next, "What may come next", _ANY, _NEXT),
            Endpoint("POST", f"{base}/suggest", self.suggest, "Candidates for the next line", _ANY, _SUGGEST),
            Endpoint("POST", f"{base}/copies", self.copies, "What stands in the training text", _ANY, _COPIES),
            Endpoint("GET", f"{base}/sounds", self.sounds, "Rhymes to choose from", _ANY),
        )  # fmt: skip


async def _in_thread(work: Any, *arguments: Any) -> Any:
    import asyncio

    return await asyncio.to_thread(work, *arguments)


def check_length(ids: Sized) -> None:
    """Raises Problem for a text that is too long to be read as a whole."""
    if len(ids) > MOST_TOKENS:
        raise Problem(400, f"the text may have {MOST_TOKENS:,} tokens, got {len(ids):,}", param="text")


def _refuse_backward(served: Served) -> None:
    if served.text_model.backward:
        message = f"{served.name} reads from right to left: it cannot say what follows"
        raise Problem(400, message, param="model")


class _Row:
    """One text that is being written: its tokens, those of the prompt first.

    A text in form, or of a model that reads from right to left, is read when it is whole.
    """

    def __init__(self, served: Served, request: WriteRequest, top: int) -> None:
        self._served, self._request, self._top = served, request, top
        self._whole = request.form is not None or served.text_model.backward
        self._reader: TokenReader | None = None

    def take(self, one: Piece | Written) -> list[dict[str, Any]]:
        """The tokens that an event adds."""
        if self._whole:
            return self._read_whole(one) if isinstance(one, Written) else []
        found = []
        if self._reader is None:
            context = open_context(self._served.text_model, self._request.prompt, self._request.title)
            self._reader = TokenReader(self._served, context, self._top)
            found += self._reader.begin()
        found += self._reader.read(one.ids if isinstance(one, Piece) else one.rest)
        return found if isinstance(one, Piece) else [token for token in found if token["end"] <= len(one.text)]

    def _read_whole(self, one: Written) -> list[dict[str, Any]]:
        tokens, _ = read_text(self._served, one.text, one.title, self._top)
        begun = len(self._request.prompt)
        first = len(one.text) - begun if self._served.text_model.backward else 0
        return [{**token, "prompt": first <= token["start"] and token["end"] <= first + begun} for token in tokens]


def _next(served: Served, given: str, title: str | None, k: int) -> dict[str, Any]:
    model = served.text_model
    if title is None or not model.heading:
        check_length(ids := model.encode(given))
        read: Sequence[int] = (0, *(ids or model.opening.after))
    else:
        read = open_context(model, given, title).read
    z = Reader(served.model.step_model, read).logits.astype(np.float64)
    z -= z.max() + np.log(np.exp(z - z.max()).sum())
    show = Shown(served)
    likeliest = np.argsort(-z, kind="stable")[:k].tolist()
    found = [{**show(i), "probability": round(math.exp(z[i]), 6), "bits": bits_of(float(z[i]))} for i in likeliest]
    return {"next": found}


def _suggest(served: Served, body: dict[str, Any]) -> dict[str, Any]:
    lines = [line for one in body.get("lines", []) for line in one.split("\n")]
    form = form_of(body["form"]) if "form" in body else Form()
    refuse_two_beginnings(form, "\n".join(lines))
    options = {name: body[name] for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "search")}
    request = WriteRequest.of(form=form, title=body.get("title"), seed=body["seed"], **options)
    proposer = Proposer.of(served.text_model, request)
    return {
        "lines": proposer(lines, count=body["count"], row=body["row"]),
        "ends_stanza": proposer.ends_stanza(lines),
        "wanted": list(proposer.wanted(lines)),
        "complete": proposer.complete(lines),
        "notes": proposer.notes,
    }


def _copies(served: Served, given: str, shortest: int) -> dict[str, Any]:
    model = served.model
    try:
        training = model.training_text
    except UsageError as error:
        raise Problem(404, str(error), code="no_text") from None
    ids = model.tokenizer.encode(given)
    check_length(ids)
    if not len(ids):
        return {"copies": [], "longest": 0, "shares": {}}
    read = ids[::-1] if model.backward else ids
    lengths, places = training.longest_copies(read)
    spans = _longest_first(lengths, shortest)
    ends = np.cumsum(model.tokenizer.character_lengths()[ids])  # code points after each token
    found = []
    for start, length in spans:
        first = start if not model.backward else len(ids) - start - length
        place = int(places[start])
        begin = 0 if first == 0 else int(ends[first - 1])
        found.append(
            {"start": begin, "end": int(ends[first + length - 1]), "tokens": length,
             **_place(model, training.ids, place, length)}
        )  # fmt: skip
    novelty = measure(training, read, model.tokenizer)
    longest = 0 if novelty.longest is None else novelty.longest.length
    shares = {str(n): round(share, 4) for n, share in novelty.shares.items()}
    return {"copies": sorted(found, key=lambda one: one["start"]), "longest": longest, "shares": shares}


def _longest_first(lengths: Any, shortest: int) -> list[tuple[int, int]]:
    """Spans (start, length) of at least `shortest` tokens that do not overlap, the longest chosen first."""
    taken = np.zeros(len(lengths), bool)
    chosen = []
    for start in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[start])
        if length < shortest:
            break
        if taken[start]:
            continue
        clash = np.flatnonzero(taken[start : start + length])
        length = int(clash[0]) if len(clash) else length
        if length >= shortest:
            taken[start : start + length] = True
            chosen.append((start, length))
    return chosen


def _place(model: Any, ids: Any, place: int, length: int) -> dict[str, Any]:
    """Where a span stands in the training text."""
    ended = np.flatnonzero(ids[:place] == 0)
    begin = int(ended[-1]) + 1 if len(ended) else 0
    stop = place + length
    rest = np.flatnonzero(ids[stop : stop + 200] == 0)
    until = stop + (int(rest[0]) if len(rest) else min(200, len(ids) - stop))
    before, after = ids[max(begin, place - 200) : place], ids[stop:until]
    first = ids[begin:until]
    if model.backward:
        before, after = after[::-1], before[::-1]
        first = first[::-1]
    decode = model.tokenizer.decode
    return {
        "document": len(ended),
        "title": decode(first[:200]).strip().split("\n", 1)[0][:60],
        "before": decode(before)[-_CONTEXT:],
        "after": decode(after)[:_CONTEXT],
    }
