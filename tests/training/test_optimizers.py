"""Which optimizer a recipe gets, and that a clipped step is the same by either."""

import math

import pytest
import torch

from ostinato.kernels.train import train_kernels
from ostinato.layers.native_adamw import NativeAdamW
from ostinato.models.language_model import LanguageModel
from ostinato.settings import ModelSettings, TrainingSettings
from ostinato.training.optimizers import build_optimizer, clipped_step

needs_kernels = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in ((5, 3), (3,))]


@needs_kernels
def test_adamw_on_a_cpu_is_the_kernels():
    assert isinstance(build_optimizer(parameters(), TrainingSettings(), 1e-3), NativeAdamW)
    assert type(build_optimizer(parameters(torch.float64), TrainingSettings(), 1e-3)) is torch.optim.AdamW


@needs_kernels
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_a_clipped_step_is_the_same_by_either(clip, monkeypatch):
    found = []
    for native in (True, False):
        monkeypatch.setattr(NativeAdamW, "available", staticmethod(lambda native=native: native))
        ours = parameters()
        optimizer = build_optimizer(ours, TrainingSettings(clip=clip, weight_decay=0.1), 1e-2)
        for step in range(4):
            for p in ours:
                p.grad = (p.detach() + step) * 3
            norm = clipped_step(optimizer, clip)
        found.append((norm, *ours))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for a, b in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_norm_that_is_not_finite_changes_nothing(optimizer):
    ours = parameters()
    before = [p.detach().clone() for p in ours]
    built = build_optimizer(ours, TrainingSettings(optimizer=optimizer), 1e-2)
    for p in ours:
        p.grad = torch.full_like(p, math.inf)
    assert not math.isfinite(clipped_step(built, 1.0))
    assert all(torch.equal(a, b) for a, b in zip(ours, before, strict=True))


def test_tied_weights_get_the_gradients_of_both_uses():
    """The embedding's rows are added sparsely to the head's gradient: the same as two separate matrices, summed."""
    options = {"cell": "gru", "hidden_size": 6, "embedding_size": 6, "dropout": 0.0, "backend": "torch"}
    ids, targets = torch.randint(9, (2, 3, 5), generator=torch.Generator().manual_seed(1))
    tied, apart = (LanguageModel(ModelSettings(**options, tied=t), 9).double() for t in (True, False))
    apart.load_state_dict({**tied.state_dict(), "head.weight": tied.embedding.weight})
    for model in (tied, apart):
        model.loss(ids, targets)[0].backward()
    torch.testing.assert_close(tied.embedding.weight.grad, apart.embedding.weight.grad + apart.head.weight.grad)
