"""Where and in which precision torch computes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ostinato.cells import BUILT_IN
from ostinato.errors import UsageError
from ostinato.layers import native
from ostinato.settings import PRECISIONS

DEVICES = ("auto", "cpu", "cuda", "mps")


def prepare_torch() -> None:
    """Make denormal numbers zero and large tensors lie in huge pages. Call it before torch is used in this process.

    A fitting softmax pushes gradients into the subnormal range, where a CPU is slower by an order of magnitude.
    The setting belongs to a thread and is inherited by threads it starts, so it must precede the thread pool.
    Gradients as large as the vocabulary are allocated anew in every step: with huge pages (Linux; torch's
    THP_MEM_ALLOC_ENABLE, which 0 turns off) a step with 33,278 words took 16 % less time.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    torch.set_flush_denormal(True)


def resolve_device(name: str) -> torch.device:
    """The device called `name`; `auto` is CUDA, else MPS, else the CPU. Raises UsageError where it is not there.

    Processes that torch's launcher started take a GPU each, by LOCAL_RANK.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if name not in available:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    if not available[name]:
        raise UsageError(f"device {name} is not available here: use cpu or auto")
    place = os.environ.get("LOCAL_RANK", "")
    if name == "cuda" and place.isdecimal() and torch.cuda.device_count() > 1:
        device = torch.device("cuda", int(place) % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    return torch.device(name)


def resolve_precision(name: str, device: torch.device, *, hidden_size: int, cell: str = "lstm") -> str:
    """`fp32` or `bf16`; `auto` is the faster one to train with. Raises UsageError for bf16 on a device without it.

    On a CPU `auto` is bf16 only where our kernels have it, or are not here at all: their float32 goes before torch's
    bf16 (docs/decisions/128).
    """
    if name not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if name == "bf16" and not _has_bf16(device):
        raise UsageError(f"precision bf16 is not available on {device.type} here: use fp32 or auto")
    if name != "auto":
        return name
    if device.type == "cpu":
        faster = _cpu_multiplies_bf16() and _bf16_pays_on_cpu(cell, hidden_size)
        return "bf16" if faster and native.not_left_to_torch("bf16") else "fp32"
    return "bf16" if _has_bf16(device) else "fp32"


def _has_bf16(device: torch.device) -> bool:
    """Whether the device has bf16: a CPU without it emulates it, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu"


def _cpu_multiplies_bf16() -> bool:
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _bf16_pays_on_cpu(cell: str, hidden_size: int) -> bool:
    """Whether a training step is faster in bf16, measured with torch's layers on an AMX core.

    fp32 / bf16 time of a step (32 × 64 tokens, 66 characters) at hidden size 64, 128, 256, 512: LSTM 1.27, 1.81,
    2.06, 1.87; GRU 0.64, 0.76, 1.05, 1.48; RNN 0.59, 0.71, 1.00, 1.44. The LSTM is one oneDNN operator, while the
    others pay for conversions at each time step.
    """
    return cell == "lstm" or (cell in BUILT_IN and hidden_size >= 256)


@contextmanager
def autocast(precision: str, device: torch.device) -> Iterator[None]:
    """Compute matrix products in `precision`, fp32 or bf16 (mixed precision: parameters stay float32)."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        yield
