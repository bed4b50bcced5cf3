"""Where and in which precision torch computes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ostinato.errors import UsageError
from ostinato.settings import PRECISIONS

DEVICES = ("auto", "cpu", "cuda", "mps")


def prepare_torch() -> None:
    """Make denormal numbers zero. Call it before anything else that uses torch in this process.

    A fitting softmax pushes gradients into the subnormal range, where a CPU is slower by an order of magnitude.
    The setting belongs to a thread and is inherited by threads it starts, so it must precede the thread pool.
    """
    torch.set_flush_denormal(True)


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA, else MPS, else the CPU. Raises UsageError where it is not there."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, is_there in available.items() if is_there))
    if name not in available:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    if not available[name]:
        raise UsageError(f"device {name} is not available here: use cpu or auto")
    return torch.device(name)


def resolve_precision(name: str, device: torch.device, *, hidden_size: int) -> str:
    """`fp32` or `bf16`; `auto` is bf16 where it is faster. Raises UsageError for bf16 on a device without it."""
    if name not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if name == "bf16" and not _has_bf16(device):
        raise UsageError(f"precision bf16 is not available on {device.type} here: use fp32 or auto")
    if name != "auto":
        return name
    return "bf16" if _has_fast_bf16(device) else "fp32"


def _has_bf16(device: torch.device) -> bool:
    return device.type == "cpu" or (device.type == "cuda" and bool(torch.cuda.is_bf16_supported()))


def _has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return False


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """Compute matrix products in `precision`, fp32 or bf16 (mixed precision: parameters stay float32)."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield
