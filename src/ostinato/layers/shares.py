"""A member's share of a minibatch: its rows, while everything random is drawn for all rows.

Several processes that train one model each compute some rows of every minibatch. Masks and candidates are drawn for
the whole minibatch from (seed, step) and cut, so that N processes compute what one would.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Share:
    """Rows `first` .. `stop` - 1 of a minibatch that has `whole` rows. targets: all rows' targets, of any shape."""

    first: int
    stop: int
    whole: int
    targets: Tensor

    @property
    def rows(self) -> slice:
        """The member's rows."""
        return slice(self.first, self.stop)


_share: ContextVar[Share | None] = ContextVar("share", default=None)


def current_share() -> Share | None:
    """The share that this thread computes now; None: all rows."""
    return _share.get()


@contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """Inside, the rows that this thread computes are those of `share`."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)
