"""The trainer's seams: a team that shares every minibatch, and observers."""

import numpy as np
import team_kit
from training_kit import HELDOUT, IDS, trainer, weights

from ostinato.runs.language_data import LanguageData
from ostinato.training.observers import Observer


def test_a_team_skips_together_and_stops_together(tmp_path):
    members = team_kit.members(2, lambda team: trainer(tmp_path, team=team, steps=500))
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
    team_kit.train_all(members)
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
