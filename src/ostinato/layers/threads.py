"""How many threads our kernels may use at most, and that torch stays out of their way.

The kernels have a pool of their own (kernels/csrc/pool.cc): a thread that is late is not waited for, and where other
work takes the cores they go on alone for a while. No result depends on the number of threads.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ostinato.errors import UsageError
from ostinato.kernels.train import alone, train_kernels
from ostinato.processors import processors

VARIABLE = "OSTINATO_THREADS"
_limit: int | None = None


def thread_limit() -> int:
    """The most threads a kernel takes: what `kernel_threads` set, else torch's number."""
    return torch.get_num_threads() if _limit is None else _limit


def wanted_threads(given: int | None = None) -> int:
    """`given`, else OSTINATO_THREADS, else torch's number (which follows OMP_NUM_THREADS); never more than there are
    processors for this process. Raises UsageError for less than 1."""
    text = os.environ.get(VARIABLE, "").strip()
    if given is None and text:
        if not text.isascii() or not text.isdigit():
            raise UsageError(f"{VARIABLE} must be a number from 1 on, got {text!r}")
        given = int(text)
    wanted = torch.get_num_threads() if given is None else given
    if wanted < 1:
        raise UsageError(f"threads must be at least 1, got {wanted}")
    return min(wanted, processors())


def threads_in_use() -> int:
    """How many threads the kernels share work among at this moment: 1 while other work has the other cores."""
    return 1 if alone() else thread_limit()


@contextmanager
def training_threads(model: torch.nn.Module, device: torch.device, count: int) -> Iterator[None]:
    """Inside, the kernels use up to `count` threads to train `model`, and torch's own operators one where the kernels
    do the work, `count` elsewhere.

    Torch's threads spin for milliseconds after each operator, on cores the kernels want, and some of its sums depend
    on how many there are. The operators between our kernels are small.
    """
    layers = [module for module in model.modules() if hasattr(module, "backend")]
    ours = device.type == "cpu" and train_kernels("fp32") is not None
    native = ours and bool(layers) and all(layer.backend in ("auto", "native") for layer in layers)
    with kernel_threads(count, 1 if native else count):
        yield


@contextmanager
def kernel_threads(count: int, torch_count: int) -> Iterator[None]:
    """Inside, the kernels use up to `count` threads, and torch's own operators `torch_count`."""
    global _limit
    before, torch_before = _limit, torch.get_num_threads()
    _limit = count
    torch.set_num_threads(torch_count)
    try:
        yield
    finally:
        _limit = before
        torch.set_num_threads(torch_before)
