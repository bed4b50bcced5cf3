"""What torch's launcher says of this process in its environment. Needs no torch."""

import os


def launched() -> bool:
    """Whether torch's launcher has started this process together with others."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1 and "RANK" in os.environ and "MASTER_ADDR" in os.environ


def restarted() -> bool:
    """Whether the launcher has started this process in place of one that failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0


def processes_here() -> int:
    """How many processes of the team run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
