"""The trainer's seams: a team that shares every minibatch, and observers."""

import threading

import numpy as np
import pytest
import torch
from training_kit import HELDOUT, IDS, trainer, weights

from ostinato.runs.tasks.language import LanguageData
from ostinato.training.observers import Observer
from ostinato.training.team import flat_gradients, put_back


class Half:
    """One member's rows of every minibatch."""

    def __init__(self, data, rows):
        self.data, self.rows = data, rows

    def epoch(self, number):
        whole, rows = self.data.epoch(number), self.rows

        class Rows:
            carries_state = whole.carries_state

            def __len__(self):
                return len(whole)

            def __getitem__(self, k):
                return [np.ascontiguousarray(array[rows]) for array in whole[k]]

        return Rows()

    def targets(self, batch):
        return self.data.targets(batch)

    def evaluate(self):
        return self.data.evaluate()


class Thread:
    """A team whose members are threads."""

    shared = {}  # noqa: RUF012 - one team at a time
    barrier = threading.Barrier(2)
    turn = threading.Lock()

    def __init__(self, rank):
        self.rank, self.size = rank, 2

    def exchange(self, value):
        self.shared[self.rank] = value
        self.barrier.wait()
        found = [self.shared[rank] for rank in range(2)]
        self.barrier.wait()
        return found

    def reduce(self, parameters, loss, count):
        return put_back(parameters, sum(self.exchange(flat_gradients(parameters, loss, count))))

    def agree(self, seconds, interrupted):
        both = self.exchange((seconds, interrupted))
        return both[0][0], any(stop for _, stop in both)

    def lead(self, loss):
        return self.exchange(loss)[0]

    def gather(self, state):
        both = self.exchange(state)
        return tuple(torch.cat(parts, dim=1) for parts in zip(*both, strict=True))

    def own(self, state):
        return tuple(part.chunk(2, dim=1)[self.rank].contiguous() for part in state)


def member(folder, rank, **settings):
    team = Thread(rank)
    made = trainer(folder, team=team, dropout=False, **settings)
    made.data = Half(made.data, slice(0, 3) if rank == 0 else slice(3, 4))
    return made


def together(members):
    errors = []

    def run(one):
        try:
            one.train()
        except BaseException as error:
            errors.append(error)
            Thread.barrier.abort()

    threads = [threading.Thread(target=run, args=(one,)) for one in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_a_team_of_two_learns_what_one_would(tmp_path):
    """Unequal shares, carried state, clipping: the mean over all targets is what counts."""
    settings = {"steps": 25, "evaluate_every": 0.25, "cell": "gru", "clip": 0.05}
    alone = trainer(tmp_path, dropout=False, **settings)
    (tmp_path / "team").mkdir()
    alone.train()
    members = [member(tmp_path / "team", rank, **settings) for rank in range(2)]
    together(members)
    assert np.array_equal(weights(members[0].model), weights(members[1].model))
    assert weights(members[0].model) == pytest.approx(weights(alone.model), abs=1e-5)
    assert members[0].position.tokens == alone.position.tokens
    state = alone.state
    assert torch.allclose(torch.cat([m.state for m in members], dim=1), state, atol=1e-5)


def test_a_team_skips_together_and_stops_together(tmp_path):
    members = [member(tmp_path, rank, steps=500) for rank in range(2)]
    loss = members[1].model.loss

    def poisoned(ids, targets, state=None):
        value, state = loss(ids, targets, state)
        return (value * float("nan") if members[1].position.step == 3 else value), state

    members[1].model.loss = poisoned
    step = members[1]._step

    def stepping(*arguments):
        members[1].interrupted = members[1].position.step == 9
        return step(*arguments)

    members[1]._step = stepping
    together(members)
    assert [m.position.skipped for m in members] == [1, 1]
    assert members[0].position.step == members[1].position.step == 10
    assert np.array_equal(weights(members[0].model), weights(members[1].model))


def test_observers_hear_everything_in_order(tmp_path):
    heard = []

    class Listener(Observer):
        def __init__(self, name):
            self.name = name

        def started(self, settings, position):
            heard.append((self.name, "started", settings.steps, position.step))

        def evaluated(self, row, best):
            heard.append((self.name, "evaluated", row.step, best))

        def finished(self):
            heard.append((self.name, "finished"))

    t = trainer(tmp_path, steps=3)
    t.observers.all = [Listener("a"), Listener("b")]
    t.train()
    assert heard == [
        (name, *event) for event in (("started", 3, 0), ("evaluated", 3, True), ("finished",)) for name in "ab"
    ]


def test_a_listener_hears_nothing(tmp_path):
    listener = Observer()
    listener.started(None, None)
    listener.stepped(None, 0.0, 0.0)
    listener.noted("")
    listener.finished()
    assert len(LanguageData(None, IDS, HELDOUT[:0], None).evaluate()) == 2
