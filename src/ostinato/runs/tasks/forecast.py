"""The next values of a series of numbers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ostinato.bundle import Bundle, TaskConfig
from ostinato.errors import TextError, TrainingError
from ostinato.models.forecaster import Forecaster, Smoother
from ostinato.models.saved import SavedModule
from ostinato.models.smoothing import PARAMETERS, forecasts, logarithms
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.protocols import Tokenizer
from ostinato.runs.backtest import Backtest, Forecast, backtest, trial_origins
from ostinato.runs.network import Built, Settled
from ostinato.runs.record_data import SCORED, Part, TaskData
from ostinato.runs.record_saving import NETWORK, Rival
from ostinato.runs.record_task import Defaults, Divided, RecordTask
from ostinato.runs.task import Run
from ostinato.settings import ModelSettings, ResolvedTraining, TaskSettings, TextSettings
from ostinato.terminal import activity
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_series
from ostinato.training.observers import Observer, Row
from ostinato.training.trainer import Trainer

_TRIALS_SHARE = 1 / 3
"""Of the minutes, where they are limited."""


class ForecastModel(TaskModel[Forecaster | Smoother]):
    """The next values of a series. As records it has windows: the last values (history,), and those after them."""

    def check(self, series: npt.NDArray[np.float64]) -> None:
        """Raises TextError for values without a logarithm where that is taken."""
        if self.task.logarithm:
            logarithms(series)

    def input_arrays(self, value: Any) -> Example:
        self.check(value)
        if len(value) < self.task.history:
            raise TextError(
                f"the series has {len(value)} values, but a forecast reads {self.task.history}: give more, "
                "or train with a smaller task.history"
            )
        return (np.asarray(value[-self.task.history :], np.float64),)

    def example(self, value: Any, target: Any) -> Example:
        self.check(target)
        return *self.input_arrays(value), np.asarray(target, np.float64)

    def batch(self, examples: Sequence[Example]) -> Arrays:
        return tuple(np.stack(arrays) for arrays in zip(*examples, strict=True))

    def targets(self, batch: Sequence[Any]) -> int:
        return int(batch[1].size)

    def probe_records(self) -> list[tuple[Any, Any]]:
        return [(np.linspace(1, 2, self.task.history), np.linspace(2, 1, self.task.horizon))]

    def _outputs(self, tensors: Sequence[Tensor], inputs: Sequence[Any]) -> list[Any]:
        return list(self.network(*tensors).double().cpu().numpy())

    def line(self, prediction: Any) -> str:
        """The values, parted by blanks."""
        return " ".join(f"{value:g}" for value in prediction)

    def scores(self, predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
        errors = np.array(predictions) - np.array(targets)
        return {"mean_absolute_error": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}


class SmoothedModel(ForecastModel):
    """The next values of a series by a method without a network, from all that is known of it."""

    def __init__(self, network: Smoother, tokenizer: Tokenizer, task: TaskSettings) -> None:
        super().__init__(network, tokenizer, task)
        self.smoother = network

    def input_arrays(self, value: Any) -> Example:
        super().input_arrays(value)
        return (np.asarray(value, np.float64),)

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        return [self.smoother.forecast(*self.input_arrays(value)) for value in inputs]


class ForecastTask(RecordTask):
    """Learn to forecast a series from its past."""

    title = "A forecaster"
    unit = "squared error, scaled"
    takes_files = False
    defaults = Defaults(hidden_size=32, embedding_size=0, dropout=0.1, batch_size=16, learning_rate=4e-3, epochs=60)

    def records(self, paths: Sequence[str], task: TaskSettings, text: TextSettings, **options: Any) -> Records:
        """A column of a table; it is never an answer."""
        return read_series(paths, column=task.column, encoding=options.get("encoding"))

    def parts(self, records: Records, task: TaskSettings, share: float) -> tuple[Part, Part]:
        """Windows of `history` values and the `horizon` after them; those held out end in the last values."""
        return _divide_series(records.inputs[0], task, share)

    def pieces(self, train: Part) -> list[str]:
        """Numbers are no text."""
        return []

    def model(
        self, task: TaskSettings, model: ModelSettings, tokenizer: BaseTokenizer, labels: Sequence[str], features: int
    ) -> ForecastModel:
        """With weights from torch's global random generator."""
        return ForecastModel(Forecaster(model, task), tokenizer, task)

    def prepare(self, model: Any, records: Records, data: TaskData, initialisation: str) -> None:
        """The series is scaled by the mean and deviation of its training part."""
        task = model.task
        series = records.inputs[0][: len(data.train) + task.history + task.horizon - 1]
        model.check(series)
        model.network.standardise(series)

    def settle(self, run: Run, data: Divided) -> Settled:
        """The methods are compared before training begins; a run that goes on has done so."""
        settled = super().settle(run, data)
        if run.told is not None or not len(data.heldout):
            return settled
        if run.recorded is not None:
            found = run.recorded.get("backtest")  # before version 0.2 there was none
        else:
            found = _backtest(run, settled, data.records).to_json()
        return settled if found is None else dataclasses.replace(
            settled, description={**settled.description, "backtest": found}
        )  # fmt: skip

    def time_left(self, run: Run, settled: Settled, built: Built) -> ResolvedTraining:
        """The trials had a third of the minutes."""
        training, found = settled.training, settled.description.get("backtest")
        if training.minutes is None or not found or not found["trials"]:
            return training
        return dataclasses.replace(training, minutes=training.minutes * (1 - _TRIALS_SHARE))

    def rival(self, model: Any, records: Records, data: TaskData, described: Mapping[str, Any]) -> Rival | None:
        """The method that was chosen, or the best one beside the network; with parameters from the whole series."""
        found = described.get("backtest")
        if found is None:
            return None
        errors = {m: v["mean_absolute_error"] for m, v in found["errors"].items() if m != NETWORK}
        method = found["chosen"]
        if method == NETWORK:
            method = min(errors, key=lambda m: math.inf if errors[m] is None else errors[m])
        task, series, season = model.task, records.inputs[0], found["season"]
        z = logarithms(series) if task.logarithm else series
        parameters = forecasts(method, z, [len(z)], task.horizon, season=season)[1][0]
        smoother = SmoothedModel(Smoother(method, task, parameters, season), model.tokenizer, task)
        return Rival(method, smoother, data.heldout.scores(smoother, SCORED), lambda row: found["chosen"] != NETWORK)

    def rival_model(self, method: str, bundle: Bundle, task: TaskSettings, described: TaskConfig) -> SmoothedModel:
        """One of `smoothing.METHODS`."""
        return SmoothedModel(Smoother(method, task, np.zeros(PARAMETERS), 1), bundle.tokenizer, task)

    def measured(self, described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The errors of earlier forecasts, of each method and of what was chosen."""
        found = described.get("backtest")
        if found is None:
            return {}
        own = {"earlier forecasts": found["figure"]} if found["figure"] else {}
        return own | {f"earlier forecasts, {method}": figures for method, figures in found["errors"].items()}

    def explained(self, described: Mapping[str, Any]) -> str:
        """Which figure may be trusted."""
        found = described.get("backtest")
        if found is None:
            return super().explained(described)
        trusted = (
            "\"Earlier forecasts\" is the error to expect of this model: at each origin, forecasts of other values "
            "chose the method, and the values that it is measured on chose nothing. " if found["figure"] else ""
        )  # fmt: skip
        network = (
            f"{found['trials']} networks were trained, each on a beginning of the series, to forecast what follows. "
            if found["trials"]
            else "The series is too short to test a network on it: give more values, or set a smaller task.history or "
            "task.horizon. "
        )
        return (
            f"Earlier forecasts began at {found['origins']} points of the series and used only the values before them. "
            f"{trusted}{network}The network's weights are those that did best on the held-out records."
        )

    def preferred(self, method: str, described: Mapping[str, Any]) -> str:
        """By the earlier forecasts, the only figures that decide: on the held-out values the network may look better,
        since they chose its weights."""
        errors = described["backtest"]["errors"]
        if NETWORK not in errors:
            return "since the series is too short to test a network on it"
        found = (errors[m]["mean_absolute_error"] for m in (method, NETWORK))
        own, network = (math.inf if error is None else error for error in found)
        if network < own:
            return (
                f"since the gain of the network's earlier forecasts is within its standard error (mean absolute error "
                f"{network:.4g}, against {own:.4g})"
            )
        other = "infinite" if math.isinf(network) else f"{network:.4g}"
        return (
            f"whose earlier forecasts are as good or better (mean absolute error {own:.4g}, the network's {other}); "
            "held-out figures do not decide, since they chose the network's weights"
        )

    def baseline(self, model: Any, data: TaskData) -> dict[str, dict[str, float]]:
        """The last season again."""
        naive = [model.network.naive(series) for series in data.heldout.inputs]
        name = "last season again" if model.task.season else "last value again"
        return {f"held-out, {name}": model.scores(naive, data.heldout.targets)}


class _Trial(Trainer):
    """Training that is not gone on with: it leaves no checkpoint."""

    def save(self) -> None:
        """Write nothing."""


class _Best(Observer):
    """Keeps the best weights in memory."""

    def __init__(self, network: SavedModule) -> None:
        self.network, self.tensors = network, network.save_tensors()

    def evaluated(self, row: Row, best: bool) -> None:
        """Keep them."""
        if best:
            self.tensors = self.network.save_tensors()


def _backtest(run: Run, settled: Settled, records: Records) -> Backtest:
    """All methods, and networks trained as this run's on the beginning of its series, by what they would have said."""
    (series,), task, share = records.inputs, settled.recipe.task, settled.recipe.text.heldout
    trials = trial_origins(len(series), task, lambda length: _held(length, task, share))
    training = settled.training
    if trials and training.minutes is not None:
        training = dataclasses.replace(training, minutes=training.minutes * _TRIALS_SHARE / len(trials))
    settled = dataclasses.replace(settled, training=training)

    def train(known: npt.NDArray[np.float64]) -> Forecast:
        model, data = TASK.learner(settled, Records([known], [], [0]), *_divide_series(known, task, share))
        best = _Best(model.network)
        trial = _Trial(model.network, data, training, folder=run.out, device=settled.device, observers=[best],
                       threads=run.threads)  # fmt: skip
        try:
            trial.train()
        except TrainingError:  # diverged
            return lambda histories: [np.full(task.horizon, np.inf) for _ in histories]
        model.network.load_tensors(best.tensors)
        return model.predict

    if trials:
        run.seen.noted(
            f"first training {len(trials)} networks on earlier values, to test how each method would have forecast"
        )
    with activity("forecasting what is known from earlier values"):
        return backtest(series, task, trials, train)


def _held(length: int, task: TaskSettings, share: float) -> int:
    """How many of the last of so many values are held out."""
    return max(task.horizon, round(share * length)) if share else 0


def _divide_series(series: npt.NDArray[np.float64], task: TaskSettings, share: float) -> tuple[Part, Part]:
    held = _held(len(series), task, share)
    cut, span = len(series) - held, task.history + task.horizon
    if cut < span:
        raise TextError(
            f"the series is too short: {len(series)} values, {held} of them held out, but a window needs "
            f"{task.history} + {task.horizon}; set a smaller task.history or task.horizon, or give more values"
        )
    firsts = range(cut - span + 1), range(cut - task.history, len(series) - span + 1)
    train, heldout = (
        Part([series[a : a + task.history] for a in starts], [series[a + task.history : a + span] for a in starts])
        for starts in firsts
    )
    return train, heldout if share else Part([], [])


TASK = ForecastTask()
