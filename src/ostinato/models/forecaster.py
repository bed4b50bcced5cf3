"""Several values ahead from the last ones of a series."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import BundleError, SettingsError
from ostinato.layers import initialise
from ostinato.models.saved import SavedModule
from ostinato.models.sequence_encoder import SMALLEST_SCALE, SequenceEncoder
from ostinato.models.smoothing import LAST_SEASON, METHODS, PARAMETERS, forecasts, logarithms
from ostinato.settings import ModelSettings, TaskSettings


class Forecaster(SavedModule):
    """Corrections to the naive forecast, all values at once.

        z = (f(x) - mean) / scale                    f the logarithm or the identity
        z' = naive(z) + W encoder(z - c, z - z of a season before) + b
        forecast = f^-1(scale z' + mean)

    naive repeats the last season (the last value where season = 0), and c is its mean, so that a level never seen in
    training is no harder than one that was. W starts at zero: an untrained forecaster gives the naive forecast.
    """

    def __init__(self, settings: ModelSettings, task: TaskSettings) -> None:
        super().__init__()
        if task.history <= task.season:
            raise SettingsError(f"task.history must be longer than task.season, got {task.history} and {task.season}")
        self.history, self.horizon, self.season, self.logarithm = (
            task.history, task.horizon, task.season, task.logarithm,
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))
        self.encoder = SequenceEncoder(settings, features=2 if task.season else 1, bidirectional=False)
        self.head = torch.nn.Linear(self.encoder.output_size, task.horizon)
        initialise(self, settings.initialisation, forget_bias=settings.forget_bias)
        torch.nn.init.zeros_(self.head.weight)

    @torch.no_grad()
    def standardise(self, series: NDArray[np.float64]) -> None:
        """Learn mean and deviation from the training part of a series, (N,)."""
        z = self.transformed(torch.from_numpy(series))
        self.get_buffer("mean").copy_(z.mean())
        self.get_buffer("scale").copy_(z.std(correction=0).clamp(min=SMALLEST_SCALE))

    def naive(self, series: NDArray[np.float64]) -> NDArray[np.float64]:
        """The last season of a series (its last value where there is no season) again and again, (horizon,)."""
        return np.resize(series[-max(self.season, 1) :], self.horizon)

    def transformed(self, values: Tensor) -> Tensor:
        """Values as the model sees them before scaling."""
        return values.log() if self.logarithm else values

    def forward(self, values: Tensor) -> Tensor:
        """Forecasts (B, horizon) in the series' own units for its last values (B, history)."""
        z = self._standard(self._scaled(values)) * self.get_buffer("scale") + self.get_buffer("mean")
        return z.exp() if self.logarithm else z

    def _scaled(self, values: Tensor) -> Tensor:
        return ((self.transformed(values) - self.get_buffer("mean")) / self.get_buffer("scale")).to(
            self.head.weight.dtype
        )

    def _standard(self, z: Tensor) -> Tensor:
        """Forecasts (B, horizon) for values (B, history), both scaled."""
        last = z[:, -max(self.season, 1) :]
        naive = last.repeat(1, -(-self.horizon // last.shape[1]))[:, : self.horizon]
        x = (z - last.mean(1, keepdim=True))[:, self.season :, None]
        if self.season:
            x = torch.cat([x, (z[:, self.season :] - z[:, : -self.season])[:, :, None]], dim=-1)
        lengths = torch.full((len(z),), x.shape[1], device=z.device)
        correction: Tensor = self.head(self.encoder(x, lengths)[1])
        return naive + correction

    def loss(self, values: Tensor, targets: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Mean squared error of the scaled forecasts. values: (B, history), targets: (B, horizon)."""
        return (self._standard(self._scaled(values)) - self._scaled(targets)).square().float().mean(), None

    @staticmethod
    def detach(state: Any) -> Any:
        """There is no state."""
        return state


class Smoother(SavedModule):
    """A method of `smoothing` in the place of a network: four parameters and the season, which are all of its weights.

    It reads all of a series that it is given, however long.
    """

    def __init__(self, method: str, task: TaskSettings, parameters: NDArray[np.float64], season: int) -> None:
        super().__init__()
        self.method, self.horizon, self.logarithm = method, task.horizon, task.logarithm
        if method not in METHODS:
            raise BundleError(f"it forecasts by {method!r:.60}, which this version does not know")
        values = torch.tensor([*parameters, season], dtype=torch.float32)
        self.values = torch.nn.Parameter(values, requires_grad=False)

    @property
    def season(self) -> int:
        """Values per season, 0 where there is none."""
        return int(self.values[PARAMETERS])

    def load_tensors(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """As of every model. Raises BundleError also for what no smoothing has."""
        super().load_tensors(tensors)
        values = self.values.numpy()
        least = 1 if self.method == LAST_SEASON else 0
        if not ((values[:PARAMETERS] >= 0) & (values[:PARAMETERS] <= 1)).all() or not (
            least <= values[PARAMETERS] <= 65536 and float(values[PARAMETERS]).is_integer()
        ):
            raise BundleError(f"its parameters must be 0 to 1 and its season a number of values, got {values.tolist()}")

    def forecast(self, series: NDArray[np.float64]) -> NDArray[np.float64]:
        """The next values of a series (N,) with at least a season, (horizon,)."""
        z = logarithms(series) if self.logarithm else series
        grid = self.values.double().numpy()[None, :PARAMETERS]
        (made,), _ = forecasts(self.method, z, [len(z)], self.horizon, season=self.season, grid=grid)
        values: NDArray[np.float64] = np.exp(made) if self.logarithm else made
        return values

    def loss(self, values: Tensor, targets: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Mean squared error of the forecasts. values: (B, N), targets: (B, horizon)."""
        made = np.stack([self.forecast(row) for row in values.double().numpy()])
        return (torch.from_numpy(made) - targets).square().mean(), None
