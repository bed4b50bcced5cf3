"""The native backend against the same layer of torch in float64, over random shapes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.cells import CELLS
from ostinato.kernels.load import ISAS, available
from ostinato.kernels.train import train_kernels
from ostinato.layers import GRU, LSTM, RNN, native, torch_backend

FP32, BF16 = 1e-5, 2e-2

pytestmark = pytest.mark.skipif(train_kernels("fp32") is None, reason="there are no compiled kernels here")
needs_bf16 = pytest.mark.skipif(train_kernels("bf16") is None, reason="this CPU has no bfloat16 arithmetic")
shapes = st.tuples(st.integers(1, 6), st.integers(1, 40), st.integers(1, 70), st.integers(1, 70))


def relative(ours, theirs):
    """|ours - theirs| / |theirs| by the Euclidean norm; for a few saturated units the error itself."""
    ours, theirs = ours.detach().double(), theirs.detach()
    return float((ours - theirs).norm() / theirs.norm().clamp_min(0.3))


def results(run, cell, tensors, seed, dtype):
    """Outputs, last states and all gradients of a random scalar of them."""
    x, state, weights = tensors
    x = x if not x.is_floating_point() else x.detach().to(dtype).requires_grad_()
    state = tuple(s.detach().to(dtype).requires_grad_() for s in state)
    weights = [type(w)(*(None if t is None else t.detach().to(dtype).requires_grad_() for t in w)) for w in weights]
    y, last = run(cell, x, state, weights)
    generator = torch.Generator().manual_seed(seed)
    out = (y, *last)
    seeds = [torch.randn(t.shape, generator=generator, dtype=torch.float32).to(t.dtype) for t in out]
    inputs = [t for t in (x, *state, *(t for w in weights for t in w)) if t is not None and t.requires_grad]
    return [*out, *torch.autograd.grad(out, inputs, seeds)]


def layer(cell, shape, seed, *, directions=1, bias=True, one_hot=False):
    steps, batch, inputs, hidden = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(size, generator=generator)

    gates = CELLS[cell].gates * hidden
    x = torch.randint(inputs, (steps, batch), generator=generator) if one_hot else normal(steps, batch, inputs)
    state = tuple(normal(directions, batch, hidden) for _ in CELLS[cell].parts)
    weights = [
        native.CellWeights(
            normal(gates, inputs) * inputs**-0.5,
            normal(gates, hidden) * 0.7 * hidden**-0.5,
            normal(gates) if bias else None,
            normal(gates) if bias else None,
        )
        for _ in range(directions)
    ]
    return x, state, weights


def worst(cell, tensors, seed, *, bf16=False):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        ours = results(native.run, CELLS[cell], tensors, seed, torch.float32)
    theirs = results(torch_backend.run, CELLS[cell], tensors, seed, torch.float64)
    assert all(t.dtype == torch.float32 for t in ours)
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CELLS)), shapes, st.integers(1, 2), st.booleans(), st.booleans(), st.integers(0, 999))
def test_fp32_equals_float64(cell, shape, directions, bias, one_hot, seed):
    tensors = layer(cell, shape, seed, directions=directions, bias=bias, one_hot=one_hot)
    if cell == "rnn-relu":  # at its kink the derivative jumps: keep the sums away from 0
        tensors = (tensors[0], *positive(tensors[1:]))
    assert worst(cell, tensors, seed) < FP32


def positive(rest):
    state, weights = rest
    return state, [
        w._replace(bias_ih=torch.full((len(w.weight_hh),), 6.0), bias_hh=torch.zeros(len(w.weight_hh))) for w in weights
    ]


@needs_bf16
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.sampled_from(["gru", "lstm", "rnn"]), shapes, st.integers(1, 2), st.booleans(), st.integers(0, 999))
def test_bf16_equals_float64(cell, shape, directions, one_hot, seed):
    """relu is left out: rounding moves sums across its kink, where the derivative jumps, in any bf16 implementation."""
    assert worst(cell, layer(cell, shape, seed, directions=directions, one_hot=one_hot), seed, bf16=True) < BF16


@pytest.mark.parametrize("isa", [isa for isa in available() if isa in ISAS])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_instruction_set(monkeypatch, isa, cell):
    for precision, limit in (("fp32", FP32), ("bf16", BF16)):
        kernels = train_kernels(precision, isa)
        if kernels is not None:
            monkeypatch.setattr(native, "kernels_for", lambda *_, kernels=kernels: kernels)
            tensors = layer(cell, (4, 21, 37, 35), 5, directions=2)
            assert worst(cell, tensors, 5) < limit


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_threads_do_not_change_a_bit(cell, threads):
    tensors = layer(cell, (5, 19, 23, 70), 1)
    before = torch.get_num_threads()
    runs = []
    try:
        for count in (threads, 1):
            torch.set_num_threads(count)
            runs.append(results(native.run, CELLS[cell], tensors, 2, torch.float32))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a, b)


def test_nan_is_not_lost():
    tensors = layer("lstm", (3, 2, 4, 5), 0)
    tensors[0][0, 0, 0] = float("nan")
    y = results(native.run, CELLS["lstm"], tensors, 0, torch.float32)[0]
    assert torch.isnan(y[:, 0]).all()
    assert torch.isfinite(y[:, 1]).all()


@pytest.mark.parametrize("make", [LSTM, GRU, RNN])
def test_falls_back_to_torch_for_float64(make):
    layers = make(3, 4, backend="native").double()
    x = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    y, _ = layers(x)
    assert y.dtype == torch.float64
    assert native.kernels_for(x, ()) is None


def test_no_bfloat16_kernels_for_other_autocast_types():
    x = torch.randn(2, 2, 3)
    with torch.autocast("cpu", torch.float16):
        assert native.kernels_for(x, ()) is None


def test_without_compiled_kernels_it_is_torch(monkeypatch):
    monkeypatch.setattr(native, "train_kernels", lambda precision: None)
    tensors = layer("gru", (3, 2, 4, 5), 0)
    ours = results(native.run, CELLS["gru"], tensors, 0, torch.float32)
    theirs = results(torch_backend.run, CELLS["gru"], tensors, 0, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_gradients_that_are_not_asked_for():
    """Only what needs a gradient gets one; a state that is used alone carries it."""
    x, (h, c), (w,) = layer("lstm", (3, 2, 4, 5), 0)
    w.weight_hh.requires_grad_()
    _, (_, c_last) = native.run(CELLS["lstm"], x, (h, c), [w])
    c_last.sum().backward()
    reference = w.weight_hh.grad.clone()
    w.weight_hh.grad = None
    _, (_, c_last) = torch_backend.run(CELLS["lstm"], x, (h, c), [w])
    c_last.sum().backward()
    torch.testing.assert_close(reference, w.weight_hh.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 1, 3, 7), (1, 5, 3, 7), (1, 1, 3, 1), (4, 3, 3, 7)])
@pytest.mark.parametrize("given", ["batch first", "expanded", "part"])
def test_incoming_gradients_of_any_layout(shape, given):
    """A gradient of one row is contiguous whatever its stride along the batch says."""
    x, state, weights = layer("gru", shape, 2)
    steps, batch, _, hidden = shape
    dy = {
        "batch first": torch.randn(batch, steps, hidden).transpose(0, 1),
        "expanded": torch.randn(1).expand(steps, batch, hidden),
        "part": torch.randn(steps, batch, 2 * hidden)[..., hidden:],
    }[given]
    gradients = []
    for run in (native.run, torch_backend.run):
        weight = weights[0].weight_hh.clone().requires_grad_()
        y, _ = run(CELLS["gru"], x, state, [weights[0]._replace(weight_hh=weight)])
        gradients.append(torch.autograd.grad(y, weight, dy)[0])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
