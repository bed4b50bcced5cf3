"""Rolling origins: what is chosen, that its figure comes from what chose nothing, and what a short series gets."""

import numpy as np
import pytest

from ostinato.models.smoothing import LAST_VALUE, SIMPLE, forecasts
from ostinato.runs.backtest import backtest, choose, trial_origins
from ostinato.runs.record_saving import NETWORK
from ostinato.settings import TaskSettings

TASK = TaskSettings(name="forecast", history=8, horizon=4)


def walk(seed, length=100):
    return np.random.default_rng(seed).normal(size=length).cumsum()


def held(length):
    return max(4, length // 10)


def oracle(series):
    """A network that knows all of a series, and one that is wrong everywhere."""

    def knows(known):
        return lambda histories: [series[len(h) : len(h) + 4] for h in histories]

    def errs(known):
        return lambda histories: [np.full(4, 1e3) for _ in histories]

    return knows, errs


def test_trials_begin_where_a_network_can_be_trained_and_tested():
    trials = trial_origins(100, TASK, held)
    assert len(trials) == 4
    assert trials[0] == 50
    assert trials == sorted(set(trials))
    short = trial_origins(26, TASK, held)
    assert short[0] == 16  # 16 - 4 held out = a window of 8 + 4
    assert trial_origins(23, TASK, held) == []
    assert len(trial_origins(5000, TASK, held)) == 1
    assert trial_origins(5000, TASK, held)[0] == 4500


def test_a_trial_is_given_what_comes_before_it():
    series, seen = walk(1), []

    def train(known):
        np.testing.assert_array_equal(known, series[: len(known)])

        def forecast(histories):
            seen.append((len(known), [len(h) for h in histories]))
            assert all(np.array_equal(h, series[: len(h)]) for h in histories)
            return [np.zeros(4) for _ in histories]

        return forecast

    trials = trial_origins(100, TASK, held)
    found = backtest(series, TASK, trials, train)
    assert [length for length, _ in seen] == trials
    assert sorted(o for _, origins in seen for o in origins) == list(range(50, 97))
    assert all(min(origins) >= length for length, origins in seen)
    assert (found.origins, found.trials) == (47, 4)


def test_the_network_is_chosen_where_it_is_better_and_only_there():
    series = walk(2)
    trials = trial_origins(100, TASK, held)
    knows, errs = oracle(series)
    good, bad = backtest(series, TASK, trials, knows), backtest(series, TASK, trials, errs)
    assert good.chosen == NETWORK
    assert good.errors[NETWORK]["mean_absolute_error"] == 0
    assert good.figure["mean_absolute_error"] == 0
    assert bad.chosen == LAST_VALUE
    assert bad.figure["mean_absolute_error"] < 1e3


def test_a_network_that_is_not_tested_is_not_chosen():
    series = walk(3, 30)
    found = backtest(series, TASK, [], oracle(series)[0])
    assert (found.trials, NETWORK in found.errors) == (0, False)
    assert found.chosen != NETWORK


def test_a_network_that_diverged_is_not_chosen():
    series = walk(4)
    found = backtest(
        series, TASK, trial_origins(100, TASK, held), lambda known: lambda hs: [np.full(4, np.inf)] * len(hs)
    )
    assert found.chosen == LAST_VALUE
    assert found.errors[NETWORK] == {"mean_absolute_error": None, "rmse": None}
    assert np.isfinite(found.figure["rmse"])


def test_no_origin_chooses_the_method_of_its_own_figure():
    """Among methods that are all noise, the least mean is too good; the figure is not."""
    promised, least = [], []
    for seed in range(40):
        series = np.random.default_rng(seed).normal(size=60)
        guesses = np.random.default_rng(1000 + seed)
        found = backtest(
            series,
            TASK,
            trial_origins(60, TASK, held),
            lambda known, g=guesses: lambda hs: [g.normal(size=4) for _ in hs],
        )
        promised.append(found.figure["mean_absolute_error"])
        least.append(min(value["mean_absolute_error"] for value in found.errors.values()))
    assert np.mean(promised) > np.mean(least)


def trend(seed):
    return 0.5 * np.arange(100) + 5 * np.random.default_rng(seed).normal(size=100)


@pytest.mark.parametrize(("make", "most"), [(walk, 1.02), (trend, 0.9)])
def test_the_figure_is_near_the_error_on_what_follows(make, most):
    """And the method that is chosen is not worse than the last value by more than noise."""
    rows = []
    for seed in range(60):
        series = make(seed)
        found = backtest(series[:-20], TASK, [], oracle(series)[0])
        at = list(range(80, 97))
        targets = np.stack([series[o : o + 4] for o in at])
        error, last = (np.abs(forecasts(m, series, at, 4)[0] - targets).mean() for m in (found.chosen, LAST_VALUE))
        rows.append((found.figure["mean_absolute_error"], error, last))
    promised, error, last = np.mean(rows, axis=0)
    assert 1 / 1.3 < error / promised < 1.3
    assert error < most * last


def test_a_gain_within_chance_chooses_the_simpler_method():
    at = np.arange(40)
    noise = np.random.default_rng(5).normal(size=40)
    errors = {LAST_VALUE: 2 + noise, SIMPLE: 1.95 + noise[::-1]}
    assert choose(errors, at, 4) == LAST_VALUE
    assert choose({LAST_VALUE: 2 + noise, SIMPLE: 1 + noise}, at, 4) == SIMPLE
    assert choose({LAST_VALUE: np.ones(1), SIMPLE: np.zeros(1)}, np.array([3]), 4) == SIMPLE


def test_a_season_and_a_logarithm():
    t = np.arange(96)
    series = np.exp(0.02 * t + np.sin(t * np.pi / 3))
    task = TaskSettings(name="forecast", history=8, horizon=4, logarithm=True)
    found = backtest(series, task, [], oracle(series)[0])
    assert found.season == 6
    assert "season" in found.chosen
    assert found.figure["mean_absolute_error"] < 0.3 * found.errors[LAST_VALUE]["mean_absolute_error"]


@pytest.mark.parametrize("series", [np.ones(40), np.r_[np.zeros(39), 1e300], np.arange(40.0) * 1e306])
def test_extreme_series(series):
    found = backtest(series, TASK, trial_origins(40, TASK, held), oracle(series)[1])
    assert found.chosen in found.errors
