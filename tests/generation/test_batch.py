"""Rows of different requests in one batch: each text is the same alone and in any company."""

import numpy as np
import pytest
from test_loop import CHARACTERS, Blocked, Hashed, hashed

from ostinato.errors import GenerationError, UsageError
from ostinato.generation import Batch, Failed, Piece, Sampler, Stop, TextModel, WriteRequest, Written, stream, write
from ostinato.protocols import END_OF_DOCUMENT


class Joining(Hashed):
    def join(self, states):
        return tuple(row for state in states for row in state)


class JoiningBlocked(Blocked, Joining):
    pass


KINDS = [Hashed, Joining, JoiningBlocked]
REQUESTS = [
    WriteRequest(prompt="春天", seed=1, sampler=Sampler(temperature=0.7, top_k=5), stop=Stop(tokens=50), count=2),
    WriteRequest(prompt="", seed=2, sampler=Sampler(repetition_penalty=1.5, recent=4), stop=Stop(lines=3)),
    WriteRequest(prompt="你说雨停了", seed=3, sampler=Sampler(temperature=0), stop=Stop(texts=("天",), tokens=20)),
    WriteRequest(prompt="夏", seed=1, sampler=Sampler(top_p=0.9), stop=Stop(lines=2), title="分开"),
    WriteRequest(prompt="# 分", seed=9, stop=Stop(lines=1)),
    WriteRequest(prompt="龘", seed=4, sampler=Sampler(temperature=1.7), stop=Stop(tokens=40)),  # spelled in bytes
]


def text_model(kind):
    return TextModel(hashed(CHARACTERS, kind), CHARACTERS, heading="# ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_writes_the_same_alone_and_in_company(kind):
    alone = [write(text_model(kind), request) for request in REQUESTS]
    assert [w.text for w in write(text_model(kind), REQUESTS)] == [w.text for texts in alone for w in texts]

    batch, finished, waiting = Batch(text_model(kind)), {}, list(REQUESTS)
    rows = [batch.admit(waiting.pop(0))]
    turn = 0
    while batch:
        for event in batch.advance():
            if isinstance(event, Written):
                finished[event.row] = event
        turn += 1
        if waiting and turn % 2:
            rows.append(batch.admit(waiting.pop(0)))  # while the others are being written
    assert [[finished[row].text for row in of] for of in rows] == [[w.text for w in texts] for texts in alone]
    assert [[finished[row].ids for row in of] for of in rows] == [[w.ids for w in texts] for texts in alone]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_row_is_not_heard_of_and_the_others_go_on(kind):
    batch = Batch(text_model(kind))
    first, second = batch.admit(REQUESTS[0])
    (third,) = batch.admit(REQUESTS[1])
    events = batch.advance()
    batch.drop(second)
    batch.drop(second)
    batch.drop(99)
    assert len(batch) == 2
    while batch:
        later = batch.advance()
        assert second not in {event.row for event in later}
        events += later
    written = {event.row: event.text for event in events if isinstance(event, Written)}
    assert written == {
        first: write(text_model(kind), REQUESTS[0])[0].text,
        third: write(text_model(kind), REQUESTS[1])[0].text,
    }
    batch.drop(first)
    fresh = Batch(text_model(kind))
    for row in fresh.admit(REQUESTS[0]):
        fresh.drop(row)
    assert not fresh


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_cannot_go_on_fails_alone(kind):
    class Broken(kind):
        def logits(self, row):
            return np.full(self.vocabulary_size, np.nan) if row[1:2] == (270,) else super().logits(row)

    model = TextModel(Broken(CHARACTERS.vocabulary_size), CHARACTERS)
    bad = WriteRequest(prompt=CHARACTERS.token(270), seed=1, stop=Stop(tokens=3), sampler=Sampler(top_k=1))
    good = WriteRequest(prompt="", seed=1, stop=Stop(tokens=3), sampler=Sampler(temperature=0))
    batch = Batch(model)
    (failing,), (fine,) = batch.admit(bad), batch.admit(good)
    events = []
    while batch:
        events += batch.advance()
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.row == failing
    assert [event.row for event in events if isinstance(event, Written)] == [fine]
    with pytest.raises(GenerationError, match="not finite numbers"):
        list(stream(model, bad))


def test_a_request_that_is_refused_leaves_the_batch_as_it_was():
    batch = Batch(TextModel(hashed(), CHARACTERS))
    with pytest.raises(UsageError, match="no titles"):
        batch.admit(WriteRequest(title="x"))
    with pytest.raises(UsageError, match="max_copy= needs the model's training text"):
        batch.admit(WriteRequest(max_copy=3))
    assert not batch
    assert batch.admit(WriteRequest(stop=Stop(tokens=1))) == [0]


def test_a_long_prompt_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr("ostinato.generation.batch.READ_AT_ONCE", 10)
    batch = Batch(TextModel(hashed(CHARACTERS, Joining), CHARACTERS))
    (short,) = batch.admit(WriteRequest(prompt="雨", seed=1, stop=Stop(tokens=8)))
    (long,) = batch.admit(WriteRequest(prompt="春天" * 100, seed=1, stop=Stop(tokens=8)))
    order = []
    while batch:
        order += [event.row for event in batch.advance() if isinstance(event, Written)]
    assert order == [short, long]


class Forbidding:
    """Forbids the last id that was read or drawn."""

    span = 1

    def forbidden(self, last):
        mask = np.zeros(CHARACTERS.vocabulary_size, np.bool_)
        mask[last[-1]] = True
        return mask


@pytest.mark.parametrize("kind", KINDS)
def test_a_restriction_belongs_to_its_row(kind):
    model = TextModel(hashed(CHARACTERS, kind), CHARACTERS, restrict=lambda limit: Forbidding())
    options = {"seed": 5, "stop": Stop(tokens=60), "sampler": Sampler(temperature=0.2)}
    free, held = write(model, [WriteRequest(**options), WriteRequest(max_copy=1, **options)])
    assert all(a != b for a, b in zip(held.ids, held.ids[1:], strict=False))
    assert any(a == b for a, b in zip(free.ids, free.ids[1:], strict=False))


def test_where_lines_are_documents_the_end_of_one_ends_a_line():
    class Ending(Hashed):
        def logits(self, row):
            z = np.full(self.vocabulary_size, -20.0)
            since = row[::-1].index(END_OF_DOCUMENT)
            z[CHARACTERS.encode("雨停了")[since] if since < 3 else END_OF_DOCUMENT] = 0
            return z

    asked = WriteRequest(prompt="雨", stop=Stop(lines=3), seed=1)
    model = TextModel(Ending(CHARACTERS.vocabulary_size), CHARACTERS, line_documents=True)
    (written,) = write(model, asked)
    assert (written.text, written.reason) == ("雨停了\n雨停了\n雨停了", "lines")
    pieces = [event.text for event in stream(model, asked) if isinstance(event, Piece)]
    assert "".join(pieces) == written.text
    (short,) = write(model, WriteRequest(stop=Stop(lines=3, fill=False), seed=1))
    assert (short.text, short.reason) == ("雨停了", "end of document")
    (again,) = write(model, WriteRequest(prompt="雨停了\n雨", stop=Stop(lines=3), seed=1))
    assert again.text == written.text
