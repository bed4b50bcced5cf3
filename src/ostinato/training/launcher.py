"""What torch's launcher says of this process in its environment. Needs no torch."""

import os

from ostinato.errors import UsageError


def launched() -> bool:
    """Whether torch's launcher has started this process together with others. Raises UsageError as `_number`."""
    return _number("WORLD_SIZE", 1) > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ


def restarted() -> bool:
    """Whether the launcher has started this process in place of one that failed."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def launch() -> str:
    """What tells the launcher that started this process, in all its attempts, from any other; empty without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")  # that of --rdzv-id, else a new one
    return f"{name} {os.getppid()}" if name == "none" else name


def processes_here() -> int:
    """How many processes of the team run on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def _number(name: str, otherwise: int) -> int:
    """A variable that the launcher sets. Raises UsageError where someone else has set it to what is no number."""
    text = os.environ.get(name) or str(otherwise)
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name} is set by torch's launcher to a number, got {text!r}: unset it")
    return int(text)
