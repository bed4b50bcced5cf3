"""The settings of a run: dataclasses that a recipe is read into, checked against, and written from.

A recipe is a TOML file with the tables `[text]`, `[model]`, `[training]`, `[ngram]` and `[task]`. Wherever a field
allows it, the value "auto" (None in Python) leaves the choice to the program, which decides it from the corpus and the
time given.
"""

import dataclasses
import math
import pkgutil
import tomllib
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ostinato import cells
from ostinato.encodings import read_user_text
from ostinato.errors import BundleError, SettingsError, TextError
from ostinato.files import check_depth

TOKENIZERS = ("character", "word", "byte", "whitespace")
CELLS = cells.NAMES
"""Every cell that there is now: also those that were registered since."""
OWN_CELL = "; if it is a cell of your own, name its file with --cell-file"
BACKENDS = ("auto", "reference", "torch", "native")
INITIALISATIONS = ("default", "torch", "normal-0.01", "uniform-0.1", "orthogonal")
OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "linear", "cosine", "one-cycle", "plateau")
SAMPLINGS = ("random", "consecutive", "windows")
PRECISIONS = ("auto", "fp32", "bf16")
COMPRESSIONS = ("none", "fp16")
TASKS = tuple(
    module.name.replace("_", "-") for module in pkgutil.iter_modules([str(Path(__file__).parent / "runs" / "tasks")])
)
"""One task per file in `runs/tasks/`."""
VOCABULARIES = ("join", "new")
MIXTURES = ("none", "linear", "gated", "best")
POOLINGS = ("last", "mean", "max")
_MOST = 2**31 - 1
"""Larger counts are taken for typing errors."""
SMOOTHINGS = ("none", "kneser-ney", "add-k", "maximum-likelihood", "context-mixing")


def _setting(
    default: Any,
    help: str,
    *,
    among: Collection[str] = (),
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
) -> Any:
    return field(default=default, metadata={"help": help, "among": among, "low": low, "high": high, "hint": hint})


def _allowed_types(annotation: Any) -> tuple[type, ...]:
    return typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)


