"""What a run must know of the thing that is learnt, and how it is found: by the name of a file in `tasks/`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ostinato.errors import UsageError
from ostinato.settings import Recipe
from ostinato.training.observers import Observers

if TYPE_CHECKING:
    from ostinato.bundle import Bundle
    from ostinato.text.records import Records
    from ostinato.training.checkpoint import Position
    from ostinato.training.team import Team


@dataclass(frozen=True)
class Run:
    """What was asked for. `recorded` describes the run in the checkpoint, if one is resumed: its recipe is in force.

    start: the saved network whose weights and vocabulary a new model takes over, read once. team: None for one process.
    stopping: what is said when a signal ends training.
    """

    sources: "Sequence[str] | Records"
    recipe: Recipe
    out: Path
    device: str = "auto"
    resume: bool = False
    same_recipe: bool = True
    overwrite: bool = False
    encoding: str | None = None
    start: "Bundle | None" = None
    team: "Team | None" = None
    seen: Observers = field(default_factory=Observers)
    recorded: Mapping[str, Any] | None = None
    threads: int | None = None
    told: Mapping[str, Any] | None = None
    """What the first process of a team has settled; None in that one, and where there is no team."""
    stopping: str = "stopping: saving and evaluating; --resume goes on (a second Ctrl-C stops at once)"

    @property
    def leads(self) -> bool:
        """Whether this process prepares, writes and reports."""
        return self.team is None or self.team.rank == 0

    @property
    def paths(self) -> Sequence[str]:
        """The files. Raises UsageError where records were given, which this task cannot learn from."""
        if not isinstance(self.sources, Sequence):
            raise UsageError(
                f"task.name is {self.recipe.task.name}, which needs texts, got records: name a task for records"
            )
        return self.sources


@dataclass(frozen=True)
class Result:
    """What a run came to. `evaluation` is the saved (best) model's, by split; `signal` is 0 or what interrupted it.

    reason: `finished`, `early` (no improvement any more) or `interrupted`. done: what was done, for the summary.
    figures: what `--json` says besides. position: where a network's training stands.
    """

    folder: Path
    reason: str
    done: str
    figures: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    signal: int = 0
    position: "Position | None" = None

    def to_team(self) -> dict[str, Any]:
        """What the first process of a team tells the others."""
        return {"reason": self.reason, "done": self.done, "figures": dict(self.figures),
                "evaluation": dict(self.evaluation), "notes": list(self.notes), "signal": self.signal}  # fmt: skip

    @classmethod
    def from_team(cls, folder: Path, told: Mapping[str, Any]) -> "Result":
        """The inverse of `to_team`."""
        return cls(folder, told["reason"], told["done"], told["figures"], told["evaluation"], tuple(told["notes"]),
                   told["signal"])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"model": str(self.folder / "model"), **self.figures, "evaluation": dict(self.evaluation)}

    def summary(self) -> str:
        """A few lines for a person."""
        lines = [f"{self.folder / 'model'}: {self.done}"]
        lines += [f"  {split}: {_figures(values)}" for split, values in self.evaluation.items()]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def _figures(values: Mapping[str, Any]) -> str:
    from ostinato.evaluation import figure

    if "perplexity" not in values:
        return ", ".join(f"{k.replace('_', ' ')} {'infinite' if v is None else f'{v:,.4g}'}" for k, v in values.items())
    if values["perplexity"] is None:
        return "perplexity infinite"
    bits = values.get("bits_per_character")
    return f"perplexity {figure(values['perplexity'])} per token" + (
        "" if bits is None else f", {bits:.3f} bits per character"
    )


class Task(ABC):
    """One thing that can be learnt: the steps of a run, in order.

    What `read`, `divide`, `settle` and `build` return is the task's own; a run only passes it on.
    """

    writes: ClassVar[bool] = False
    """Whether the model writes texts; others predict."""

    resumable: ClassVar[bool] = True

    shared: ClassVar[bool] = False
    """Whether the processes of a team learn it together; else the first one does."""

    building: ClassVar[str] = "building the model"
    """What `build` does, for someone who waits for it."""

    def open(self, run: Run) -> Run:
        """The run with the recipe in force, which a resumed one has from its checkpoint. Raises TrainingError where
        there is none, UsageError for a device that cannot be had."""
        return run

    @abstractmethod
    def read(self, run: Run) -> Any:
        """What the sources hold, with `notes` for the user. Raises TextError."""

    @abstractmethod
    def divide(self, run: Run, read: Any) -> Any:
        """What to learn from, and what is held out. Raises TextError where too little is left."""

    @abstractmethod
    def settle(self, run: Run, data: Any) -> Any:
        """The recipe with nothing left "auto", as `recipe`, and all that follows from the machine."""

    def tell(self, settled: Any) -> dict[str, Any]:
        """What the other processes of a team must know of what the first one has settled, of JSON's types."""
        return {}

    @abstractmethod
    def build(self, run: Run, settled: Any, data: Any) -> Any:
        """The model before it has learnt, and what it learns from."""

    @abstractmethod
    def train(self, run: Run, settled: Any, built: Any) -> Result:
        """Learn, evaluate, and save the best model as `run.out / "model"`."""
