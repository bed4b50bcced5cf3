"""Examples of different lengths as one batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pad(rows: Sequence[Array], value: int = 0) -> Array:
    """Arrays (T_b, ...) as one (B, max T_b, ...), with `value` after the end of the shorter ones."""
    out = np.full((len(rows), max(len(row) for row in rows), *rows[0].shape[1:]), value, rows[0].dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return out


def lengths_of(rows: Sequence[Array]) -> npt.NDArray[np.int64]:
    """How long each row is, (B,)."""
    return np.array([len(row) for row in rows], np.int64)
