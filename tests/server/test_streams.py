"""The way from the engine's thread to a client: slow readers, clients that go away, what is said in one go."""

import asyncio
import contextlib
import threading

import pytest

from ostinato.engine import StoppedError
from ostinato.generation import Piece
from ostinato.server.endpoint import EventStream
from ostinato.server.outbox import Outbox
from ostinato.server.writing import _merged


async def forever():
    await asyncio.Event().wait()


async def parts():
    while True:
        yield b"data: 1\n\n"


def test_a_reader_that_takes_nothing_loses_its_stream():
    closed, sent = [], []

    async def send(message):
        sent.append(message)
        if len(sent) == 5:
            await forever()

    async def run():
        stream = EventStream(parts(), lambda: closed.append(True), send_seconds=0.05)
        with pytest.raises(StoppedError, match="took nothing for too long"):
            await stream({}, forever, send)
        await asyncio.sleep(0)  # the task goes on as if nothing had been cancelled

    asyncio.run(run())
    assert len(sent) == 5
    assert closed


def test_a_reader_that_is_slow_but_reads_keeps_its_stream():
    async def some():
        for _ in range(4):
            yield b"data: 1\n\n"

    sent = []

    async def send(message):
        await asyncio.sleep(0.03)
        sent.append(message)

    asyncio.run(EventStream(some(), lambda: None, send_seconds=0.06)({}, forever, send))
    assert [m.get("more_body") for m in sent] == [None, True, True, True, True, False]


def test_a_stream_that_is_cancelled_from_outside_is_cancelled():
    async def run():
        task = asyncio.ensure_future(EventStream(parts(), lambda: None, 60)({}, forever, lambda message: forever()))
        await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(run())


def test_what_was_kept_goes_over_in_one_call_in_order():
    got = []

    class Receiver:
        def receive(self, number, events, error):
            got.append((number, events, error))

    async def run():
        outbox, receiver = Outbox(), Receiver()

        def tell():
            for number in range(50):
                outbox.put(receiver, number, [], None)
            outbox.send()
            outbox.send()

        thread = threading.Thread(target=tell)
        thread.start()
        thread.join()
        assert not got
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert [number for number, _, _ in got] == list(range(50))


def test_pieces_of_a_text_that_follow_each_other_become_one():
    pieces = [(0, 0, Piece(7, "a", False, (1,))), (0, 0, Piece(7, "b", False, (2, 3))), (0, 1, Piece(8, "c"))]
    titled = [(0, 1, Piece(8, "t", True)), (1, 1, Piece(8, "d"))]
    found = _merged([*pieces, *titled])
    assert [(n, row, one.text, one.ids) for n, row, one in found] == [
        (0, 0, "ab", (1, 2, 3)), (0, 1, "c", ()), (0, 1, "t", ()), (1, 1, "d", ()),
    ]  # fmt: skip
