import subprocess
import sys

import pytest
import torch

from ostinato.errors import UsageError
from ostinato.layers import native
from ostinato.models import autocast, resolve_device, resolve_precision

CPU = torch.device("cpu")


def _only(monkeypatch, *devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in devices)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in devices)


@pytest.mark.parametrize(("there", "chosen"), [((), "cpu"), (("mps",), "mps"), (("mps", "cuda"), "cuda")])
def test_auto_device(monkeypatch, there, chosen):
    _only(monkeypatch, *there)
    assert resolve_device("auto").type == chosen
    assert resolve_device("cpu") == CPU


def test_device_refused(monkeypatch):
    _only(monkeypatch)
    with pytest.raises(UsageError, match="device must be one of auto, cpu, cuda, mps, got 'tpu'"):
        resolve_device("tpu")
    for name in ("cuda", "mps"):
        with pytest.raises(UsageError, match=f"device {name} is not available here: use cpu or auto"):
            resolve_device(name)


def test_denormals_are_flushed_in_all_threads():
    """In a fresh process, because the setting must precede the thread pool."""
    script = (
        "from ostinato.models import prepare_torch; prepare_torch(); import torch; torch.set_num_threads(4);"
        "assert (torch.full((1 << 22,), 1e-38) * 1e-3 == 0).all()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("cell", "hidden_size", "chosen"), [("lstm", 16, "bf16"), ("gru", 128, "fp32"), ("rnn", 256, "bf16")]
)
def test_auto_precision_is_what_was_measured_to_be_faster(monkeypatch, cell, hidden_size, chosen):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(native, "train_kernels", lambda precision: "kernels")
    assert resolve_precision("auto", CPU, cell=cell, hidden_size=hidden_size) == chosen


@pytest.mark.parametrize(("kernels", "chosen"), [(("fp32",), "fp32"), (("fp32", "bf16"), "bf16"), ((), "bf16")])
def test_auto_precision_is_not_one_that_would_leave_the_layers_to_torch(monkeypatch, kernels, chosen):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr(native, "train_kernels", lambda precision: "kernels" if precision in kernels else None)
    assert resolve_precision("auto", CPU, hidden_size=512) == chosen
    assert resolve_precision("bf16", CPU, hidden_size=512) == "bf16"


def test_auto_precision_needs_the_instructions(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert resolve_precision("auto", CPU, hidden_size=512) == "fp32"
    assert resolve_precision("bf16", CPU, hidden_size=512) == "bf16"


@pytest.mark.parametrize("has_bf16", [True, False])
def test_precision_on_cuda(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    device = torch.device("cuda")
    assert resolve_precision("auto", device, hidden_size=8) == ("bf16" if has_bf16 else "fp32")
    assert resolve_precision("fp32", device, hidden_size=8) == "fp32"
    if not has_bf16:
        with pytest.raises(UsageError, match="precision bf16 is not available on cuda here: use fp32 or auto"):
            resolve_precision("bf16", device, hidden_size=8)


def test_precision_refused():
    with pytest.raises(UsageError, match="precision must be one of auto, fp32, bf16, got 'fp8'"):
        resolve_precision("fp8", CPU, hidden_size=8)


def test_autocast_computes_in_the_precision():
    x = torch.ones(2, 2)
    with autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (x @ x).dtype == torch.float32
