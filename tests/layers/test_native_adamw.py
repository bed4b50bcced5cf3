"""One call for all parameters against torch's AdamW with clip_grad_norm_."""

import pytest
import torch

from ostinato.errors import UsageError
from ostinato.kernels.train import train_kernels
from ostinato.layers import native_adamw
from ostinato.layers.native_adamw import NativeAdamW

pytestmark = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")
SHAPES = [(300, 111), (7,), (), (40, 3)]


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_torch(clip, threads):
    ours, theirs = parameters(), parameters()
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-6, "weight_decay": 0.1}
    us, them = NativeAdamW(ours, **options, clip=clip), torch.optim.AdamW(theirs, **options)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for step in range(12):
            torch.manual_seed(step)
            for a, b in zip(ours, theirs, strict=True):
                a.grad = torch.randn_like(a) * (0.001 if step % 3 else 1)
                b.grad = a.grad.clone()
            us.param_groups[0]["lr"] = them.param_groups[0]["lr"] = 1e-2 / (step + 1)
            us.step()
            norm = torch.nn.utils.clip_grad_norm_(theirs, clip or float("inf"))
            them.step()
            assert us.norm == pytest.approx(float(norm), rel=1e-5)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_state_goes_to_torch_and_back():
    ours, theirs = parameters(), parameters()
    us, them = NativeAdamW(ours, clip=1.0), torch.optim.AdamW(theirs)
    for p in ours:
        p.grad = torch.ones_like(p)
    us.step()
    state = us.state_dict()
    them.load_state_dict({"state": state["state"], "param_groups": them.state_dict()["param_groups"]})
    again = NativeAdamW(parameters())
    again.load_state_dict(state)
    assert float(again.state[again.param_groups[0]["params"][0]]["step"]) == 1
    assert again.param_groups[0]["clip"] == 1.0


def test_not_finite_changes_nothing():
    ours = parameters()
    before = [p.detach().clone() for p in ours]
    us = NativeAdamW(ours)
    for p in ours:
        p.grad = torch.ones_like(p)
    ours[1].grad[3] = float("inf")
    us.step()
    assert us.norm == float("inf")
    assert all(torch.equal(a, b) for a, b in zip(ours, before, strict=True))
    assert {float(us.state[p]["step"]) for p in ours} == {0.0}


def test_parameters_without_gradient_stay():
    used, unused = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    us = NativeAdamW([used, unused])
    used.grad = torch.ones(3)
    us.step()
    assert (unused == 1).all()
    assert (used < 1).all()
    us.zero_grad()
    us.step()
    unused.grad = torch.ones(3)
    used.grad = torch.ones(3)
    with pytest.raises(UsageError, match="the same number of steps"):
        us.step()


def test_sparse_gradients():
    weight = torch.nn.Parameter(torch.ones(6, 2))
    us = NativeAdamW([weight], weight_decay=0.0)
    torch.nn.functional.embedding(torch.tensor([1, 1, 4]), weight, sparse=True).sum().backward()
    us.step()
    assert (weight != 1).any(1).tolist() == [False, True, False, False, True, False]


def test_closure():
    parameter = torch.nn.Parameter(torch.ones(3))

    def closure():
        loss = parameter.square().sum()
        loss.backward()
        return loss.detach()

    assert float(NativeAdamW([parameter]).step(closure)) == 3.0


def test_refuses_other_dtypes():
    with pytest.raises(UsageError, match="contiguous float32 parameters on the CPU"):
        NativeAdamW([torch.ones(2, dtype=torch.float64, requires_grad=True)])


def test_groups_differ_in_weight_decay_alone():
    ours, theirs = parameters(), parameters()
    us, them = (
        make([{"params": p[:2], "weight_decay": 0.5}, {"params": p[2:], "weight_decay": 0.0}], lr=0.1)
        for make, p in ((NativeAdamW, ours), (torch.optim.AdamW, theirs))
    )
    for p in (*ours, *theirs):
        p.grad = torch.ones_like(p)
    us.step()
    them.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    us.param_groups[1]["lr"] = 0.2
    with pytest.raises(UsageError, match="differ in weight decay alone"):
        us.step()


def test_needs_kernels(monkeypatch):
    monkeypatch.setattr(native_adamw, "train_kernels", lambda precision: None)
    assert not NativeAdamW.available()
    with pytest.raises(UsageError, match="needs the compiled kernels"):
        NativeAdamW([torch.ones(2, requires_grad=True)])
