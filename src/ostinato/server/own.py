"""Endpoints that OpenAI's API does not have: `/api/info`, `/api/score`, `/api/write`, `/api/hidden`."""

import math
from collections.abc import AsyncIterator
from typing import Any, cast

import numpy as np
from starlette.responses import Response

from ostinato.engine import Reader
from ostinato.errors import UsageError
from ostinato.evaluation import from_log_probabilities
from ostinato.evaluation.perplexity import Evaluation
from ostinato.form import Form
from ostinato.generation import Piece, WriteRequest, Written
from ostinato.generation.request import new_seed
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.server.answering import check_limits, event, log_text, record_call, started, streamed
from ostinato.server.cutting import MODEL
from ostinato.server.endpoint import Call, Endpoint, Json, unless_gone
from ostinato.server.problems import Problem
from ostinato.server.prompts import Prompt
from ostinato.server.schema import Schema, flag, integer, number, or_null, record, several, text
from ostinato.server.service import Served
from ostinato.server.writing import Writing, beside

_MOST_HIDDEN = 4096
"""Tokens of a text whose hidden units are shown."""

_WORDS = several(text("a word"), maxItems=64)
_FORM = record(
    {
        "lines": integer("lines per stanza", 1, 1000),
        "stanzas": integer("stanzas", 1, 1000, default=1),
        "length": text("characters (Chinese) or syllables (English) per line: 7, 5-9, 7,7,5,5"),
        "rhyme": text("rhyme scheme (AABA), sound (ang, night), or both (AABA,A=ang)"),
        "scheme": {"type": "string", "enum": ["13", "18"], "default": "13", "description": "Chinese rhyme table"},
        "tones": flag("Chinese rhymes must also agree in tone"),
        "acrostic": text("text that the first characters of the lines spell", default=""),
        "acrostic_end": text("text that the last characters of the lines spell", default=""),
        "include": _WORDS,
        "ban": _WORDS,
        "repeat": flag("lines may repeat"),
        "template": text("text with blanks to fill in: ____, or one _ per character"),
        "language": {"type": "string", "enum": ["zh", "en"], "description": "the form's language"},
    },
    help_="What the text keeps to, or is refused for.",
)
WRITE: Schema = record(
    {
        "model": MODEL,
        "prompt": text("the beginning of the text", default=""),
        "title": text("the title to write under, where the model's texts have titles"),
        "lines": integer("stop after so many lines; of a stanza, for a form", 1, 1000),
        "tokens": integer("stop after so many tokens", 1, 1 << 31),
        "stop": several(text("a text before which to stop"), maxItems=16),
        "temperature": number("0: always the likeliest token", 0, 100, default=0.8),
        "top_k": integer("only the k likeliest tokens; 0: all", 0, 1 << 31, default=0),
        "top_p": number("only the likeliest with this probability together", 1e-9, 1, default=1.0),
        "min_p": number("only tokens at least this many times as likely as the likeliest", 0, 1, default=0.0),
        "repetition_penalty": number("recent tokens become this many times less likely", 0.01, 100, default=1.0),
        "form": _FORM,
        "search": {"type": "string", "enum": ["sample", "beam"], "default": "sample", "description": "lines in form"},
        "seed": integer("the same seed gives the same text", 0, (1 << 64) - 1),
        "count": integer("how many texts", 1, 1 << 16, default=1),
        "max_copy": integer("never more than so many tokens of the training text in a row", 1, 1 << 31),
        "stream": flag("server-sent events: pieces, then each finished text"),
    }
)
_WRITTEN = record(
    {
        "index": integer("its number", 0, 1 << 31),
        "text": text("the text, the prompt included"),
        "title": or_null(text("its title")),
        "tokens": integer("tokens drawn", 0, 1 << 53),
        "reason": text("why it ended"),
        "notes": several(text("what is to be said of a text in form")),
    },
    required=("index", "text", "title", "tokens", "reason"),
)
_EVALUATION = {
    "tokens": integer("tokens, the end included", 0, 1 << 53),
    "characters": integer("characters", 0, 1 << 53),
    "perplexity": or_null({"type": "number", "description": "per token"}),
    "bits_per_character": or_null({"type": "number", "description": "bits per character"}),
}


# -- /api/info -----------------------------------------------------------------------------------------------------


