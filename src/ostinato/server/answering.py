"""What the writing endpoints share: limits, the record of a call, streams of server-sent events."""

from collections.abc import AsyncIterator, Callable

from ostinato.errors import OstinatoError
from ostinato.server.endpoint import Call, EventStream, to_bytes, unless_gone
from ostinato.server.problems import Problem
from ostinato.server.prompts import Prompt
from ostinato.server.service import Served
from ostinato.server.writing import Writing


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + to_bytes(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def started(call: Call, writing: Writing, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts, with the first one already computed, so that a refused request gets its status code instead of a
    stream."""
    try:
        first = await unless_gone(call.request, anext(parts, b""))
    except BaseException:
        writing.close()
        raise

    async def again() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return again()


def streamed(
    call: Call, parts: AsyncIterator[bytes], usage: Callable[[dict[str, int]], bytes], close: Callable[[], None]
) -> EventStream:
    """The response: the parts, the usage and the end. An error in between is sent as an event."""
    call.record.stream = True

    async def whole() -> AsyncIterator[bytes]:
        try:
            async for part in parts:
                yield part
        except OstinatoError as error:
            problem = Problem.of(error)
            problem.message = call.service.without_paths(problem.message)
            call.record.error = problem.code or type(error).__name__
            yield event(problem.to_json())
        else:
            yield usage(usage_of(call))
        yield DONE

    return EventStream(whole(), close, call.service.options.send_seconds)


def usage_of(call: Call) -> dict[str, int]:
    """OpenAI's usage object."""
    read, written = call.record.prompt_tokens, call.record.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def record_call(call: Call, served: Served, prompts: list[Prompt]) -> None:
    """Record for the log what the client requests."""
    call.record.model = served.name
    call.record.prompt_tokens = sum(len(prompt.ids) for prompt in prompts)
    if call.service.options.log_text:
        call.record.prompt = "\n".join(prompt.text for prompt in prompts)


def log_text(call: Call, text_: str) -> None:
    """Record a text for the log, if texts are logged."""
    if call.service.options.log_text:
        call.record.text.append(text_)


def check_limits(call: Call, count: int, tokens: int | None) -> None:
    """Raises Problem if a request wants more or longer texts than this server writes."""
    options = call.service.options
    if count > options.limits.rows:
        raise Problem(400, f"n must be at most {options.limits.rows}, got {count}", param="n")
    if tokens is not None and tokens > options.tokens:
        raise Problem(400, f"max_tokens must be at most {options.tokens:,}, got {tokens:,}", param="max_tokens")


def refuse_backward(served: Served) -> None:
    """Raises Problem if the model reads from right to left, because it cannot continue a text."""
    if served.model.backward:
        message = f"{served.name} reads from right to left and cannot continue a text: use /api/write or /api/score"
        raise Problem(400, message, param="model")
