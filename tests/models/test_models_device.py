import subprocess
import sys

import pytest
import torch

from ostinato.errors import UsageError
from ostinato.models import autocast, resolve_device

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


def test_autocast_computes_in_the_precision():
    x = torch.ones(2, 2)
    with autocast("bf16", CPU):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (x @ x).dtype == torch.float32