def _check(section: str, setting: "dataclasses.Field[Any]", annotation: Any, value: Any, where: str) -> Any:
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
        raise SettingsError(f"{where}{name} must be one of {among}, got {_shown(value)}{limits['hint']}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingsError(f"{where}{name} must be a finite number, got {value!r}")
    low, high = limits["low"], limits["high"]
    if value is not None and ((low is not None and not value >= low) or (high is not None and not value <= high)):
        bounds = f"at least {number(low)}" if high is None else f"between {number(low)} and {number(high)}"
        raise SettingsError(f"{where}{name} must be {bounds}, got {_shown(value)}")
    return value


_FILES = tuple[str, ...]


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


def _of(settings: type, name: str) -> typing.Mapping[str, Any]:
    """What is said of a field, for the field of a subclass."""
    return next(f for f in dataclasses.fields(settings) if f.name == name).metadata


class _Checked:
    """Settings that are checked where they are made. Raises SettingsError."""

    section: typing.ClassVar[str]

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for setting in dataclasses.fields(self):  # type: ignore[arg-type]  # of the subclasses, which are dataclasses
            value = getattr(self, setting.name)
            checked = _check(self.section, setting, hints[setting.name], value, "")
            if checked is not value:
                object.__setattr__(self, setting.name, checked)


def _hints(kind: type, known: dict[type, dict[str, Any]] = {}) -> dict[str, Any]:  # noqa: B006 - remembers, on purpose
    if kind not in known:
        known[kind] = typing.get_type_hints(kind)
    return known[kind]


@dataclass(frozen=True)
class TextSettings(_Checked):
    """[text]: how files become documents and documents become tokens."""

    section = "text"

    tokenizer: str = _setting("character", "how text is cut into tokens", among=TOKENIZERS)
    documents: str = _setting(
        "auto",
        "where documents begin: files, lines, paragraphs, auto, or a regular expression for their first line",
    )
    limit: int = _setting(0, "use only this many characters of the text (0: all)", low=0, high=_MOST)
    newlines: str = _setting("keep", "keep newlines, or turn each into a blank", among=("keep", "blank"))
    min_count: int | None = _setting(None, "rarer tokens are spelled (auto: 2; 1 for whitespace)", low=1, high=_MOST)
    direction: str = _setting("forward", "reading direction", among=("forward", "backward"))
    heldout: float = _setting(0.1, "share of the text held out for evaluation", low=0.0, high=0.5)
    field: str = _setting("text", "field with the text, in files of JSON lines (.jsonl)")
    heldout_files: tuple[str, ...] = _setting(
        (), "files held out to choose the model by, in place of a share of the text (--heldout)"
    )
    test_files: tuple[str, ...] = _setting((), "files that the chosen model alone is measured on, at the end (--test)")


@dataclass(frozen=True)
class ModelSettings(_Checked):
    """[model]: the recurrent language model."""

    section = "model"

    cell: str = _setting("lstm", "recurrent cell, or one of your own (--cell-file)", among=CELLS, hint=OWN_CELL)
    layers: int = _setting(1, "recurrent layers", low=1, high=16)
    hidden_size: int | None = _setting(None, "units per layer", low=1, high=16384)
    embedding_size: int | None = _setting(None, "size of the token embedding (0: one-hot input)", low=0, high=16384)
    tied: bool = _setting(False, "the output layer uses the weights of the embedding")
    dropout: float | None = _setting(None, "dropout of layer inputs and outputs", low=0.0, high=0.95)
    embedding_dropout: float = _setting(0.0, "share of vocabulary whose embedding is dropped", low=0.0, high=0.95)
    locked_dropout: bool = _setting(True, "one dropout mask for all time steps (variational dropout)")
    weight_drop: float | None = _setting(
        None, "dropout of the hidden-to-hidden weights (DropConnect; auto: by passes)", low=0.0, high=0.95
    )
    initialisation: str = _setting("default", "initial weights", among=INITIALISATIONS)
    forget_bias: float | None = _setting(
        None, "initial bias of the LSTM's forget gate (auto: as initialised)", low=-1e3, high=1e3
    )
    backend: str = _setting("auto", "implementation of the recurrent layers", among=BACKENDS)
    context: int = _setting(
        0, "a network without hidden state over this many last tokens (0: a recurrent one)", low=0, high=1024
    )
    mixture: str | None = _setting(
        None,
        "how the network is mixed with models of counts, where that predicts the held-out text better (auto: best, "
        "whichever of linear, gated and none does; language)",
        among=MIXTURES,
    )

    @property
    def name(self) -> str:
        """The network in a table: `lstm 256`, `gru 2 × 512`, `window of 8`."""
        if self.context:
            return f"window of {self.context}"
        return f"{self.cell} {f'{self.layers} × ' if self.layers > 1 else ''}{self.hidden_size}"

    @property
    def shape(self) -> str:
        """The network in a line of its own: `lstm, 1 × 256`, `window of 8 tokens, 256`."""
        if self.context:
            return f"{self.name} tokens, {self.hidden_size}"
        return f"{self.cell}, {self.layers} × {self.hidden_size}"


@dataclass(frozen=True)
class TrainingSettings(_Checked):
    """[training]: minibatches, optimizer, schedule, and when to stop."""

    section = "training"

    sampling: str = _setting("consecutive", "how minibatches are drawn", among=SAMPLINGS)
    batch_size: int | None = _setting(None, "rows of a minibatch", low=1, high=65536)
    window: int | None = _setting(None, "time steps of a minibatch (truncated BPTT)", low=1, high=65536)
    stride: int | None = _setting(
        1,
        "distance between neighbouring windows (sampling = windows; auto: 1, or what fits the minutes)",
        low=1,
        high=_MOST,
    )
    optimizer: str = _setting("adamw", "optimizer", among=OPTIMIZERS)
    learning_rate: float | None = _setting(None, "peak learning rate", low=0.0, high=1e6)
    weight_decay: float | None = _setting(
        None,
        "decoupled weight decay (adamw; auto: by size and passes) or L2 penalty (sgd, adam; auto: 0)",
        low=0.0,
        high=1e6,
    )
    momentum: float = _setting(0.0, "momentum (sgd)", low=0.0, high=1.0)
    schedule: str | None = _setting(
        "linear", "learning rate over time (auto: linear; plateau for windows without minutes)", among=SCHEDULES
    )
    warmup: float = _setting(0.02, "share of training spent warming up (linear, cosine, one-cycle)", low=0.0, high=1.0)
    plateau_factor: float = _setting(0.5, "learning rate factor on a plateau", low=0.0, high=1.0)
    plateau_patience: int = _setting(2, "epochs without improvement before a plateau cut", low=0, high=_MOST)
    clip: float = _setting(1.0, "largest global gradient norm (0: no clipping)", low=0.0, high=1e30)
    epochs: float | None = _setting(None, "passes over the training text", low=0.001, high=1e9)
    steps: int | None = _setting(None, "optimizer steps", low=1, high=_MOST)
    minutes: float | None = _setting(None, "minutes of training", low=0.001, high=1e7)
    evaluate_every: float | None = _setting(None, "epochs between evaluations (auto: by cost)", low=0.0, high=1e9)
    patience: int | None = _setting(
        0,
        "evaluations without improvement before stopping early (0: never; auto: 0; 3 for windows without minutes)",
        low=0,
        high=_MOST,
    )
    averaging: float = _setting(
        0.0, "decay of the exponential moving average of the weights (0: none)", low=0.0, high=1.0
    )
    candidates: int | None = _setting(
        None,
        "tokens in the softmax of a training step (auto: 4,096 for much larger vocabularies; 0: all)",
        low=0,
        high=_MOST,
    )
    accumulate: int = _setting(1, "minibatches of one step", low=1, high=65536)
    local_steps: int = _setting(
        1, "several processes: steps that each takes alone before their weights meet (1: gradients meet)", low=1,
        high=65536,
    )  # fmt: skip
    compression: str = _setting("none", "several processes: how gradients are sent", among=COMPRESSIONS)
    precision: str = _setting("auto", "arithmetic of the matrix products", among=PRECISIONS)
    vocabulary: str = _setting(
        "join",
        "tokens of a run that starts from a model: its own and the text's, or the text's alone",
        among=VOCABULARIES,
    )
    layer_rates: float = _setting(
        1.0,
        "a run that starts from a model: learning rate of each layer, as a share of the one above",
        low=0.0,
        high=1.0,
    )
    unfreeze: float = _setting(
        0.0, "where a model is the start: share of the run after which the lowest layer learns", low=0.0, high=1.0
    )
    seed: int = _setting(1, "seed of initial weights, sampling and dropout", low=0, high=2**63 - 1)


@dataclass(frozen=True)
class NgramSettings(_Checked):
    """[ngram]: a model of counts in place of the recurrent one, if `smoothing` names one.

    context-mixing makes no use of the other settings.
    """

    section = "ngram"

    smoothing: str = _setting("none", "how unseen n-grams get their probability", among=SMOOTHINGS)
    order: int = _setting(5, "length of the longest n-grams in tokens", low=1, high=10)
    k: float = _setting(1.0, "what add-k adds to every count", low=0.0, high=1e9)
    prune: int = _setting(0, "drop n-grams of 3 or more tokens that occur at most this often", low=0, high=_MOST)
    memory: float = _setting(
        0.0, "GiB of memory to count kneser-ney in; the rest goes to disk (0: no limit)", low=0.0, high=1e6
    )


@dataclass(frozen=True)
class TaskSettings(_Checked):
    """[task]: what is learnt from the data; `language` is the language model of a text."""

    section = "task"

    name: str = _setting("language", "what the model does", among=TASKS)
    bidirectional: bool = _setting(True, "read in both directions (tag, classify, translate, next-line)")
    pooling: str = _setting("mean", "how a sequence becomes one vector (classify)", among=POOLINGS)
    attention: bool = _setting(True, "look back at the source for every token (translate, next-line)")
    beam: int = _setting(4, "hypotheses kept while decoding (1: greedy; translate, next-line)", low=1, high=256)
    length_penalty: float = _setting(1.0, "scores are divided by the length to this power (0: not)", low=0.0, high=4.0)
    label: str = _setting("label", "name of the column or field with the class (classify)")
    column: str = _setting("auto", "name of the column with the series (auto: the last; forecast)")
    history: int = _setting(24, "values read to make a forecast", low=2, high=65536)
    horizon: int = _setting(12, "values that a forecast predicts", low=1, high=65536)
    season: int = _setting(
        0, "values per season; forecasts correct the last season (0: the last value)", low=0, high=65536
    )
    logarithm: bool = _setting(False, "forecast the logarithm, for series that grow by percentages")
    saved: str = _setting(
        "best",
        "best: what needs no network is saved in its place where it is better (forecast, classify, tag)",
        among=("best", "network"),
    )


@dataclass(frozen=True)
class Recipe:
    """A whole recipe. `name` is where it came from, for messages."""

    text: TextSettings = TextSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    ngram: NgramSettings = NgramSettings()
    task: TaskSettings = TaskSettings()
    name: str = "default"


@dataclass(frozen=True)
class ResolvedModel(ModelSettings):
    """[model] with nothing left "auto" but the forget bias, which then is as initialised."""

    hidden_size: int = field(kw_only=True, metadata=_of(ModelSettings, "hidden_size"))
    embedding_size: int = field(kw_only=True, metadata=_of(ModelSettings, "embedding_size"))
    dropout: float = field(kw_only=True, metadata=_of(ModelSettings, "dropout"))
    weight_drop: float = field(kw_only=True, metadata=_of(ModelSettings, "weight_drop"))
    mixture: str = field(kw_only=True, metadata=_of(ModelSettings, "mixture"))


@dataclass(frozen=True)
class ResolvedTraining(TrainingSettings):
    """[training] with nothing left "auto"; of minutes, epochs and steps, those that are None set no limit."""

    batch_size: int = field(kw_only=True, metadata=_of(TrainingSettings, "batch_size"))
    window: int = field(kw_only=True, metadata=_of(TrainingSettings, "window"))
    stride: int = field(default=1, kw_only=True, metadata=_of(TrainingSettings, "stride"))
    learning_rate: float = field(kw_only=True, metadata=_of(TrainingSettings, "learning_rate"))
    weight_decay: float = field(kw_only=True, metadata=_of(TrainingSettings, "weight_decay"))
    schedule: str = field(default="linear", kw_only=True, metadata=_of(TrainingSettings, "schedule"))
    evaluate_every: float = field(kw_only=True, metadata=_of(TrainingSettings, "evaluate_every"))
    patience: int = field(default=0, kw_only=True, metadata=_of(TrainingSettings, "patience"))
    candidates: int = field(kw_only=True, metadata=_of(TrainingSettings, "candidates"))


@dataclass(frozen=True)
class ResolvedRecipe(Recipe):
    """A recipe whose model and training are resolved: what a network is built from and trained by."""

    model: ResolvedModel = field(kw_only=True)
    training: ResolvedTraining = field(kw_only=True)


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
    hints = _hints(type(base))
    for key in given:
        if key not in known:
            raise SettingsError(f"{where}: [{section}] has no field {key!r}; its fields are {', '.join(known)}")
    values = {k: _check(section, known[k], hints[k], v, where) for k, v in given.items()}
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


_NOT_RECORDED: dict[str, dict[str, Any]] = {
    "model": {"weight_drop": 0.0, "mixture": "none"},
    "training": {"weight_decay": 0.0, "candidates": 0, "stride": 1, "schedule": "linear", "patience": 0},
}
"""What older checkpoints leave out, as it was then; and what is "auto" where no rule decides it."""


def decide(
    recipe: Recipe, model: typing.Mapping[str, Any] | None = None, training: typing.Mapping[str, Any] | None = None
) -> ResolvedRecipe:
    """`recipe` with these values of its fields, which leave nothing "auto". Raises SettingsError where something is."""
    tables = {"model": {**vars(recipe.model), **(model or {})},
              "training": {**vars(recipe.training), **(training or {})}}  # fmt: skip
    for section, table in tables.items():
        table |= {name: value for name, value in _NOT_RECORDED[section].items() if table[name] is None}
    return ResolvedRecipe(
        recipe.text,
        ngram=recipe.ngram,
        task=recipe.task,
        name=recipe.name,
        model=ResolvedModel(**tables["model"]),
        training=ResolvedTraining(**tables["training"]),
    )


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
