"""Forecasts without a network: the recursion agrees with its equations, and nothing after an origin is known there."""

import numpy as np
import pytest

from ostinato.errors import TextError
from ostinato.models.smoothing import (
    LAST_SEASON,
    LAST_VALUE,
    METHODS,
    SEASONAL,
    SIMPLE,
    TREND,
    evident_season,
    forecasts,
    logarithms,
    parameter_grid,
)


def by_hand(series, horizon, season, alpha, beta, phi, gamma):
    """Component form of the additive damped method, one value after the other (sections 8.3 and 8.5)."""
    m = max(season, 1)
    start = series[:m]
    level, trend = sum(start) / m, 0.0
    seasons = [value - level if season else 0.0 for value in start]
    for value in series[m:]:
        error = value - level - phi * trend - seasons[-m]
        level, trend = level + phi * trend + alpha * error, phi * trend + alpha * beta * error
        seasons.append(seasons[-m] + (gamma * (1 - alpha) * error if season else 0.0))
    made, damped = [], 0.0
    for h in range(1, horizon + 1):
        damped += phi**h
        made.append(level + damped * trend + seasons[-m + (h - 1) % m])
    return made


@pytest.mark.parametrize(
    ("method", "season", "parameters"),
    [
        (SIMPLE, 0, (0.3, 0.0, 0.0, 0.0)),
        (TREND, 0, (0.4, 0.2, 0.9, 0.0)),
        (TREND, 0, (1.0, 0.4, 1.0, 0.0)),
        (SEASONAL, 4, (0.3, 0.1, 0.98, 0.4)),
        (SEASONAL, 5, (0.1, 0.3, 1.0, 0.2)),
    ],
)
def test_the_recursion_is_that_of_the_equations(method, season, parameters):
    series = np.random.default_rng(1).normal(size=31).cumsum()
    made, chosen = forecasts(method, series, [23, 31], 7, season=season, grid=np.array([parameters]))
    assert chosen.tolist() == [list(parameters)] * 2
    for row, origin in zip(made, (23, 31), strict=True):
        np.testing.assert_allclose(row, by_hand(series[:origin].tolist(), 7, season, *parameters), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_forecast_knows_nothing_after_its_origin(method):
    series = np.random.default_rng(2).normal(size=60).cumsum()
    other = series.copy()
    other[40:] = 1e3
    at = [20, 33, 40]
    for one, two in zip(forecasts(method, series, at, 5, season=6), forecasts(method, other, at, 5, season=6),
                        strict=True):  # fmt: skip
        np.testing.assert_array_equal(one, two)


def test_parameters_are_those_with_the_least_error_so_far():
    series = np.random.default_rng(3).normal(size=50)
    (chosen,) = forecasts(SIMPLE, series, [50], 1)[1]
    errors = {}
    for alpha in parameter_grid(SIMPLE)[:, 0]:
        level, errors[alpha] = series[0], 0.0
        for value in series[1:]:
            errors[alpha] += (value - level) ** 2
            level += alpha * (value - level)
    assert chosen[0] == min(errors, key=errors.get)


def test_what_repeats_and_what_grows_is_forecast():
    line = np.arange(30.0)
    assert forecasts(LAST_VALUE, line, [30], 3)[0].tolist() == [[29, 29, 29]]
    assert forecasts(LAST_SEASON, line, [29, 30], 5, season=3)[0].tolist() == [
        [26, 27, 28, 26, 27],
        [27, 28, 29, 27, 28],
    ]
    np.testing.assert_allclose(forecasts(TREND, line, [30], 3)[0], [[30, 31, 32]], atol=0.5)
    wave = np.tile([0.0, 5.0, 1.0, 3.0], 8)
    np.testing.assert_allclose(forecasts(SEASONAL, wave, [32], 6, season=4)[0], [[0, 5, 1, 3, 0, 5]], atol=1e-9)


def test_which_season_is_evident():
    noise = np.random.default_rng(4).normal(size=120)
    assert evident_season(10 * np.sin(np.arange(120) * 2 * np.pi / 12) + np.arange(120) + noise) == 12
    found = [evident_season(np.random.default_rng(seed).normal(size=100)) for seed in range(50)]
    assert sum(bool(season) for season in found) <= 2
    assert evident_season(np.ones(50)) == 0
    assert evident_season(np.arange(5.0)) == 0


def test_what_has_no_logarithm():
    with pytest.raises(TextError, match=r"task.logarithm needs values above 0, got -1: set task.logarithm=false"):
        logarithms(np.array([3.0, -1.0]))
