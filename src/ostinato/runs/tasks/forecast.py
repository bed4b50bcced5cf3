"""The next values of a series of numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ostinato.errors import TextError
from ostinato.models.forecaster import Forecaster
from ostinato.models.task_models import Arrays, Example, TaskModel
from ostinato.runs.record_data import Part, TaskData
from ostinato.runs.record_task import Defaults, RecordTask
from ostinato.settings import ModelSettings, TaskSettings, TextSettings
from ostinato.text import BaseTokenizer
from ostinato.text.records import Records, read_series


class ForecastModel(TaskModel[Forecaster]):
    """The next values of a series. As records it has windows: the last values (history,), and those after them."""

    def input_arrays(self, value: Any) -> Example:
        self.network.check(value)
        if len(value) < self.task.history:
            raise TextError(
                f"the series has {len(value)} values, a forecast reads {self.task.history}: give more, "
                "or train with a smaller task.history"
            )
        return (np.asarray(value[-self.task.history :], np.float64),)

    def example(self, value: Any, target: Any) -> Example:
        self.network.check(target)
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
        model.network.check(series)
        model.network.standardise(series)

    def baseline(self, model: Any, data: TaskData) -> dict[str, dict[str, float]]:
        """The last season again."""
        naive = [model.network.naive(series) for series in data.heldout.inputs]
        name = "last season again" if model.task.season else "last value again"
        return {f"held-out, {name}": model.scores(naive, data.heldout.targets)}


def _divide_series(series: npt.NDArray[np.float64], task: TaskSettings, share: float) -> tuple[Part, Part]:
    held = max(task.horizon, round(share * len(series))) if share else 0
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
