import pytest
import torch
from torch.nn import functional

from ostinato.models import linear_cross_entropy, loss, target_log_probabilities

N, F, V = 11, 4, 7


def _inputs(dtype=torch.float64):
    torch.manual_seed(1)
    tensors = [torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in ((N, F), (V, F), (V,))]
    return (*tensors, torch.randint(V, (N,)))


@pytest.fixture(params=["whole", "pieces", "one piece"])
def ways(request, monkeypatch):
    """All ways of computing the same loss; pieces of four rows do not divide eleven."""
    if request.param != "whole":
        monkeypatch.setattr(loss, "LOGITS_WORTH_PIECES", 0)
    if request.param == "pieces":
        monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 4 * V)


@pytest.mark.usefixtures("ways")
def test_is_the_mean_cross_entropy_of_the_logits():
    features, weight, bias, targets = _inputs()
    expected = functional.cross_entropy(features @ weight.t() + bias, targets)
    actual = linear_cross_entropy(features, weight, bias, targets)
    torch.testing.assert_close(actual, expected)
    inputs = (features, weight, bias)
    for a, b in zip(torch.autograd.grad(3 * actual, inputs), torch.autograd.grad(3 * expected, inputs), strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(features, weight, bias, targets), expected)


@pytest.mark.usefixtures("ways")
def test_gradcheck():
    *inputs, targets = _inputs()
    assert torch.autograd.gradcheck(lambda *tensors: linear_cross_entropy(*tensors, targets), inputs)


@pytest.mark.usefixtures("ways")
def test_float32_softmax_under_autocast():
    features, weight, bias, targets = _inputs(torch.float32)
    exact = linear_cross_entropy(features, weight, bias, targets)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = linear_cross_entropy(features, weight, bias, targets)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.02, atol=0)
    inputs = (features, weight, bias)
    for a, b in zip(torch.autograd.grad(mixed, inputs), torch.autograd.grad(exact, inputs), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.01)


@pytest.mark.usefixtures("ways")
def test_a_hopeless_target_costs_a_finite_loss():
    features, weight = torch.eye(2)[:1], torch.tensor([[500.0, 0], [-500, 0]])
    value = linear_cross_entropy(features, weight.requires_grad_(), torch.zeros(2), torch.tensor([1]))
    assert value.item() == 1000
    value.backward()
    assert weight.grad.isfinite().all()


@pytest.mark.usefixtures("ways")
def test_target_log_probabilities(monkeypatch):
    monkeypatch.setattr(loss, "LOGITS_AT_ONCE", 4 * V)
    features, weight, bias, targets = _inputs()
    expected = functional.log_softmax(features @ weight.t() + bias, 1)[torch.arange(N), targets]
    torch.testing.assert_close(target_log_probabilities(features, weight, bias, targets), expected)
