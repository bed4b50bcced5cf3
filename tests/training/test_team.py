"""A team of N learns what one process would, whatever is learnt and however."""

import os

import numpy as np
import pytest
import team_kit
import torch
from training_kit import HELDOUT, trainer, weights

from ostinato.layers.shares import Share, sharing
from ostinato.models.candidates import Candidates
from ostinato.models.language_model import LanguageModel
from ostinato.models.window_mlp import WindowMLP
from ostinato.settings import ModelSettings
from ostinato.training.team import ALONE, Flat, rows_of

STEPS = int(os.environ.get("OSTINATO_TEAM_STEPS", "30"))


def model(**settings):
    chosen = {"hidden_size": 10, "embedding_size": 6, "dropout": 0.2, "weight_drop": 0.1, **settings}
    with team_kit.TURN:
        torch.manual_seed(0)
        return (WindowMLP if chosen.get("context") else LanguageModel)(ModelSettings(**chosen), 40)


def compare(tmp_path, sizes=(2, 4), candidates=0, tolerance=1e-5, loss_tolerance=1e-5, **settings):
    """The weights of one process and of teams, after STEPS steps; returns the last team's trainers."""
    training = {"batch_size": 5, "steps": STEPS, "evaluate_every": 2.0, "clip": 0.3, "learning_rate": 0.01}
    shape = settings.pop("shape", {})

    def made(team=ALONE):
        network = model(**shape)
        if candidates:
            network.candidates = Candidates(np.arange(40), candidates)
        return trainer(tmp_path, model=network, team=team, heldout=HELDOUT, **{**training, **settings})

    alone = made()
    alone.train()
    for size in sizes:
        team = team_kit.train_all(team_kit.members(size, made))
        assert all(np.array_equal(weights(team[0].model), weights(m.model)) for m in team)
        assert weights(team[0].model) == pytest.approx(weights(alone.model), abs=tolerance)
        assert team[0].position.tokens == alone.position.tokens
        assert team[0].position.best_loss == pytest.approx(alone.position.best_loss, abs=loss_tolerance)
        if alone.state is not None:
            states = alone.state if isinstance(alone.state, tuple) else (alone.state,)
            for mine, theirs in zip(states, team_kit.whole_state(team), strict=True):
                assert torch.allclose(mine.float(), theirs.float(), atol=max(1e-4, tolerance))
    return team


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cells(tmp_path, cell, backend):
    compare(tmp_path, shape={"cell": cell, "layers": 2, "backend": backend}, cell=cell)


@pytest.mark.parametrize("sampling", ["random", "windows"])
def test_samplings(tmp_path, sampling):
    compare(tmp_path, sampling=sampling, stride=3)


@pytest.mark.parametrize("shape", [
    {"tied": True, "embedding_dropout": 0.1, "locked_dropout": True, "layers": 2},
    {"embedding_size": 0},
    {"context": 3},
    {"context": 3, "tied": True},
])  # fmt: skip
def test_shapes(tmp_path, shape):
    compare(tmp_path, shape=shape)


@pytest.mark.parametrize("tied", [False, True])
def test_candidates(tmp_path, tied):
    """All members have the same ones, and send only their rows."""
    team = compare(tmp_path, candidates=4, shape={"tied": tied})
    whole = sum(p.numel() for p in team[0].model.parameters())
    assert max(team[0].team.sent) < whole


@pytest.mark.parametrize("settings", [
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.5},
    {"averaging": 0.9},
    {"accumulate": 3, "steps": 70},
    {"accumulate": 2, "sampling": "random"},
])  # fmt: skip
def test_ways_of_learning(tmp_path, settings):
    compare(tmp_path, **settings)


def test_accumulated_minibatches_are_one_large_one(tmp_path):
    """Random minibatches of 2 rows, three at a time, are those of 6 rows in the same order."""
    runs = [
        trainer(tmp_path, model=model(dropout=0.0, weight_drop=0.0), sampling="random", steps=20, batch_size=size,
                accumulate=number, clip=0.0)
        for size, number in ((6, 1), (2, 3))
    ]  # fmt: skip
    for run in runs:
        run.train()
    assert weights(runs[0].model) == pytest.approx(weights(runs[1].model), abs=1e-5)
    assert runs[0].position.tokens == runs[1].position.tokens


def test_a_minibatch_has_fewer_rows_than_the_team_members(tmp_path):
    """A member without rows takes part all the same."""
    compare(tmp_path, sizes=(4,), batch_size=3, sampling="random")


@pytest.mark.parametrize("sizes", [(4, 2, 1), (1, 3)])
def test_another_team_goes_on(tmp_path, sizes):
    """In the middle of an epoch, with the carried states: no token is seen twice or missed."""
    options = {"batch_size": 5, "evaluate_every": 10.0, "schedule": "constant"}

    def made(team=ALONE, steps=17):
        return trainer(tmp_path, model=model(layers=2), **options, team=team, steps=steps)

    whole = made(steps=17 * len(sizes))
    whole.train()
    for part, size in enumerate(sizes, 1):
        team = team_kit.members(size, lambda team, part=part: made(team, 17 * part)) if size > 1 else [
            made(steps=17 * part)]  # fmt: skip
        for member in team:
            if part > 1:
                member.resume()
        team_kit.train_all(team) if size > 1 else team[0].train()
    assert weights(team[0].model) == pytest.approx(weights(whole.model), abs=1e-5)
    assert (team[0].position.tokens, team[0].position.batch) == (whole.position.tokens, whole.position.batch)


