"""Forecasts of what is known by now, made from what was known before: which method to save, and how far it errs.

Rolling origins: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition (2021), section 5.10.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.models.smoothing import (
    LAST_SEASON,
    METHODS,
    SEASONAL,
    Floats,
    evident_season,
    forecasts,
    least_values,
    logarithms,
)
from ostinato.runs.record_saving import NETWORK
from ostinato.settings import TaskSettings

Forecast = Callable[[Sequence[Floats]], Sequence[Floats]]
"""The next values of each of some series."""

Figures = Mapping[str, float | None]

TRIALS = 4
"""Networks that learn the beginning of a series, each to forecast what follows."""
_LONG, _SPAN = 1000, 500
"""A series of so many values has one trial, and so many origins at its end."""
_MOST_ORIGINS = 400
_FIRST_ORIGIN = 8
_OLDEST = 4096
"""Methods are compared from at most so many values before the first trial."""


@dataclass(frozen=True)
class Backtest:
    """chosen: the method with the least error, where that is more than chance. errors: of each method over the same
    `origins`, the mean absolute error and the root mean squared one; None where they are infinite.

    figure: the errors over these origins of the method that the other origins chose, which share no value with them:
    nothing that they are measured on chose weights or method; and the mean absolute error that nine in ten single
    forecasts stay below. Empty where there are no such origins.
    season: of the methods, 0 for none. trials: networks that were trained, 0 for a series too short to test one.
    """

    chosen: str
    origins: int
    errors: Mapping[str, Figures]
    figure: Figures
    season: int
    trials: int

    def to_json(self) -> dict[str, Any]:
        """For the checkpoint."""
        return dataclasses.asdict(self)


def trial_origins(length: int, task: TaskSettings, held: Callable[[int], int]) -> list[int]:
    """How long the beginnings of a series are that networks learn; empty where it is too short to test a network.

    The first is half the series, or what a network can be trained on: `held` says how many of so many values its
    training holds out. Two of the forecasts that follow must have no value in common.
    """
    last = length - task.horizon
    span = max(_SPAN, 4 * task.horizon)
    trainable = (o for o in range(length) if o - held(o) >= task.history + task.horizon)
    first = max(next(trainable, length), length // 2, length - span if length >= _LONG else 0)
    if last - first < task.horizon:
        return []
    count = 1 if length >= _LONG else TRIALS
    return [first + (last + 1 - first) * k // count for k in range(count)]


def backtest(
    series: Floats, task: TaskSettings, trials: Sequence[int], train: Callable[[Floats], Forecast]
) -> Backtest:
    """All methods at the later origins of a series (N,), N > 2 horizon.

    trials: as `trial_origins` gives them. train: a network trained on the values up to one of them.
    Raises TextError for values without a logarithm where that is taken.
    """
    z, horizon, last = logarithms(series) if task.logarithm else series, task.horizon, len(series) - task.horizon
    judged = _spread(trials[0] if trials else max(len(series) // 2, last - _OLDEST), last)
    early = max(_FIRST_ORIGIN, task.season, min(task.history, len(series) // 3), judged[0] - _OLDEST)
    found = task.season or evident_season(z[max(0, judged[0] - _OLDEST) : judged[0]])
    season = found if found < task.history else 0
    if season and least_values(SEASONAL, season) <= judged[0]:
        early = max(early, least_values(SEASONAL, season))
    early = min(early, judged[0])
    methods = [m for m in METHODS if least_values(m, season) <= early and (season or m not in (LAST_SEASON, SEASONAL))]
    origins = sorted({*_spread(early, last), *judged})
    with np.errstate(all="ignore"):  # what grows beyond all numbers is not chosen
        made = {m: forecasts(m, z, origins, horizon, season=season)[0] for m in methods}
        if task.logarithm:
            made = {m: np.exp(values) for m, values in made.items()}
        targets = np.stack([series[o : o + horizon] for o in origins])
        at, late = np.array(origins), np.isin(origins, judged)
        if trials:
            made[NETWORK] = np.full_like(targets, np.nan)
            for begin, end in zip(trials, [*trials[1:], len(series)], strict=True):
                rows = np.flatnonzero(late & (at >= begin) & (at < end))
                made[NETWORK][rows] = train(series[:begin])([series[: at[k]] for k in rows])
        errors = {m: np.abs(values - targets).mean(1) for m, values in made.items()}
        own = []
        for k in np.flatnonzero(late):
            apart = np.abs(at - at[k]) >= horizon
            if apart.any():
                method = choose({m: e[apart] for m, e in errors.items()}, at[apart], horizon)
                own.append(made[method][k] - targets[k])
        return Backtest(
            choose(errors, at, horizon),
            len(judged),
            {m: _figures(values[late] - targets[late]) for m, values in made.items()},
            _figures(np.stack(own), single=True) if own else {},
            season,
            len(trials),
        )


def _spread(first: int, last: int) -> list[int]:
    """Origins from first to last, some of them where they are many."""
    return sorted({round(o) for o in np.linspace(first, last, min(last - first + 1, _MOST_ORIGINS))})


def choose(errors: Mapping[str, Floats], at: npt.NDArray[np.intp], horizon: int) -> str:
    """The method with the least mean error; an earlier one of `errors` unless the gain is beyond its standard error.

    errors: (O,) for each method at the origins `at`, NaN where a method was not tried.
    """
    best = next(iter(errors))
    for method, found in errors.items():
        tried = ~np.isnan(found)
        if method != best and tried.any() and _gains(errors[best][tried] - found[tried], at[tried], horizon):
            best = method
    return best


def _gains(gains: Floats, at: npt.NDArray[np.intp], horizon: int) -> bool:
    """Whether their mean is above its standard error; forecasts of the same values count as one."""
    apart = min(max(1.0, (at[-1] - at[0] + 1) / horizon), len(at))
    return bool(gains.mean() > gains.std() / np.sqrt(apart))


def _figures(errors: Floats, *, single: bool = False) -> Figures:
    """Of errors (O, horizon); for single forecasts also the mean absolute error that nine in ten stay below."""
    found = {"mean_absolute_error": np.abs(errors).mean(), "rmse": np.sqrt(np.square(errors).mean())}
    if single:
        found["nine_in_ten_below"] = np.quantile(np.abs(errors).mean(1), 0.9)
    return {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
