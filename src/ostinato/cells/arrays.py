"""What a cell's equation is written in: functions that take NumPy arrays and torch tensors alike.

Each computes with the package of the array that it is given, so a step that is written once trains with torch and
writes without it. Operators (`+`, `*`, `@`, slices) need no function: both kinds have them.
"""

import sys
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A NumPy array or a torch tensor; all arrays of one call are of one kind."""


def namespace(x: Array) -> Any:
    """The package that `x` belongs to, `numpy` or `torch`: for functions that both have, such as `exp`."""
    return sys.modules[type(x).__module__.partition(".")[0]]


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of each element."""
    return namespace(x).tanh(x)


def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)) of each element, without overflow."""
    if hasattr(x, "sigmoid"):
        return x.sigmoid()
    return 0.5 + 0.5 * tanh(0.5 * x)


def relu(x: Array) -> Array:
    """max(0, x) of each element."""
    return x.relu() if hasattr(x, "relu") else namespace(x).maximum(x, 0)


def split(x: Array, count: int, axis: int = -1) -> tuple[Array, ...]:
    """`x` in `count` equal parts along `axis`: the gates of a product, or of a weight matrix (axis 0)."""
    return tuple(x.chunk(count, axis) if hasattr(x, "chunk") else namespace(x).split(x, count, axis))


def affine(x: Array, W: Array, b: Array | None = None) -> Array:
    """W x + b for every row of `x`: (B, N) floats to (B, M), with `W` (M, N) and `b` (M,) or None.

    An integer `x`, (B,), stands for one-hot rows given by the place of their one: then W x is that column of W.
    """
    package = namespace(x)
    if hasattr(package, "nn"):
        if x.is_floating_point():
            return package.nn.functional.linear(x, W, b)
        column = package.nn.functional.embedding(x, W.t())
    else:
        column = x @ W.T if x.dtype.kind == "f" else W.T[x]
    return column if b is None else column + b
