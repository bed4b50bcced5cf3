"""`POST /v1/completions`, as in OpenAI's API."""

import time
from collections.abc import AsyncIterator
from itertools import accumulate
from typing import Any

import numpy as np
from starlette.responses import Response

from ostinato.engine import Reader, Reading
from ostinato.generation import Sampler, WriteRequest
from ostinato.generation.random import uniform
from ostinato.server.answering import (
    check_limits,
    event,
    log_text,
    record_call,
    refuse_backward,
    started,
    streamed,
    usage_of,
)
from ostinato.server.continuing import Continuation, logprobs_object
from ostinato.server.endpoint import Call, Endpoint, Json, to_bytes, unless_gone
from ostinato.server.problems import Problem
from ostinato.server.prompts import (
    PROMPT,
    SAMPLING,
    Prompt,
    read_prompts,
    read_sampler,
    read_seed,
    read_stops,
    request_for,
)
from ostinato.server.schema import Schema, flag, integer, number, or_null, record, several, text
from ostinato.server.service import Served
from ostinato.server.writing import Writing, beside
from ostinato.text.utf8 import Utf8State

TOP = 20
"""The most likely tokens that can be asked for beside each."""
_TOKENS = 16
"""`max_tokens` where it is not given, as OpenAI has it."""

STREAM_OPTIONS = record({"include_usage": flag("a last event with the usage")}, help_="what a stream has besides")
BODY = record(
    {
        "model": text("the model's name, as /v1/models has it; may be left out where there is one"),
        "prompt": PROMPT,
        "max_tokens": integer("the most tokens to write; 0 with echo: the prompt alone", 0, 1 << 31, default=_TOKENS),
        **SAMPLING,
        "n": integer("how many texts", 1, 1 << 16, default=1),
        "best_of": integer("write so many, return the n likeliest per token", 1, 1 << 16),
        "logprobs": integer("log-probabilities, and so many of the likeliest tokens", 0, TOP),
        "echo": flag("return the prompt, too"),
        "stream": flag("server-sent events"),
        "stream_options": STREAM_OPTIONS,
        "suffix": text("not supported: a recurrent model cannot read what comes after"),
        "user": text("passed over"),
    },
    required=("prompt",),
)
USAGE = record({name: integer("tokens", 0, 1 << 53) for name in ("prompt_tokens", "completion_tokens", "total_tokens")})
_LOGPROBS = record(
    {
        "tokens": several(text("a token")),
        "token_logprobs": several(or_null(number("nats", -1e9, 0))),
        "top_logprobs": several(or_null({"type": "object", "additionalProperties": number("nats", -1e9, 0)})),
        "text_offset": several(integer("where its text begins", 0, 1 << 53)),
    },
    required=("tokens", "token_logprobs", "top_logprobs", "text_offset"),
)
FINISH = {"type": "string", "enum": ["stop", "length"]}


def answer(kind: str, choice: Schema) -> Schema:
    """The schema of an answer that is not streamed: `object` is `kind`, and each of `choices` is a `choice`."""
    return record(
        {
            "id": text("the request's number"),
            "object": {"type": "string", "enum": [kind]},
            "created": integer("seconds since 1970", 0, 1 << 53),
            "model": text("the model's name"),
            "choices": several(choice),
            "usage": USAGE,
        },
        required=("id", "object", "created", "model", "choices", "usage"),
    )


ANSWER = answer(
    "text_completion",
    record(
        {
            "index": integer("prompt by prompt", 0, 1 << 31),
            "text": text("the text"),
            "finish_reason": FINISH,
            "logprobs": or_null(_LOGPROBS),
        },
        required=("index", "text", "finish_reason", "logprobs"),
    ),
)


