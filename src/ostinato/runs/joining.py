"""Several processes that torch's launcher started train one model; needs no torch where it did not."""

import contextlib
from typing import TYPE_CHECKING

from ostinato.errors import UsageError
from ostinato.training.launcher import launched

if TYPE_CHECKING:
    from ostinato.training.distributed import Processes


def joined() -> "contextlib.AbstractContextManager[Processes | None]":
    """Inside, the team of the processes that the launcher started; None where this is the only one."""
    if not launched():
        return contextlib.nullcontext()
    from ostinato.training.distributed import together

    return together()


def refuse_launched(what: str) -> None:
    """Raises UsageError where torch's launcher has started this process, which is for training one model."""
    if launched():
        raise UsageError(f"{what} cannot be used under torch's launcher: start it without torchrun")
