"""Forecasts without a network: the last value or season repeated, and exponential smoothing. NumPy alone.

Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition (2021), sections 5.2 and 8.1 to 8.3.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError

Floats = npt.NDArray[np.float64]

LAST_VALUE, LAST_SEASON = "last value", "last season"
SIMPLE, TREND, SEASONAL = "exponential smoothing", "smoothing with trend", "smoothing with trend and season"
METHODS = (LAST_VALUE, LAST_SEASON, SIMPLE, TREND, SEASONAL)
"""In the order in which they are preferred where they do equally well."""

PARAMETERS = 4
"""Level (alpha), trend (beta), damping (phi), season (gamma)."""

_LONGEST_FIT = 4096
"""Parameters are fitted to this many values, the last ones."""
_ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_GRIDS = {
    SIMPLE: (_ALPHAS, (0.0,), (0.0,), (0.0,)),
    TREND: (_ALPHAS, (0.02, 0.05, 0.1, 0.2, 0.4), (0.8, 0.9, 0.98, 1.0), (0.0,)),
    SEASONAL: (_ALPHAS[1::2], (0.02, 0.1, 0.3), (0.9, 0.98, 1.0), (0.05, 0.1, 0.2, 0.4, 0.7)),
}


def logarithms(values: Floats) -> Floats:
    """Their logarithms. Raises TextError for values without."""
    if values.min() <= 0:
        raise TextError(f"task.logarithm needs values above 0, got {values.min():g}: set task.logarithm=false")
    return np.log(values)


def parameter_grid(method: str) -> Floats:
    """The parameters that are tried, (G, PARAMETERS); one row of zeros for a method without any."""
    return np.array(list(itertools.product(*_GRIDS[method])) if method in _GRIDS else [[0.0] * PARAMETERS])


def least_values(method: str, season: int) -> int:
    """How many values a method learns from before its first forecast."""
    return {LAST_SEASON: season, SEASONAL: 2 * season}.get(method, 2)


def forecasts(
    method: str, series: Floats, origins: Sequence[int], horizon: int, *, season: int = 0, grid: Floats | None = None
) -> tuple[Floats, Floats]:
    """Forecasts (O, horizon) of the values after series[:o] for each origin o, ascending, and their parameters (O, 4).

    A forecast knows nothing after its origin: of `grid` (None: the method's) it has the parameters with the least
    squared error one step ahead so far.
    """
    if method in (LAST_VALUE, LAST_SEASON):
        span = season if method == LAST_SEASON else 1
        return np.stack([np.resize(series[o - span : o], horizon) for o in origins]), np.zeros((len(origins), 4))
    grid = parameter_grid(method) if grid is None else grid
    return _smoothed(series, origins, horizon, season if method == SEASONAL else 0, grid)


def _smoothed(series: Floats, origins: Sequence[int], horizon: int, season: int, grid: Floats) -> tuple[Floats, Floats]:
    r"""Additive smoothing of all of the grid at once, in the error-correction form (section 8.5):

    e_t = y_t - (l_{t-1} + phi b_{t-1} + s_{t-m})       the error one step ahead
    l_t = l_{t-1} + phi b_{t-1} + alpha e_t             the level
    b_t = phi b_{t-1} + alpha beta e_t                  the trend
    s_t = s_{t-m} + gamma (1 - alpha) e_t               the season, m values long
    y_{t+h|t} = l_t + (phi + ... + phi^h) b_t + s       with the last s of its place in the season
    """
    alpha, beta, phi, gamma = grid.T
    first = max(0, origins[0] - _LONGEST_FIT)
    warm = min(max(season, 1), origins[0] - first)
    start = series[first : first + warm]
    level = np.full(len(grid), start.mean())
    trend = np.zeros(len(grid))
    seasons = np.zeros((len(grid), max(season, 1)))
    if season:
        seasons[:, :warm] = start - start.mean()
    squares = np.zeros(len(grid))
    ahead, wanted = np.arange(1, horizon + 1), set(origins)
    made, chosen = [], []
    for t in range(first + warm, origins[-1] + 1):
        if t in wanted:
            g = int(squares.argmin())
            damped = np.cumsum(phi[g] ** ahead)
            places = (t - first + ahead - 1) % season if season else np.zeros(horizon, np.int64)
            made.append(level[g] + damped * trend[g] + seasons[g, places])
            chosen.append(grid[g])
        if t == origins[-1]:
            break
        place = (t - first) % season if season else 0
        expected = level + phi * trend
        error = series[t] - expected - seasons[:, place]
        level, trend = expected + alpha * error, phi * trend + alpha * beta * error
        if season:
            seasons[:, place] += gamma * (1 - alpha) * error
        squares += np.square(error)
    return np.stack(made), np.stack(chosen)


def evident_season(series: Floats) -> int:
    """The period that a series repeats itself by, 0 where none is evident.

    The lag, of 2 to a third of the series, with the highest autocorrelation of the differences from a straight line.
    It must be a peak, at least 0.3, and well beyond what chance gives (section 2.8: 2 / sqrt(N)).
    """
    n, most = len(series), np.abs(series).max(initial=0.0)
    if n < 12 or np.ptp(series) == 0:
        return 0
    at, z = np.arange(n), series / most
    z = z - np.polyval(np.polyfit(at, z, 1), at)
    lags = np.arange(n // 3 + 2)
    power = np.array([float(z[lag:] @ z[: n - lag]) for lag in lags]) / max(float(z @ z), 1e-300)
    peaks = [k for k in lags[2:-1] if power[k] > power[k - 1] and power[k] >= power[k + 1]]
    best = max(peaks, key=lambda k: power[k], default=0)
    return int(best) if best and power[best] > max(0.3, 3 / np.sqrt(n)) else 0