class Completing:
    """One call: the request and its model."""

    def __init__(self, call: Call) -> None:
        """Raises Problem for a request that this endpoint does not allow."""
        body, options = call.body, call.service.options
        self.call, self.served = call, call.service.find(body.get("model"))
        refuse_backward(self.served)
        if body.get("suffix"):
            raise Problem(
                400, "suffix is not supported: a recurrent model cannot read what comes after", param="suffix"
            )
        self.top: int | None = body.get("logprobs")
        self.echo, self.tokens, self.n = body["echo"], body["max_tokens"], body["n"]
        self.best_of = body.get("best_of", self.n)
        check_limits(call, self.best_of, self.tokens)
        if self.best_of < self.n:
            raise Problem(400, f"best_of must be at least n, {self.n}, got {self.best_of}", param="best_of")
        if body["stream"] and self.best_of > self.n:
            raise Problem(400, "best_of cannot be streamed: the best is known at the end", param="best_of")
        self.sampler, self.seed = read_sampler(self.served, body), read_seed(body)
        self.stops = read_stops(body)
        self.prompts = read_prompts(self.served, body["prompt"], options.prompt_tokens, options.prompts)
        record_call(call, self.served, self.prompts)

    @property
    def only_scores(self) -> bool:
        """Whether the request only scores its prompts, as evaluation harnesses do."""
        return self.tokens == 0 or (self.tokens == 1 and self.echo and self.top is not None and self.best_of == 1)

    def requests(self) -> list[WriteRequest]:
        """One `WriteRequest` per prompt."""
        return [
            request_for(p, self.sampler, tokens=self.tokens, stops=self.stops, seed=self.seed, count=self.best_of)
            for p in self.prompts
        ]

    # -- scoring ---------------------------------------------------------------------------------------------------

    def score(self, prompt: Prompt) -> tuple[list[Reading], str, str]:
        """Log-probabilities of the prompt's tokens, and of one more if requested; its text; why it ended."""
        if self.top is None:
            return [], "", "length"
        reader = Reader(self.served.model.step_model, prompt.context or prompt.ids[:1], self.top)
        begin = [] if prompt.context else [Reading(0, 0.0, 1, ())]
        found = begin + reader.read(prompt.ids[len(begin) :])
        if not self.tokens:
            return found, "", "length"
        drawn = _next_id(self.served, prompt, reader, self.sampler, self.seed)
        text_ = self.served.model.tokenizer.decode([drawn])
        return found + reader.read([drawn]), text_, "length" if drawn else "stop"

    async def scored(self) -> list[dict[str, Any]]:
        """The choices, if at most one token is written."""
        choices: list[dict[str, Any]] = []
        for prompt in self.prompts:
            readings, more, finish = await beside(self.call, self.served, self.score, prompt)
            told = self.top is not None and self.echo
            choice = {
                "text": (prompt.text if self.echo else "") + more,
                "finish_reason": finish,
                "logprobs": logprobs_object(self.served, readings, prompt) if told else None,
            }
            choices += [{"index": len(choices) + i, **choice} for i in range(self.n)]
            self.call.record.completion_tokens += self.tokens
        return choices

    # -- writing ---------------------------------------------------------------------------------------------------

    async def written(self) -> list[dict[str, Any]]:
        """The choices, after all of them are finished."""
        requests = self.requests()
        needs = 0 if self.top is None and self.best_of > self.n else self.top
        writing = Writing(self.call, self.served, requests, whole_blocks=needs is None)
        rows = [[Continuation(self.served, one, needs) for _ in range(one.count)] for one in requests]
        try:
            async for happened in writing:
                for which, row, new in happened:
                    rows[which][row].take(new)
        finally:
            writing.close()
        choices: list[dict[str, Any]] = []
        for prompt, texts in zip(self.prompts, rows, strict=True):
            if needs is not None:
                for one in texts:
                    await beside(self.call, self.served, one.read)
            before = (await beside(self.call, self.served, self._echoed, prompt)) if self.echo else []
            for one in _best(texts, self.n) if self.best_of > self.n else texts:
                choices.append(self._choice(len(choices), one, prompt, before))
                log_text(self.call, one.text)
        return choices

    def _echoed(self, prompt: Prompt) -> list[Reading]:
        if self.top is None:
            return []
        begin = [] if prompt.context else [Reading(0, 0.0, 1, ())]
        reader = Reader(self.served.model.step_model, prompt.context or prompt.ids[:1], self.top)
        return begin + reader.read(prompt.ids[len(begin) :])

    def _choice(self, index: int, one: Continuation, prompt: Prompt, before: list[Reading]) -> dict[str, Any]:
        logprobs = None
        if self.top is not None:
            at = None if self.echo else len(prompt.text)
            logprobs = logprobs_object(self.served, before + one.readings, prompt, at)
        shown = (prompt.text if self.echo else "") + one.text
        return {"index": index, "text": shown, "finish_reason": one.finish, "logprobs": logprobs}

    # -- streaming -------------------------------------------------------------------------------------------------

    async def streamed(self, writing: Writing, chunk: "Chunks") -> AsyncIterator[bytes]:
        """Yields parts of server-sent events with the pieces of the texts as they arrive."""
        rows = {
            (number, row): Continuation(self.served, one, self.top)
            for number, one in enumerate(self.requests())
            for row in range(one.count)
        }
        offsets = {}
        opening = b""
        for at, row in rows:
            prompt = self.prompts[at]
            offsets[at, row] = len(prompt.text)
            if self.echo:
                before = await beside(self.call, self.served, self._echoed, prompt)
                logprobs = None if self.top is None else logprobs_object(self.served, before, prompt)
                opening += chunk.piece(at * self.n + row, prompt.text, logprobs)
        if opening:
            yield opening
        async for happened in writing:
            part = b""
            for which, row, new in happened:
                one, index = rows[which, row], which * self.n + row
                text_, logprobs = one.take(new), None
                if self.top is not None and (text_ or one.finish):
                    readings = await beside(self.call, self.served, one.read)
                    start = offsets[which, row]
                    logprobs = logprobs_object(self.served, readings, self.prompts[which], start)
                    offsets[which, row] = start + len(text_)
                if text_ or one.finish:
                    part += chunk.piece(index, text_, logprobs, one.finish)
                if one.finish:
                    log_text(self.call, one.text)
            if part:
                yield part