def _info(served: Served) -> dict[str, Any]:
    config, model = served.model.config, served.model
    known = config.get("evaluation")
    evaluation = known if isinstance(known, dict) else {}
    text_ = config.get("text")
    return {
        "id": served.name,
        "kind": model.kind,
        "tokenizer": model.tokenizer.kind,
        "vocabulary_size": model.tokenizer.vocabulary_size,
        "direction": "backward" if model.backward else "forward",
        "titles": bool(model.heading),
        "documents": text_.get("documents") if isinstance(text_, dict) else None,
        "model": {k: v for k, v in (config.get("model") or {}).items() if isinstance(v, str | int | float | bool)},
        "evaluation": evaluation,
    }


async def info(call: Call) -> Response:
    """The models with kind, shape, tokenizer and measured perplexity."""
    return Json({"models": [_info(served) for served in call.service.served.values()]})


# -- /api/score ----------------------------------------------------------------------------------------------------


def _score(served: Served, ids: list[int], characters: int, per_token: bool) -> dict[str, Any]:
    if not per_token:
        scores = served.model.step_model.score(np.array(ids, np.uint32))
        return _numbers(from_log_probabilities(scores, characters, split="given"))
    readings = Reader(served.model.step_model, (END_OF_DOCUMENT,)).read(ids)
    scores = np.array([one.log_probability for one in readings])
    tokens = [
        {
            "id": one.id,
            "token": served.model.tokenizer.token(one.id),
            "bits": _bits(one.log_probability),
            "rank": one.rank,
        }
        for one in readings
    ]
    return {**_numbers(from_log_probabilities(scores, characters, split="given")), "per_token": tokens}


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in evaluation.to_json().items()
    }


def _bits(log_probability: float) -> float | None:
    return -log_probability / math.log(2) if math.isfinite(log_probability) else None


async def score(call: Call) -> Response:
    """Scores a text as one document, including its end: perplexity, bits per character, surprisal and rank of each
    token."""
    served, given = call.service.find(call.body.get("model")), call.body["text"]
    if not given:
        raise Problem(400, "text must not be empty", param="text")
    ids = served.model.ids(given).tolist()
    _check_length(call, ids, call.service.options.prompt_tokens)
    record_call(call, served, [Prompt(given, tuple(ids))])
    work = beside(call, served, _score, served, ids, len(given), call.body["per_token"])
    return Json(await unless_gone(call.request, work))


def _check_length(call: Call, ids: list[int], most: int) -> None:
    if len(ids) > most:
        raise Problem(400, f"the text may have {most:,} tokens, got {len(ids):,}", param="text")


# -- /api/write ----------------------------------------------------------------------------------------------------


def form_of(given: dict[str, Any]) -> Form:
    """Returns the form that `form` in a body describes. Raises UsageError."""
    named = dict(given)
    length = named.pop("length", None)
    include, ban = tuple(named.pop("include", ())), tuple(named.pop("ban", ()))
    return Form(length=length, include=include, ban=ban, **named)


def request_of(body: dict[str, Any]) -> WriteRequest:
    """Returns the request that a WRITE body describes. Raises UsageError."""
    form = form_of(body["form"]) if "form" in body else None
    names = ("lines", "tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "title", "search",
             "max_copy")  # fmt: skip
    options: Any = {name: body[name] for name in names if name in body}
    return WriteRequest.of(
        body["prompt"], count=body["count"], stop=tuple(body.get("stop", ())), form=form,
        seed=body.get("seed", new_seed()), **options,
    )  # fmt: skip


def _written(index: int, one: Written) -> dict[str, Any]:
    return {
        "index": index, "text": one.text, "title": one.title, "tokens": one.tokens, "reason": one.reason,
        **({"notes": list(one.notes)} if one.notes else {}),
    }  # fmt: skip


async def write(call: Call) -> Response:
    """Writes a full `WriteRequest`, with everything that `ostinato write` can do."""
    body, options = call.body, call.service.options
    served = call.service.find(body.get("model"))
    tokens = body.get("tokens")
    check_limits(call, body["count"], tokens)
    request = request_of(body)
    ids = served.text_model.encode(request.prompt)
    _check_length(call, list(ids), options.prompt_tokens)
    record_call(call, served, [Prompt(request.prompt, ids)])
    if not body["stream"]:
        texts = (await unless_gone(call.request, Writing(call, served, [request], whole_blocks=True).written()))[0]
        return Json(
            {"model": served.name, "seed": request.seed, "texts": [_written(i, one) for i, one in enumerate(texts)]}
        )
    writing = Writing(call, served, [request], whole_blocks=True)
    parts = await started(call, writing, _events(call, writing, request.seed))
    return streamed(call, parts, lambda usage: b"", writing.close)


