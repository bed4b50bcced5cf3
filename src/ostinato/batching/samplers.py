"""The three ways of drawing minibatches for truncated back-propagation through time.

Every sampler is a pure function of (ids, sizes, seed, epoch): minibatch k of an epoch can be asked for directly, so a
run resumes from the two numbers (epoch, k). Nothing of the corpus is copied but the minibatch itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.batching.shuffle import Shuffle
from ostinato.errors import TextError, UsageError
from ostinato.protocols import Ids

Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Minibatches:
    """One epoch of minibatches: pairs (x, y), each (batch_size, window) int64, y one step ahead of x."""

    ids: Ids
    batch_size: int
    window: int
    count: int
    carries_state: bool
    """Whether row i of minibatch k+1 continues row i of minibatch k."""
    _starts: Any

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Batch:
        if not 0 <= k < self.count:
            raise IndexError(f"minibatch {k} of {self.count}")
        starts = self._starts(k)
        pieces = self.ids[starts[:, None] + np.arange(self.window + 1)].astype(np.int64)
        return pieces[:, :-1], pieces[:, 1:]

    def __iter__(self) -> Iterator[Batch]:
        return (self[k] for k in range(self.count))


def minibatches(
    sampling: str, ids: Ids, *, batch_size: int, window: int, stride: int = 1, seed: int = 0, epoch: int = 0
) -> Minibatches:
    """The minibatches of one epoch.

    - `random`: the text is cut into (len(ids) - 1) // window pieces that do not overlap, shuffled anew each epoch.
    - `consecutive`: the text is cut into `batch_size` rows; each minibatch continues the one before it.
    - `windows`: a piece starts at every multiple of `stride`, shuffled anew each epoch.

    A last minibatch that would be short is left out. Raises TextError when the text is too short for one minibatch
    (how long it is and what to change), UsageError for an unknown `sampling`.
    """
    if sampling == "consecutive":
        row_length = len(ids) // batch_size
        count, rows = (row_length - 1) // window, np.arange(batch_size, dtype=np.int64) * row_length
        _require(count, ids, batch_size, window, batch_size * (window + 1))
        return Minibatches(ids, batch_size, window, count, True, lambda k: rows + k * window)
    if sampling == "random":
        step, pieces = window, (len(ids) - 1) // window
    elif sampling == "windows":
        step, pieces = stride, (len(ids) - 1 - window) // stride + 1 if len(ids) > window else 0
    else:
        raise UsageError(f"unknown sampling {sampling!r}: use random, consecutive or windows")
    _require(pieces // batch_size, ids, batch_size, window, (batch_size - 1) * step + window + 1)
    order = Shuffle(pieces, seed=(seed << 32) + epoch)
    batch = np.arange(batch_size, dtype=np.int64)
    return Minibatches(
        ids, batch_size, window, pieces // batch_size, False, lambda k: order[batch + k * batch_size] * step
    )


def _require(count: int, ids: Ids, batch_size: int, window: int, needed: int) -> None:
    if count < 1:
        raise TextError(
            f"the training text is too short: {len(ids)} tokens, but one minibatch of {batch_size} rows of {window} "
            f"steps needs {needed}; give more text, or lower training.batch_size or training.window"
        )