def test_local_steps_meet_every_so_often(tmp_path):
    """Members differ in between, not afterwards; the run ends where they meet."""
    learnt = team_kit.train_all(team_kit.members(2, lambda team: trainer(
        tmp_path, model=model(), team=team, steps=21, local_steps=5, sampling="random")))  # fmt: skip
    assert np.array_equal(weights(learnt[0].model), weights(learnt[1].model))
    assert learnt[0].position.step == 21
    start = weights(model())
    assert np.abs(weights(learnt[0].model) - start).max() > 0.01
    assert learnt[0].team.sent == []
    again = team_kit.members(2, lambda team: trainer(
        tmp_path, model=model(), team=team, steps=31, local_steps=5, sampling="random"))  # fmt: skip
    for member in again:
        member.resume()
    assert np.array_equal(weights(again[0].model), weights(learnt[0].model))
    assert all(torch.equal(a, b) for a, b in zip(again[0].outer._velocity, learnt[0].outer._velocity, strict=True))
    team_kit.train_all(again)
    assert again[1].position.step == 31


def test_the_outer_step_is_nesterovs(tmp_path):
    """Against torch's SGD: with one local step of members that agree, the outer step sees the same gradients."""
    from ostinato.training.outer import MOMENTUM, RATE, Outer

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    other = torch.nn.Parameter(weight.detach().clone())
    outer, sgd = Outer([weight], ALONE), torch.optim.SGD([other], RATE, MOMENTUM, nesterov=True)
    for change in ([0.3, 0.1], [-0.2, 0.4], [0.5, 0.5]):
        with torch.no_grad():
            weight += torch.tensor(change)
        other.grad = -torch.tensor(change)
        outer.step()
        sgd.step()
        assert torch.allclose(weight, other)


def test_rows_are_neighbours_and_nobody_is_left_out():
    for size in (1, 2, 3, 4, 7):
        for count in (0, 1, 5, 8, 32):
            rows = [rows_of(member, count) for member in team_kit.team_of(size)]
            assert [r.start for r in rows[1:]] == [r.stop for r in rows[:-1]]
            assert (rows[0].start, rows[-1].stop) == (0, count)
            assert max(r.stop - r.start for r in rows) - min(r.stop - r.start for r in rows) <= 1


def test_gradients_of_few_rows_are_sent_alone():
    matrix, bias = torch.nn.Parameter(torch.zeros(9, 2)), torch.nn.Parameter(torch.zeros(3))
    rows = torch.tensor([1, 7])
    matrix.grad, bias.grad = torch.zeros(9, 2), torch.ones(3)
    matrix.grad[rows] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    flat = Flat().pack([matrix, bias], 0.5, {matrix: rows})
    assert flat.tolist() == [1, 2, 3, 4, 1, 1, 1, 0.5]
    assert Flat.unpack([matrix, bias], flat * 2, {matrix: rows}) == 1.0
    assert matrix.grad[[0, 1, 7]].tolist() == [[0, 0], [2, 4], [6, 8]]
    assert bias.grad.tolist() == [2, 2, 2]


def halves(*buffers):
    """Each member's sum of the members' buffers, sent in half precision."""
    team, flats = team_kit.team_of(len(buffers)), [torch.tensor(buffer) for buffer in buffers]
    team_kit.run_all([lambda m=m, f=f: m.sum_halves(f) for m, f in zip(team, flats, strict=True)])
    assert all(torch.equal(flats[0], flat) or flats[0].isnan().any() for flat in flats)
    return flats[0]


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e30])
def test_halves_neither_overflow_nor_vanish(scale):
    """Whatever the size of the gradients: to fp16's eleven bits of the largest one. The loss goes in full."""
    rng = np.random.default_rng(1)
    given = (rng.standard_normal((4, 300)) * scale).astype(np.float32)
    given[:, :3] = np.abs(given).max()  # all members' largest ones meet
    given[:, -1] = 3.000001
    found = halves(*given).numpy()
    assert np.abs(found[:-1] - given.sum(axis=0)[:-1]).max() <= 2.0**-11 * 4 * np.abs(given).max()
    assert found[-1] == pytest.approx(12.000004, rel=1e-7)


def test_halves_of_nothing_and_of_what_is_no_number():
    assert halves([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]).tolist() == [0.0, 0.0, 2.0]
    for bad in (float("nan"), float("inf")):  # all members see that the minibatch is to be skipped
        assert not halves([1.0, 2.0, 1.0], [bad, 0.0, 1.0]).isfinite().all()


def test_compressed_gradients_are_learnt_from(tmp_path):
    """Near to what one process learns, not equal; and the same in all members."""
    team = compare(tmp_path, sizes=(2,), tolerance=0.05, compression="fp16", optimizer="sgd", learning_rate=0.1,
                   steps=30, loss_tolerance=1e-3)  # fmt: skip
    exact = team_kit.train_all(team_kit.members(2, lambda team: trainer(
        tmp_path, model=model(), team=team, heldout=HELDOUT, batch_size=5, steps=30, evaluate_every=2.0, clip=0.3,
        optimizer="sgd", learning_rate=0.1)))  # fmt: skip
    assert not np.array_equal(weights(team[0].model), weights(exact[0].model))


@pytest.mark.parametrize("backend", ["torch", "native", "reference"])
def test_a_share_is_cut_out_of_the_whole(backend):
    """Forward in training mode, with dropout everywhere: rows 2 and 3 of five, and all of them."""
    network = model(layers=2, backend=backend)
    ids = torch.arange(40).view(5, 8)
    torch.manual_seed(3)
    whole = network(ids)[0]
    torch.manual_seed(3)
    with sharing(Share(2, 4, 5, ids)):
        part = network(ids[2:4])[0]
    assert torch.allclose(part, whole[2:4], atol=1e-6)
