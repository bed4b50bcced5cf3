"""Recipes from TOML files, options and the configs of bundles, and back."""

import dataclasses
import tomllib
import typing
from typing import Any, TypeVar

from ostinato.encodings import read_user_text
from ostinato.errors import BundleError, SettingsError, TextError
from ostinato.files import check_depth
from ostinato.settings.checking import check, hints_of
from ostinato.settings.sections import (
    ModelSettings,
    NgramSettings,
    Recipe,
    TaskSettings,
    TextSettings,
    TrainingSettings,
)

SECTIONS: dict[str, type] = {
    "text": TextSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "ngram": NgramSettings,
    "task": TaskSettings,
}

T = TypeVar("T")


def from_mapping(section: str, given: typing.Mapping[str, Any], base: Any, where: str) -> Any:
    """`base`, one of the settings dataclasses, with the fields of `given` replaced. Raises SettingsError."""
    known = {f.name: f for f in dataclasses.fields(base)}
    hints = hints_of(type(base))
    for key in given:
        if key not in known:
            raise SettingsError(f"{where}: [{section}] has no field {key!r}; its fields are {', '.join(known)}")
    values = {k: check(section, known[k], hints[k], v, where) for k, v in given.items()}
    return dataclasses.replace(base, **values)


def recipe_from_mapping(data: typing.Mapping[str, Any], where: str, base: Recipe | None = None) -> Recipe:
    """A recipe from the tables of a TOML file (or of a bundle's config). Raises SettingsError."""
    recipe = base or Recipe(name=where)
    for section, table in data.items():
        if section not in SECTIONS:
            raise SettingsError(f"{where}: unknown table [{section}]; a recipe has {', '.join(SECTIONS)}")
        if not isinstance(table, dict):
            raise SettingsError(f"{where}: {section} must be a table like [{section}], got {table!r}")
        value = from_mapping(section, table, getattr(recipe, section), where)
        recipe = dataclasses.replace(recipe, **{section: value})
    return recipe


def recorded_settings(kind: type[T], config: typing.Mapping[str, Any], where: str) -> T:
    """One of the settings dataclasses from a bundle's config, without what else is recorded there; None is auto.

    The table `text` counts what was held out; the share is that of its split. Raises BundleError.
    """
    section = next(name for name, settings in SECTIONS.items() if settings is kind)
    table = config.get(section, {})
    try:
        known = set(typing.get_type_hints(kind)) - {"heldout"}
        given = {k: v for k, v in table.items() if k in known and v is not None}
        if "split" in table:
            given["heldout"] = table["split"]["share"]
        settings: T = from_mapping(section, given, kind(), "recorded")
    except (AttributeError, LookupError, TypeError, SettingsError) as error:
        raise BundleError(f"{where} holds no [{section}] settings that can be read ({error})") from None
    return settings


def apply_overrides(recipe: Recipe, overrides: typing.Sequence[str], option: str = "--set") -> Recipe:
    """`recipe` with `section.key=value` strings applied, the value in TOML's notation or a bare word.

    option: what they were given with, for messages. Raises SettingsError.
    """
    for text in overrides:
        key, equals, raw = text.partition("=")
        section, dot, name = key.strip().partition(".")
        where = f"{option} {text}"
        if not equals or not dot:
            raise SettingsError(f"{where}: write it as section.key=value, for example model.cell=gru")
        try:
            value = tomllib.loads(f"value = {raw.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw.lstrip()  # a pattern may end in a blank
        recipe = recipe_from_mapping({section: {name: value}}, where, recipe)
    return recipe


def with_budget(
    recipe: Recipe,
    *,
    minutes: float | None,
    epochs: float | None,
    steps: int | None,
    seed: int | None,
    prefix: str = "",
) -> Recipe:
    """`recipe` trained for the given time, which replaces its own if any is given, and with the seed if given.

    Raises SettingsError for a value out of range, which names the argument with `prefix` before it.
    """
    budget = {"minutes": minutes, "epochs": epochs, "steps": steps}
    given: dict[str, Any] = {} if seed is None else {"seed": seed}
    if any(value is not None for value in budget.values()):
        given |= {name: "auto" if value is None else value for name, value in budget.items()}
    try:
        return recipe_from_mapping({"training": given}, "", recipe)
    except SettingsError as error:
        raise SettingsError(prefix + str(error).removeprefix("training.")) from None


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    from importlib import resources

    files = resources.files("ostinato.recipes").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_recipe(name_or_file: str) -> Recipe:
    """The shipped recipe of that name, or the one in a TOML file. Raises SettingsError."""
    from importlib import resources

    if name_or_file in recipe_names():
        text, where = (
            (resources.files("ostinato.recipes") / f"{name_or_file}.toml").read_text("utf-8"),
            name_or_file,
        )
    else:
        where = name_or_file
        try:
            text = read_user_text(name_or_file)
        except (OSError, TextError) as error:
            known = ", ".join(recipe_names())
            why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            why = "file not found" if isinstance(error, FileNotFoundError) else why
            raise SettingsError(f"no recipe {name_or_file!r}: {why}; give a TOML file or one of {known}") from None
    try:
        data = tomllib.loads(text)
        check_depth(data)
    except RecursionError:
        raise SettingsError(f"{where} is not a recipe: it is nested too deep") from None
    except ValueError as error:
        raise SettingsError(f"{where} is not a TOML file: {error}") from None
    return recipe_from_mapping(data, where)


def to_mapping(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe as nested JSON/TOML values; None (auto) is written "auto"."""

    def table(settings: Any) -> dict[str, Any]:
        return {k: "auto" if v is None else v for k, v in dataclasses.asdict(settings).items()}

    return {section: table(getattr(recipe, section)) for section in SECTIONS}


def to_toml(recipe: Recipe) -> str:
    """The recipe as a TOML text that `load_recipe` reads back to an equal one."""
    import json

    lines = []
    for section, values in to_mapping(recipe).items():
        lines += [
            f"[{section}]",
            *(f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()),
            "",
        ]
    return "\n".join(lines).replace("\x7f", "\\u007f")  # the control character that JSON leaves as it is
