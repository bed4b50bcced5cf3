"""The head that stores no logits against cross-entropy in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.kernels.load import ISAS, available
from ostinato.kernels.train import train_kernels
from ostinato.layers import head
from ostinato.layers.head import linear_cross_entropy, token_losses

needs_kernels = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")


def case(n, f, v, seed, bias=True):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, f, generator=generator, requires_grad=True)
    weight = torch.randn(v, f, generator=generator, requires_grad=True)
    offset = torch.randn(v, generator=generator, requires_grad=True) if bias else None
    return x, weight, offset, torch.randint(v, (n,), generator=generator)


def expected(x, weight, bias, targets, factor=1.0):
    inputs = [t.detach().double().requires_grad_() for t in (x, weight, bias) if t is not None]
    logits = functional.linear(inputs[0], inputs[1], inputs[2] if bias is not None else None)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return losses, torch.autograd.grad(losses.mean() * factor, inputs)


def check(arguments, tolerance, factor=1.0):
    losses, gradients = expected(*arguments, factor)
    loss = linear_cross_entropy(*arguments)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(losses.detach().mean()), rel=tolerance, abs=tolerance)
    ours = torch.autograd.grad(loss * factor, [t for t in arguments[:3] if t is not None])
    for a, b in zip(ours, gradients, strict=True):
        assert float((a - b).norm()) <= tolerance * float(b.norm()) + 1e-7
    each = token_losses(*arguments)
    assert not each.requires_grad
    torch.testing.assert_close(each.double(), losses.detach(), rtol=tolerance, atol=10 * tolerance)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 80), st.integers(1, 50), st.integers(1, 400), st.booleans(), st.integers(0, 999))
def test_fp32_equals_float64(n, f, v, bias, seed):
    check(case(n, f, v, seed, bias), 1e-5, factor=0.25)


@pytest.mark.skipif(train_kernels("bf16") is None, reason="this CPU has no bfloat16 arithmetic")
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 80), st.integers(1, 50), st.integers(2, 400), st.integers(0, 999))
def test_bf16_equals_float64(n, f, v, seed):
    with torch.autocast("cpu", torch.bfloat16):
        x, weight, bias, targets = case(n, f, v, seed)
        with torch.no_grad():
            weight *= 0.2
        check((x, weight, bias, targets), 2e-2)


@pytest.mark.parametrize("isa", [isa for isa in available() if isa in ISAS])
def test_every_instruction_set(monkeypatch, isa):
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 2e-2)):
        kernels = train_kernels(precision, isa)
        if kernels is not None:
            monkeypatch.setattr(head, "kernels_for", lambda *_, kernels=kernels: kernels)
            x, weight, bias, targets = case(45, 33, 700, 3)
            with torch.no_grad():
                weight *= 0.2
            check((x, weight, bias, targets), tolerance)


@pytest.mark.skipif(train_kernels("bf16") is None, reason="this CPU has no bfloat16 arithmetic")
def test_bf16_gradients_where_targets_are_nearly_certain():
    _, weight, bias, targets = case(60, 40, 90, 5)
    with torch.no_grad():
        weight.copy_(weight.bfloat16())
        x = (weight[targets] * 0.25).bfloat16().float()
    with torch.autocast("cpu", torch.bfloat16):
        assert float(linear_cross_entropy(x, weight.detach(), bias.detach(), targets)) < 0.1
        check((x.requires_grad_(), weight, bias, targets), 2e-2)


@needs_kernels
@pytest.mark.parametrize("n", [2000, 9000])
def test_exponentials_that_are_kept_and_those_that_would_be_too_many(n):
    """48 MB of them are kept, in float32 16: at 2,000 x 3,000 those of bfloat16, at 9,000 x 3,000 none."""
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 2e-2)):
        if train_kernels(precision) is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                check(case(n, 5, 3000, 7), tolerance)


@needs_kernels
def test_far_from_zero_and_certain():
    """A row whose target is certain, one where it is hopeless: exact where exponentials alone would overflow."""
    x, weight = torch.tensor([[100.0], [-100.0]], requires_grad=True), torch.tensor([[3.0], [-3.0], [0.0]])
    losses = token_losses(x, weight, None, torch.tensor([0, 0]))
    assert losses.tolist() == [0.0, 600.0]
    loss = linear_cross_entropy(x, weight, None, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(gradient, torch.tensor([[0.0], [-3.0]]))


@needs_kernels
def test_nan_makes_the_loss_nan():
    x, weight, bias, targets = case(5, 4, 50, 0)
    with torch.no_grad():
        x[2, 1] = float("nan")
    assert torch.isnan(linear_cross_entropy(x, weight, bias, targets))
    assert torch.isnan(token_losses(x, weight, bias, targets)).tolist() == [False, False, True, False, False]


@needs_kernels
def test_tied_weights_collect_both_gradients():
    embedding = torch.randn(30, 8, requires_grad=True)
    ids, targets = torch.randint(30, (12,)), torch.randint(30, (12,))
    linear_cross_entropy(functional.embedding(ids, embedding), embedding, None, targets).backward()
    ours, embedding.grad = embedding.grad, None
    logits = functional.linear(functional.embedding(ids, embedding), embedding)
    functional.cross_entropy(logits, targets).backward()
    torch.testing.assert_close(ours, embedding.grad, rtol=1e-5, atol=1e-6)


@needs_kernels
def test_second_differentiation_is_refused():
    loss = linear_cross_entropy(*case(5, 4, 50, 0))
    loss.backward(retain_graph=True)
    with pytest.raises(UsageError, match="differentiated twice"):
        loss.backward()


@pytest.mark.parametrize("targets", [torch.tensor([0, 50]), torch.tensor([-1, 0]), torch.tensor([], dtype=torch.long)])
def test_targets_outside_the_vocabulary(targets):
    x, weight, bias, _ = case(len(targets), 4, 50, 0)
    for function in (linear_cross_entropy, token_losses):
        with pytest.raises(UsageError, match=r"targets must be from 0 to 49, the rows of the weight: got"):
            function(x, weight, bias, targets)


def test_without_kernels_it_is_torch(monkeypatch):
    monkeypatch.setattr(head, "kernels_for", lambda *_: None)
    check(case(7, 5, 30, 1), 1e-5)
