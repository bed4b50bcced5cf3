"""The training loop: it learns, evaluates honestly, resumes exactly, and survives numbers that are none."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from training_kit import HELDOUT, IDS, Watcher, trainer, weights

from ostinato.errors import BundleError, TextError, TrainingError
from ostinato.models.step import TorchStepModel
from ostinato.training.checkpoint import Position, load_checkpoint
from ostinato.training.metrics import MetricsFile, read_metrics
from ostinato.training.observers import Row


def test_it_learns_that_tokens_come_twice(tmp_path):
    t = trainer(tmp_path, steps=150, evaluate_every=1.0)
    outcome = t.train()
    assert outcome.reason == "finished"
    assert outcome.position.step == 150
    best = math.log(3) / 2  # every second token is certain, the other one of three
    assert best - 0.02 < t.data.evaluate()[0] < best + 0.12


def test_rows_say_what_was_measured(tmp_path):
    watcher = Watcher()
    t = trainer(tmp_path, steps=70, evaluate_every=1.0, watcher=watcher)
    t.train()
    per_epoch = (len(IDS) // 4 - 1) // 8
    rows = [row for row, _ in watcher.rows]
    assert [row.step for row in rows] == [per_epoch, 70]
    assert rows[0].train_loss == pytest.approx(np.mean(watcher.losses[:per_epoch]))
    assert rows[1].train_loss == pytest.approx(np.mean(watcher.losses[per_epoch:]))
    assert rows[1].tokens == 70 * 32
    exact = -TorchStepModel(t.model).score(HELDOUT).mean()
    assert rows[1].heldout_loss == pytest.approx(exact, abs=1e-5)
    written = read_metrics(tmp_path / "metrics.jsonl")
    assert all(set(row) == {
        "step", "epoch", "seconds", "tokens", "train_loss", "heldout_loss", "learning_rate", "tokens_per_second"
    } for row in written)  # fmt: skip
    assert [row["step"] for row in written if row["heldout_loss"] is not None] == [per_epoch, 70]


def test_there_are_rows_between_evaluations(tmp_path):
    watcher = Watcher()
    trainer(tmp_path, steps=70, evaluate_every=100.0, watcher=watcher).train()
    written = read_metrics(tmp_path / "metrics.jsonl")
    assert len(written) >= 20
    steps = [row["step"] for row in written]
    assert steps == sorted(set(steps))
    assert [row["heldout_loss"] is None for row in written] == [True] * (len(written) - 1) + [False]
    for before, row in pairwise([{"step": 0}, *written[:-1]]):
        assert row["train_loss"] == pytest.approx(np.mean(watcher.losses[before["step"] : row["step"]]))


def test_a_checkpoint_exists_from_the_first_step(tmp_path):
    steps = []

    class Looks(Watcher):
        def logged(self, row):
            steps.append(load_checkpoint(tmp_path / "checkpoint").position.step if row.step > 1 else 0)

    trainer(tmp_path, steps=40, evaluate_every=100.0, watcher=Looks()).train()
    assert set(steps[1:]) == {1}


def test_the_learning_rate_follows_the_schedule(tmp_path):
    watcher = Watcher()
    trainer(tmp_path, steps=40, schedule="linear", warmup=0.0, evaluate_every=10 / 43, watcher=watcher).train()
    rates = [row.learning_rate for row, _ in watcher.rows]
    assert rates == pytest.approx([0.02 * (1 - k / 40) for k in (9, 19, 29, 39)])


@pytest.mark.parametrize("sampling", ["random", "consecutive", "windows"])
@pytest.mark.parametrize("more", [{"averaging": 0.9}, {"optimizer": "sgd", "momentum": 0.9, "schedule": "plateau"}])
def test_a_resumed_run_is_bit_identical(tmp_path, sampling, more):
    settings = {"steps": 60, "sampling": sampling, "evaluate_every": 0.2, "plateau_patience": 0, **more}
    whole = trainer(tmp_path / "whole", **settings)
    whole.folder.mkdir()
    whole.train()
    torch.rand(3)  # randomness does not depend on what else the process draws

    folder = tmp_path / "parts"
    folder.mkdir()
    for stop_at in (1, 17, 44, None):
        watcher = Watcher()
        part = trainer(folder, watcher=watcher, **settings)
        if stop_at != 1:
            part.resume()

        def stop(position, loss, progress, part=part, stop_at=stop_at):
            part.interrupted = position.step == stop_at

        watcher.stepped = stop
        reason = part.train().reason
        assert reason == ("finished" if stop_at is None else "interrupted")
    assert np.array_equal(weights(part.model), weights(whole.model))
    left = load_checkpoint(folder / "checkpoint")
    right = load_checkpoint(whole.folder / "checkpoint")
    assert left.tensors.keys() == right.tensors.keys()
    assert all(torch.equal(left.tensors[name], right.tensors[name]) for name in left.tensors)
    left.position.seconds = right.position.seconds = 0.0
    assert left.position == right.position


def test_metrics_have_every_step_once_across_a_resume(tmp_path):
    watcher = Watcher()
    t = trainer(tmp_path, steps=40, evaluate_every=0.1, watcher=watcher)
    watcher.stepped = lambda position, loss, progress: setattr(t, "interrupted", position.step == 22)
    t.train()
    (tmp_path / "metrics.jsonl").write_bytes((tmp_path / "metrics.jsonl").read_bytes() + b'{"step": 24, "epo')
    again = trainer(tmp_path, steps=40, evaluate_every=0.1)
    again.resume()
    again.train()
    steps = [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40


def test_early_stopping_after_evaluations_without_improvement(tmp_path):
    watcher = Watcher()
    outcome = trainer(tmp_path, steps=500, learning_rate=1e-12, patience=2, evaluate_every=0.1, watcher=watcher).train()
    assert outcome.reason == "early"
    assert outcome.position.stale == 2
    assert outcome.position.step < 500
    again = trainer(tmp_path, steps=500, learning_rate=1e-12, patience=2, evaluate_every=0.1)
    again.resume()
    assert again.train().position.step == outcome.position.step


def test_minutes_end_a_run(tmp_path):
    t = trainer(tmp_path, steps=None, minutes=0.01, evaluate_every=5.0)
    outcome = t.train()
    assert outcome.reason == "finished"
    assert outcome.position.seconds >= 0.6
    with pytest.raises(TrainingError, match="no budget is set"):
        trainer(tmp_path, steps=None)


def _poisoned(t, steps):
    """Make the loss of the given steps not a number."""
    loss = t.model.loss

    def poisoned(ids, targets, state=None):
        value, state = loss(ids, targets, state)
        return (value * math.nan if t.position.step in steps else value), state

    t.model.loss = poisoned
    return t


def test_a_loss_that_is_not_finite_never_reaches_the_weights(tmp_path):
    watcher = Watcher()
    t = _poisoned(trainer(tmp_path, steps=20, watcher=watcher), {3, 4, 11})
    outcome = t.train()
    assert outcome.position.skipped == 3
    assert np.isfinite(weights(t.model)).all()
    skips = [note for note in watcher.notes if "minibatch skipped" in note]
    assert skips == ["step 3: loss nan: minibatch skipped", "step 11: loss nan: minibatch skipped"]
    assert np.isfinite(watcher.rows[-1][0].train_loss)


def test_ten_in_a_row_stop_with_a_clear_error(tmp_path):
    t = _poisoned(trainer(tmp_path, steps=60), set(range(20, 60)))
    with pytest.raises(TrainingError, match=r"not finite 10 times in a row \(step 29\); lower training.learning_rate"):
        t.train()
    assert np.isfinite(weights(t.model)).all()


def test_without_a_held_out_split_the_training_loss_decides(tmp_path):
    watcher = Watcher()
    trainer(tmp_path, heldout=HELDOUT[:0], steps=30, evaluate_every=0.25, watcher=watcher).train()
    assert all(row.heldout_loss is None for row, _ in watcher.rows)
    assert watcher.rows[-1][1]


def test_clipping_bounds_the_update(tmp_path):
    t = trainer(tmp_path, steps=1, optimizer="sgd", learning_rate=1.0, clip=0.01, warmup=0.0, schedule="constant")
    before = weights(t.model)
    t.train()
    assert np.linalg.norm(weights(t.model) - before) == pytest.approx(0.01, rel=1e-3)


def test_too_short_a_text_is_said_before_training(tmp_path):
    with pytest.raises(TextError, match="the training text is too short: 1400 tokens"):
        trainer(tmp_path, batch_size=200)


def test_checkpoints_that_are_missing_or_damaged(tmp_path):
    with pytest.raises(TrainingError, match="nothing to resume"):
        trainer(tmp_path).resume()
    trainer(tmp_path, steps=2).train()
    state = tmp_path / "checkpoint" / "state.json"
    state.write_text(state.read_text().replace('"step": 2', '"step": 3'))
    with pytest.raises(BundleError, match="does not match its checksum"):
        trainer(tmp_path).resume()


def test_positions_survive_json():
    position = Position(step=3, best_loss=math.inf, loss_sum=0.1 + 0.2)
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position


def test_a_metrics_file_skips_what_it_has(tmp_path):
    path = tmp_path / "metrics.jsonl"
    row = Row(5, 0.5, 1.0, 100, 2.0, None, 0.1, 50.0)
    MetricsFile(path).append(row)
    MetricsFile(path).append(row)
    assert len(read_metrics(path)) == 1
    assert read_metrics(tmp_path / "none") == []


def test_a_rehearsal_of_a_step_changes_nothing(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    rehearsed, plain = trainer(tmp_path / "a", steps=12), trainer(tmp_path / "b", steps=12)
    assert all(rehearsed.rehearse() > 0 for _ in range(3))
    assert rehearsed.position.step == 0
    for one in (rehearsed, plain):
        one.train()
    assert np.array_equal(weights(rehearsed.model), weights(plain.model))


def test_steps_left_are_those_of_the_budget(tmp_path):
    one = trainer(tmp_path, steps=12)
    assert one.steps_left() == 12
    one.train()
    assert one.steps_left() == 0
    assert trainer(tmp_path, steps=None, minutes=1.0).steps_left() is None
