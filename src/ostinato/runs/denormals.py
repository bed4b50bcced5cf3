"""The caller's treatment of denormal numbers, which training changes and gives back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def denormals_kept() -> Iterator[None]:
    """Afterwards denormal numbers are treated in this thread as before; inside, training may flush them to zero.

    torch sets the mode (`set_flush_denormal`) but does not tell it: a product in the subnormal range does.
    """
    flushed = not np.any(np.full(4, 1e-300) * 1e-10)
    try:
        yield
    finally:
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_flush_denormal(flushed)