async def _events(call: Call, writing: Writing, seed: int) -> AsyncIterator[bytes]:
    yield_first = event({"seed": seed})
    async for happened in writing:
        part, yield_first = yield_first, b""
        for _, row, one in happened:
            if isinstance(one, Piece):
                part += event({"index": row, "piece": one.text, "title": one.title})
            elif isinstance(one, Written):
                log_text(call, one.text)
                part += event(_written(row, one))
        yield part


# -- /api/hidden ---------------------------------------------------------------------------------------------------


def _hidden(served: Served, ids: list[int], units: list[int] | None) -> dict[str, Any]:
    network = served.model.network
    assert network is not None
    scores, hidden = cast(Any, network.step_model).read(np.array(ids, np.uint32))
    size = hidden.shape[1]
    if units and max(units) >= size:
        raise UsageError(f"units must lie in 0 .. {size - 1}, got {max(units)}")
    shown = hidden if units is None else hidden[:, units]
    tokens = [served.model.tokenizer.token(token_id) for token_id in ids]
    return {
        "units": list(range(size)) if units is None else units,
        "tokens": tokens,
        "ids": ids,
        "bits": [_bits(p) for p in scores.tolist()],
        "hidden": [[round(value, 5) for value in row] for row in shown.tolist()],
    }


async def hidden(call: Call) -> Response:
    """The hidden units of the last layer from which each token of a text is predicted; for a mixture, those of its
    network."""
    served, given = call.service.find(call.body.get("model")), call.body["text"]
    if served.model.network is None:
        raise Problem(
            400, f"a model of kind {served.model.kind} has no hidden units: ask a recurrent one", param="model"
        )
    ids = served.model.ids(given).tolist()
    _check_length(call, ids, _MOST_HIDDEN)
    record_call(call, served, [Prompt(given, tuple(ids))])
    work = beside(call, served, _hidden, served, ids, call.body.get("units"))
    return Json(await unless_gone(call.request, work))


_BITS = or_null(number("bits", 0, 1e9))
ENDPOINTS = (
    Endpoint(
        "GET", "/api/info", info, "The models: kind, shape, tokenizer, measured perplexity",
        record({"models": several({"type": "object"})}, required=("models",)),
    ),
    Endpoint(
        "POST", "/api/score", score, "How well a model predicts a text, and which tokens surprise it",
        record(
            {
                **_EVALUATION,
                "per_token": several(
                    record(
                        {"id": integer("id", 0, 1 << 32), "token": text("the token"), "bits": _BITS,
                         "rank": integer("1: the likeliest", 1, 1 << 32)}
                    )
                ),
            },
            required=("tokens", "characters", "perplexity", "bits_per_character"),
        ),
        record(
            {"model": MODEL, "text": text("the text"), "per_token": flag("each token with its surprisal and rank")},
            required=("text",),
        ),
    ),
    Endpoint(
        "POST", "/api/write", write, "Write: lines, titles, form, copy limit",
        record(
            {"model": text("the model"), "seed": integer("the seed", 0, (1 << 64) - 1), "texts": several(_WRITTEN)},
            required=("model", "seed", "texts"),
        ),
        WRITE, streams=True,
    ),
    Endpoint(
        "POST", "/api/hidden", hidden, "Hidden units over a text",
        record(
            {
                "units": several(integer("a unit", 0, 1 << 31)),
                "tokens": several(text("a token")),
                "ids": several(integer("an id", 0, 1 << 32)),
                "bits": several(_BITS),
                "hidden": several(several({"type": "number"})),
            },
            required=("units", "tokens", "ids", "bits", "hidden"),
        ),
        record(
            {"model": MODEL, "text": text("the text"), "units": several(integer("a unit", 0, 1 << 31), minItems=1)},
            required=("text",),
        ),
    ),
)  # fmt: skip
