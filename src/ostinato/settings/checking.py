"""How a setting is declared, and how its value is checked."""

import dataclasses
import math
import types
import typing
from collections.abc import Collection
from dataclasses import field
from typing import Any

from ostinato.errors import SettingsError, did_you_mean

_FILES = tuple[str, ...]


def setting(
    default: Any,
    help: str,
    *,
    among: Collection[str] = (),
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
) -> Any:
    """A dataclass field with what `check` looks at: the allowed values, or the smallest and largest number.

    help: what it means, for the documentation. hint: what a message about a value that is not `among` these ends with.
    """
    return field(default=default, metadata={"help": help, "among": among, "low": low, "high": high, "hint": hint})


def _allowed_types(annotation: Any) -> tuple[type, ...]:
    return typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)


def check(section: str, setting: "dataclasses.Field[Any]", annotation: Any, value: Any, where: str) -> Any:
    """`value` as the field's type, or SettingsError with what was given and what is allowed."""
    where = f"{where}: " if where else ""
    if annotation == _FILES:
        return _files(f"{where}{section}.{setting.name}", value)
    kinds, limits = _allowed_types(annotation), setting.metadata
    if value == "auto" and type(None) in kinds:
        return None
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    name = f"{section}.{setting.name}"
    if type(value) not in kinds:
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        names = " or ".join(wanted[k] for k in kinds if k in wanted) + (' or "auto"' if type(None) in kinds else "")
        raise SettingsError(f"{where}{name} must be {names}, got {_shown(value)}")
    if value is not None and limits["among"] and value not in limits["among"]:
        among = ", ".join(limits["among"])
        meant = did_you_mean(str(value), limits["among"]).removeprefix(": ")
        given = f"{_shown(value)} ({meant})" if meant else _shown(value)
        raise SettingsError(f"{where}{name} must be one of {among}, got {given}{limits['hint']}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{where}{name} must be a finite number, got {value!r}")
    low, high = limits["low"], limits["high"]
    if value is not None and ((low is not None and not value >= low) or (high is not None and not value <= high)):
        bounds = f"at least {number(low)}" if high is None else f"between {number(low)} and {number(high)}"
        raise SettingsError(f"{where}{name} must be {bounds}, got {_shown(value)}")
    return value


def _files(name: str, value: Any) -> tuple[str, ...]:
    """Names of files, from a text or a list of texts. Raises SettingsError."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(file, str) and file for file in given):
        raise SettingsError(f"{name} must be the name of a file or a list of such names, got {_shown(value)}")
    return tuple(given)


def number(value: float | None) -> str:
    """A limit as it is printed: `16384`, `0.001`, `1e+30`."""
    whole = value is not None and value == int(value) and abs(value) < 1e15
    return f"{value:.0f}" if whole else f"{value:g}"


def _shown(value: Any) -> str:
    """A value in a message, cut short where it is long."""
    if isinstance(value, int) and value.bit_length() > 100:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def declared(settings: type, name: str) -> typing.Mapping[str, Any]:
    """What is said of a field, for the field of a subclass."""
    return next(f for f in dataclasses.fields(settings) if f.name == name).metadata


class Checked:
    """Settings that are checked where they are made. Raises SettingsError."""

    section: typing.ClassVar[str]

    def __post_init__(self) -> None:
        hints = hints_of(type(self))
        for setting in dataclasses.fields(self):  # type: ignore[arg-type]  # of the subclasses, which are dataclasses
            value = getattr(self, setting.name)
            checked = check(self.section, setting, hints[setting.name], value, "")
            if checked is not value:
                object.__setattr__(self, setting.name, checked)


def hints_of(kind: type, known: dict[type, dict[str, Any]] = {}) -> dict[str, Any]:  # noqa: B006 - remembers, on purpose
    """The type of each field of the dataclass `kind`, resolved; computed once per class."""
    if kind not in known:
        known[kind] = typing.get_type_hints(kind)
    return known[kind]
