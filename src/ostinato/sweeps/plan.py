"""What a sweep is asked for: every combination of the values of settings, each with several seeds."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.errors import UsageError
from ostinato.processors import processors
from ostinato.settings import apply_overrides, load_recipe

_MOST = 1000


@dataclass(frozen=True)
class Setting:
    """One combination of values, `section.key=value` each."""

    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """For its line of the table: `hidden_size=256, cell=gru`."""
        return ", ".join(text.partition(".")[2] for text in self.overrides) or "as given"

    def folder(self, seed: int) -> str:
        """The name of the folder of its run with this seed."""
        values = "-".join(text.partition(".")[2].replace("/", "_").replace("\\", "_") for text in self.overrides)
        return f"{values}-seed{seed}" if values else f"seed{seed}"


@dataclass
class One:
    """One run: its setting, seed and folder; `result` is what `train --json` printed, None where it failed."""

    setting: Setting
    seed: int
    folder: Path
    result: dict[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True)
class Sweep:
    """All that is asked for. Raises UsageError for numbers out of range.

    options: those of `train` that every run has, the texts included. start: those that a run has only when it begins,
    not when it goes on. command: what must be the same where the command is given again, as JSON. threads: per run;
    None shares the cores.
    """

    out: Path
    settings: Sequence[Setting]
    seeds: range
    options: Sequence[str]
    start: Sequence[str]
    command: Mapping[str, Any]
    overwrite: bool = False
    jobs: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.seeds) <= _MOST:
            raise UsageError(f"--seeds must be between 1 and {_MOST}, got {len(self.seeds)}")
        if (number := len(self.settings) * len(self.seeds)) > _MOST:
            raise UsageError(f"that would be {number} runs, more than {_MOST}")
        if not 1 <= self.at_a_time <= 256:
            raise UsageError(f"--jobs must be between 1 and 256, got {self.at_a_time}")

    @property
    def at_a_time(self) -> int:
        """How many runs go on side by side."""
        if self.jobs is not None:
            return self.jobs
        return max(1, min(len(self.settings) * len(self.seeds), processors()))

    @property
    def threads_each(self) -> int:
        """The threads of each run."""
        return self.threads or max(1, processors() // self.at_a_time)

    def runs(self) -> list[One]:
        """Every run, none of them made."""
        return [One(each, seed, self.out / each.folder(seed)) for each in self.settings for seed in self.seeds]


def settings_of(sweeps: Sequence[str], recipe: Sequence[str]) -> list[Setting]:
    """Every combination of the values that `--sweep section.key=a,b` gives.

    recipe: a recipe's name or file, then `section.key=value` for what is changed of it.
    Raises UsageError, SettingsError.
    """
    choices: list[list[str]] = []
    for text in sweeps:
        key, equals, values = text.partition("=")
        several = [value.strip() for value in values.split(",")]
        if not equals or not all(several) or len(set(several)) != len(several):
            raise UsageError(f"--sweep needs different values, as in --sweep model.hidden_size=256,512; got {text!r}")
        choices.append([f"{key.strip()}={value}" for value in several])
    keys = [choice[0].partition("=")[0] for choice in choices]
    if len(set(keys)) != len(keys):
        raise UsageError(
            f"--sweep names {next(k for k in keys if keys.count(k) > 1)} twice: give all its values at once"
        )
    given = apply_overrides(load_recipe(recipe[0]), recipe[1:])
    found = [Setting(overrides) for overrides in itertools.product(*choices)]
    for setting in found:  # a wrong one is said before hours of training
        apply_overrides(given, setting.overrides, "--sweep")
    return found