class Chunks:
    """The events of a streamed completion; common ones are formatted by hand because that is faster."""

    def __init__(self, call: Call, model: str, include_usage: bool) -> None:
        self._usage = include_usage
        base = {"id": f"cmpl-{call.record.id[4:]}", "object": "text_completion", "created": int(time.time())}
        self.base = base | {"model": model}
        self._head = to_bytes(self.base)[:-1] + b',"choices":[{"text":'
        self._tail = (
            b',"finish_reason":null,"logprobs":null}]' + (b',"usage":null}' if include_usage else b"}") + b"\n\n"
        )

    def piece(self, index: int, text_: str, logprobs: dict[str, Any] | None = None, finish: str | None = None) -> bytes:
        """The event of one piece of text."""
        if logprobs is None and finish is None:
            return b"data: " + self._head + to_bytes(text_) + b',"index":%d' % index + self._tail
        choice = {"text": text_, "index": index, "finish_reason": finish, "logprobs": logprobs}
        return event(self.base | {"choices": [choice]} | ({"usage": None} if self._usage else {}))

    def usage(self, usage: dict[str, int]) -> bytes:
        """The last event, if the client asked for usage."""
        return event(self.base | {"choices": [], "usage": usage}) if self._usage else b""


async def complete(call: Call) -> Response:
    """The endpoint."""
    asked = Completing(call)
    if not call.body["stream"]:
        choices = await unless_gone(call.request, asked.scored() if asked.only_scores else asked.written())
        chunk = Chunks(call, asked.served.name, False)
        return Json({**chunk.base, "choices": choices, "usage": usage_of(call)})
    chunk = Chunks(call, asked.served.name, bool(call.body.get("stream_options", {}).get("include_usage")))
    if asked.only_scores:
        choices = await unless_gone(call.request, asked.scored())
        pieces = (chunk.piece(c["index"], c["text"], c["logprobs"], c["finish_reason"]) for c in choices)
        return streamed(call, _given(list(pieces)), chunk.usage, lambda: None)
    writing = Writing(call, asked.served, asked.requests(), whole_blocks=asked.top is None)
    return streamed(call, await started(call, writing, asked.streamed(writing, chunk)), chunk.usage, writing.close)


async def _given(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _next_id(served: Served, prompt: Prompt, reader: Reader, sampler: Sampler, seed: int) -> int:
    """Draws one token after the prompt."""
    utf8 = Utf8State(served.model.tokenizer)
    for token_id in prompt.ids[-4:]:
        utf8.push(token_id)
    logits = np.where(utf8.allowed(), reader.logits.astype(np.float64), -np.inf)
    recent = [list(prompt.ids[-sampler.recent :])] if sampler.remembers else []
    return int(sampler(logits[None], np.array([uniform(seed, 0, 0)]), recent)[0])


def _best(texts: list[Continuation], n: int) -> list[Continuation]:
    """The n texts with the highest log-probability per token."""
    return sorted(texts, key=lambda one: -_mean(one.readings))[:n]


def _mean(readings: list[Reading]) -> float:
    total = list(accumulate(reading.log_probability for reading in readings))
    return total[-1] / len(readings) if readings else 0.0


COMPLETIONS = Endpoint("POST", "/v1/completions", complete, "Continue a prompt", ANSWER, BODY, streams=True)
