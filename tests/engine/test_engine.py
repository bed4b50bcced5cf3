"""The engine without HTTP: many requests at once, each the same as alone; cancelled, late, refused and failed ones."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.engine import DeadlineError, Engine, FullError, Limits, Reader, StoppingError
from ostinato.errors import GenerationError, UnavailableError, UsageError
from ostinato.generation import Failed, Sampler, Stop, WriteRequest, Written

OLD = Path(__file__).parents[1] / "old"
FOREVER = WriteRequest(stop=Stop(lines=10**6), seed=1)


class Kept:
    """A sink that keeps what it gets; `wait` for the end of `count` texts, or for an error."""

    def __init__(self, count=1):
        self.events, self.error, self._count = [], None, count
        self._over = threading.Event()
        self.begun = threading.Event()

    def __call__(self, events, error):
        self.events += events
        self.error = error
        self.begun.set()
        if error or len(self.texts) == self._count:
            self._over.set()

    @property
    def texts(self):
        return {row: event.text for row, event in self.events if isinstance(event, Written)}

    def wait(self):
        assert self._over.wait(20), "it did not end"
        return [self.texts[row] for row in sorted(self.texts)]


@pytest.fixture(scope="module")
def model():
    return ostinato.load(OLD / "songs" / "model")


@pytest.fixture
def engine(model):
    found = Engine(model.text_model, Limits(rows=8, queue=4))
    yield found
    assert found.stop(drain=False, timeout=20)


def test_every_text_is_the_same_alone_and_in_company(model, engine):
    requests = [
        WriteRequest(
            prompt="风" * (seed % 3), seed=seed, count=1 + seed % 3, stop=Stop(lines=2 + seed % 4),
            sampler=Sampler(temperature=0.5 + seed % 2, presence_penalty=seed % 2, bias=((280, 1.0),) * (seed % 2)),
        )
        for seed in range(12)
    ]  # fmt: skip
    sinks = [Kept(request.count) for request in requests]
    for request, sink in zip(requests, sinks, strict=True):
        while True:
            try:
                engine.write(request, sink)
                break
            except FullError:
                time.sleep(0.01)
    together = [sink.wait() for sink in sinks]
    alone = [[w.text for w in ostinato.generation.write(model.text_model, request)] for request in requests]
    assert together == alone


def test_a_cancelled_job_frees_its_row_and_the_queue_moves_on(engine):
    jobs = [engine.write(FOREVER, sink := Kept()) for _ in range(8)]
    waiting = Kept()
    engine.write(WriteRequest(seed=3, stop=Stop(tokens=5)), waiting)
    assert sink.begun.wait(10)
    assert engine.rows == 8
    assert engine.waiting == 1
    for job in jobs[:3]:
        job.cancel()
    assert len(waiting.wait()) == 1
    assert engine.rows == 5


def test_what_does_not_fit_is_refused(engine):
    for _ in range(8):
        engine.write(FOREVER, Kept())
    for _ in range(4):
        engine.write(FOREVER, Kept())
    with pytest.raises(FullError, match="waiting already"):
        engine.write(FOREVER, Kept())
    with pytest.raises(UsageError, match="at most 8 texts"):
        engine.write(WriteRequest(count=9), Kept())


def test_a_deadline_ends_jobs_in_the_batch_and_in_the_queue(engine):
    sinks = [Kept() for _ in range(10)]
    for sink in sinks:
        engine.write(FOREVER, sink, seconds=0.2)
    for sink in sinks:
        sink.wait()
        assert isinstance(sink.error, DeadlineError)
    assert (engine.rows, engine.waiting) == (0, 0)


def test_what_cannot_be_asked_of_the_model_reaches_the_sink(engine):
    sink = Kept()
    engine.write(WriteRequest(sampler=Sampler(bias=((10**6, 1.0),))), sink)
    sink.wait()
    assert isinstance(sink.error, UsageError)
    failed = Kept(2)
    engine._batch.advance = lambda: [Failed(min(engine._running), GenerationError("it cannot go on"))]
    engine.write(WriteRequest(count=2), failed)
    failed.wait()
    assert isinstance(failed.error, GenerationError)
    assert engine.rows == 0


def test_stopping_finishes_what_was_taken(model):
    engine = Engine(model.text_model, Limits(rows=1))
    sinks = [Kept() for _ in range(5)]
    for seed, sink in enumerate(sinks):
        engine.write(WriteRequest(seed=seed, stop=Stop(tokens=40)), sink)
    assert engine.stop(timeout=20)
    assert all(len(sink.wait()) == 1 for sink in sinks)
    with pytest.raises(StoppingError):
        engine.write(WriteRequest(), Kept())


def test_a_fault_ends_the_requests_of_its_moment_and_not_the_engine(model):
    faults = []
    engine = Engine(model.text_model, Limits(rows=4), faults.append)
    broken = Kept()
    engine._batch.advance = lambda: 1 / 0
    engine.write(FOREVER, broken)
    broken.wait()
    assert isinstance(broken.error, UnavailableError)
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    after = Kept()
    engine.write(WriteRequest(seed=1, stop=Stop(tokens=5)), after)
    assert len(after.wait()) == 1
    assert engine.stop(drain=False, timeout=20)


def test_a_form_is_written_beside_and_can_be_cancelled(model, engine):
    form = ostinato.Form(lines=2, length="2-6", language="zh")
    sink = Kept()
    engine.write(WriteRequest(form=form, seed=1), sink)
    sink.wait()
    if sink.error is None:
        assert sink.wait() == [model.write(form=form, seed=1, temperature=0.8)]
    late = Kept()
    engine.write(WriteRequest(form=ostinato.Form(lines=400, length="2-6", language="zh")), late, seconds=0.05)
    late.wait()
    assert isinstance(late.error, DeadlineError | GenerationError)


def test_a_reader_reads_as_the_model_scores(model):
    ids = model.ids("风在山里").tolist()
    readings = Reader(model.step_model, (0,), 5).read(ids)
    scores = model.step_model.score(np.array(ids, np.uint32))
    assert [one.log_probability for one in readings] == pytest.approx(scores.tolist(), abs=1e-5)
    for one in readings:
        values = [value for _, value in one.top]
        assert values == sorted(values, reverse=True)
        assert (one.rank == 1) == (one.log_probability == values[0])
