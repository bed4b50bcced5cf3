"""`POST /v1/chat/completions`: the text of the messages is the prompt, and the answer is its continuation.

These models have not learnt conversations. They continue the text of the messages, one per line, like any other text.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response

from ostinato.engine import Reading
from ostinato.generation import WriteRequest
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
from ostinato.server.completions import FINISH, STREAM_OPTIONS, TOP, answer
from ostinato.server.continuing import Continuation, finite
from ostinato.server.endpoint import Call, Endpoint, Json, to_bytes, unless_gone
from ostinato.server.problems import Problem
from ostinato.server.prompts import SAMPLING, read_prompts, read_sampler, read_seed, read_stops, request_for
from ostinato.server.schema import either, flag, integer, number, or_null, record, several, text
from ostinato.server.service import Served
from ostinato.server.writing import Writing, beside

_PART = record(
    {"type": {"type": "string", "enum": ["text"]}, "text": text("the text")}, required=("type",), help_="Text alone."
)
_MESSAGE = record(
    {
        "role": text("system, user or assistant: all are read alike"),
        "content": either(text("the text"), several(_PART), help_="What was said."),
    },
    required=("role",),
)
_REFUSED = ("tools", "functions", "audio")
BODY = record(
    {
        "model": text("the model's name, as /v1/models has it; may be left out where there is one"),
        "messages": several(_MESSAGE, minItems=1, description="their texts, a line each, are what is continued"),
        "max_tokens": integer("the most tokens to write", 1, 1 << 31),
        "max_completion_tokens": integer("the same", 1, 1 << 31),
        **SAMPLING,
        "n": integer("how many texts", 1, 1 << 16, default=1),
        "logprobs": flag("log-probabilities of the tokens"),
        "top_logprobs": integer("how many of the likeliest tokens are told", 0, TOP),
        "stream": flag("server-sent events"),
        "stream_options": STREAM_OPTIONS,
        "response_format": record({"type": text("text: nothing else is supported")}),
        "user": text("passed over"),
    },
    required=("messages",),
)
_TOKEN = {
    "token": text("its text"),
    "logprob": number("nats", -1e9, 0),
    "bytes": or_null(several(integer("a byte", 0, 255))),
}
_LOGPROBS = record(
    {"content": several(record({**_TOKEN, "top_logprobs": several(record(_TOKEN))}, required=("token", "logprob")))}
)
ANSWER = answer(
    "chat.completion",
    record(
        {
            "index": integer("its number", 0, 1 << 31),
            "message": record({"role": text("assistant"), "content": text("the text")}, ("role", "content")),
            "finish_reason": FINISH,
            "logprobs": or_null(_LOGPROBS),
        },
        required=("index", "message", "finish_reason"),
    ),
)


def _said(message: dict[str, Any]) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


class Chatting:
    """One call: the request and its model."""

    def __init__(self, call: Call, raw: dict[str, Any]) -> None:
        body, options = call.body, call.service.options
        self.call, self.served = call, call.service.find(body.get("model"))
        refuse_backward(self.served)
        for name in _REFUSED:
            if raw.get(name):
                raise Problem(400, f"{name} is not supported: the model continues text", param=name)
        if body.get("response_format", {}).get("type", "text") != "text":
            message = "response_format must be text: the model continues text"
            raise Problem(400, message, param="response_format")
        tokens = body.get("max_completion_tokens", body.get("max_tokens"))
        check_limits(call, body["n"], tokens)
        self.top = body.get("top_logprobs", 0) if body["logprobs"] else None
        said = "\n".join(_said(message) for message in body["messages"])
        prompts = read_prompts(self.served, said, options.prompt_tokens, 1)
        record_call(call, self.served, prompts)
        self.request: WriteRequest = request_for(
            prompts[0], read_sampler(self.served, body), tokens=options.tokens if tokens is None else tokens,
            stops=read_stops(body), seed=read_seed(body), count=body["n"],
        )  # fmt: skip
        self.base = {
            "id": f"chatcmpl-{call.record.id[4:]}", "object": "chat.completion", "created": int(time.time()),
            "model": self.served.name,
        }  # fmt: skip
        self.with_usage = bool(body.get("stream_options", {}).get("include_usage"))

    def continuations(self) -> list[Continuation]:
        """One `Continuation` per text."""
        return [Continuation(self.served, self.request, self.top) for _ in range(self.request.count)]

    async def written(self) -> list[dict[str, Any]]:
        """The choices, after all of them are finished."""
        writing = Writing(self.call, self.served, [self.request], whole_blocks=self.top is None)
        rows = self.continuations()
        try:
            async for happened in writing:
                for _, row, one in happened:
                    rows[row].take(one)
        finally:
            writing.close()
        choices = []
        for index, text_ in enumerate(rows):
            readings = None if self.top is None else await beside(self.call, self.served, text_.read)
            log_text(self.call, text_.text)
            choices.append(
                {
                    "index": index,
                    "message": {"role": "assistant", "content": text_.text},
                    "finish_reason": text_.finish,
                    "logprobs": None if readings is None else _logprobs(self.served, readings),
                }
            )
        return choices

    async def streamed(self, writing: Writing) -> AsyncIterator[bytes]:
        """Yields parts of server-sent events."""
        rows = self.continuations()
        base = self.base | {"object": "chat.completion.chunk"}
        usage = {"usage": None} if self.with_usage else {}
        begun: set[int] = set()
        head = to_bytes(base)[:-1] + b',"choices":[{"index":%d,"delta":{"content":'
        tail = b'},"finish_reason":null,"logprobs":null}]' + (b',"usage":null}' if usage else b"}") + b"\n\n"
        async for happened in writing:
            part = b""
            for _, row, one in happened:
                text_ = rows[row].take(one)
                finish = rows[row].finish
                if not text_ and not finish:
                    continue
                readings = None if self.top is None else await beside(self.call, self.served, rows[row].read)
                delta: dict[str, str] = {"content": text_} if text_ else {}
                if row not in begun:
                    begun.add(row)
                    delta = {"role": "assistant", "content": text_}
                elif readings is None and not finish:
                    part += b"data: " + head % row + to_bytes(text_) + tail
                    continue
                logprobs = None if readings is None else _logprobs(self.served, readings)
                choice = {"index": row, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
                part += event(base | {"choices": [choice]} | usage)
                if finish:
                    log_text(self.call, rows[row].text)
            if part:
                yield part

    def usage(self, usage: dict[str, int]) -> bytes:
        """The last event, if the client asked for usage."""
        base = self.base | {"object": "chat.completion.chunk"}
        return event(base | {"choices": [], "usage": usage}) if self.with_usage else b""


def _logprobs(served: Served, readings: list[Reading]) -> dict[str, Any]:
    def token(token_id: int, log_probability: float) -> dict[str, Any]:
        text_ = served.model.tokenizer.decode([token_id])
        named = None if "\ufffd" in text_ else list(text_.encode())
        return {"token": served.names[token_id], "logprob": finite(log_probability), "bytes": named}

    return {
        "content": [
            {**token(one.id, one.log_probability), "top_logprobs": [token(i, p) for i, p in one.top]}
            for one in readings
        ]
    }


async def chat(call: Call) -> Response:
    """The endpoint."""
    asked = Chatting(call, call.raw)
    if not call.body["stream"]:
        choices = await unless_gone(call.request, asked.written())
        return Json({**asked.base, "choices": choices, "usage": usage_of(call)})
    writing = Writing(call, asked.served, [asked.request], whole_blocks=asked.top is None)
    return streamed(call, await started(call, writing, asked.streamed(writing)), asked.usage, writing.close)


CHAT = Endpoint(
    "POST", "/v1/chat/completions", chat, "Continue the text of messages (the model knows no conversation)", ANSWER,
    BODY, streams=True,
)  # fmt: skip
