"""How many processors this process may run on."""

import os


def processors() -> int:
    """Those that it was given, not all of the machine's, where the system tells them apart."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
