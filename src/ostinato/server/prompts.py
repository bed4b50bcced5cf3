"""Turns the prompts and sampling fields that clients send into `WriteRequest`s."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.generation import Sampler, Stop, WriteRequest
from ostinato.generation.request import new_seed
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.server.problems import Problem
from ostinato.server.schema import Schema, either, integer, number, several, text
from ostinato.server.service import Served

_ID = integer("a token id", 0, (1 << 32) - 1)
PROMPT: Schema = either(
    text("a text"),
    several(text("a text"), minItems=1),
    several(_ID, minItems=1),
    several(several(_ID, minItems=1), minItems=1),
    help_="What is continued: a text, or its token ids; a list of them asks for several at once.",
)
SAMPLING: dict[str, Schema] = {
    "temperature": number("0: always the likeliest token", 0, 100, default=1.0),
    "top_p": number("only the likeliest tokens that together have this probability", 0, 1, default=1.0),
    "top_k": integer("only the k likeliest tokens; 0: all", 0, 1 << 31, default=0),
    "min_p": number("only tokens at least this many times as likely as the likeliest", 0, 1, default=0.0),
    "repetition_penalty": number("recent tokens become this many times less likely", 0.01, 100, default=1.0),
    "presence_penalty": number("taken off the logit of what was drawn before", -2, 2, default=0.0),
    "frequency_penalty": number("taken off the logit of what was drawn before, each time", -2, 2, default=0.0),
    "logit_bias": {
        "type": "object", "additionalProperties": number("added to the logit", -100, 100),
        "description": "token ids with what is added to their logits",
    },
    "seed": integer("the same seed gives the same text", -(1 << 63), (1 << 64) - 1),
    "stop": either(
        text("a text"), several(text("a text"), maxItems=16), help_="Texts before which to stop; they are not returned."
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """One prompt: its text, and the ids in the order in which the model reads them, after `context`."""

    text: str
    ids: tuple[int, ...]

    @property
    def context(self) -> tuple[int, ...]:
        """The ids that the model reads before these: the beginning of a document, unless they already begin with it."""
        return () if self.ids[:1] == (END_OF_DOCUMENT,) else (END_OF_DOCUMENT,)


def read_prompts(served: Served, given: Any, most_tokens: int, most_prompts: int) -> list[Prompt]:
    """The prompts in a body. Raises Problem."""
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if len(given) > most_prompts:
        raise Problem(400, f"at most {most_prompts} prompts can be sent at once, got {len(given)}", param="prompt")
    return [_prompt(served, one, most_tokens) for one in given]


def _prompt(served: Served, given: str | list[int], most: int) -> Prompt:
    if isinstance(given, str):
        ids = served.text_model.encode(given)
    else:
        size = served.model.tokenizer.vocabulary_size
        largest = max(given)
        if largest >= size:
            raise Problem(400, f"token ids must lie in 0 .. {size - 1}, got {largest}", param="prompt")
        ids = tuple(given)
    if len(ids) > most:
        message = f"a prompt may have {most:,} tokens, got {len(ids):,}"
        raise Problem(400, message, param="prompt", code="context_length_exceeded")
    return Prompt(given if isinstance(given, str) else served.model.tokenizer.decode(list(ids)), ids)


def read_sampler(served: Served, body: Mapping[str, Any]) -> Sampler:
    """The sampler for the SAMPLING fields. Raises Problem."""
    bias = []
    size = served.model.tokenizer.vocabulary_size
    for key, value in body.get("logit_bias", {}).items():
        if not (key.isascii() and key.isdecimal() and len(key) < 12 and int(key) < size):
            message = f"logit_bias must name token ids from 0 to {size - 1}, got {key[:40]!r}"
            raise Problem(400, message, param="logit_bias")
        bias.append((int(key), float(value)))
    return Sampler(
        temperature=float(body["temperature"]),
        top_p=float(body["top_p"]) or 1e-12,  # 0 means as little as possible: the likeliest token
        top_k=body["top_k"],
        min_p=float(body["min_p"]),
        repetition_penalty=float(body["repetition_penalty"]),
        presence_penalty=float(body["presence_penalty"]),
        frequency_penalty=float(body["frequency_penalty"]),
        bias=tuple(sorted(bias)),
    )


def read_stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The stop texts."""
    stop = body.get("stop", ())
    return (stop,) if isinstance(stop, str) else tuple(stop)


def read_seed(body: Mapping[str, Any]) -> int:
    """The seed; a new one if none is given. Negative seeds are taken modulo 2^64."""
    return int(body["seed"]) % (1 << 64) if "seed" in body else new_seed()


def request_for(
    prompt: Prompt, sampler: Sampler, *, tokens: int | None, stops: tuple[str, ...], seed: int, count: int
) -> WriteRequest:
    """A request for free writing after one prompt."""
    return WriteRequest(
        prompt=prompt.text, sampler=sampler, stop=Stop(tokens=tokens, texts=stops), seed=seed, count=count
    )
