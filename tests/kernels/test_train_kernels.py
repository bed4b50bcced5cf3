"""The training kernels through their C interface, without torch."""

import ctypes

import numpy as np
import pytest

from ostinato.errors import UsageError
from ostinato.kernels.load import ISAS, available
from ostinato.kernels.train import AdamCall, AdamTensor, HeadCall, LayerCall, LayerSizes, train_kernels

COMPILED = [isa for isa in available() if isa in ISAS]
on_every_isa = pytest.mark.parametrize("isa", COMPILED)


def address(array):
    return None if array is None else array.ctypes.data


def workspace(size):
    """`size` bytes at a multiple of 64, with a guard after them that must stay as it is."""
    held = np.full(size + 128, 0xA5, np.uint8)
    start = -held.ctypes.data % 64
    return held[start : start + size + 64]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_numpy_has_no_training_kernels():
    assert train_kernels("fp32", "numpy") is None


def test_unknown_set_is_refused():
    with pytest.raises(UsageError, match="isa must be one of"):
        train_kernels("fp32", "sse9")


@on_every_isa
def test_fp32_is_everywhere_and_bf16_above_vnni(isa):
    assert train_kernels("fp32", isa) is not None
    if ISAS.index(isa) < ISAS.index("vnni"):
        assert train_kernels("bf16", isa) is None
    if isa == "amx":
        assert train_kernels("bf16", isa) is not None


@on_every_isa
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("steps", "batch", "inputs", "hidden"), [(4, 3, 5, 17), (2, 33, 1, 48), (1, 1, 70, 1)])
def test_lstm_follows_its_equations_and_its_workspace(isa, threads, steps, batch, inputs, hidden):
    random = np.random.default_rng(hidden)
    kernels = train_kernels("fp32", isa)

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    x, w_ih, w_hh = normal(steps, batch, inputs), normal(4 * hidden, inputs), normal(4 * hidden, hidden) / 4
    b_ih, b_hh, h0, c0 = normal(4 * hidden), normal(4 * hidden), normal(batch, hidden), normal(batch, hidden)
    y, h_last, c_last = np.empty((steps, batch, hidden), np.float32), np.empty_like(h0), np.empty_like(c0)
    call = LayerCall(cell=3, steps=steps, batch=batch, input_size=inputs, hidden_size=hidden, threads=threads)
    arrays = {"x": x, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, "h0": h0, "c0": c0, "y": y,
              "h_last": h_last, "c_last": c_last}  # fmt: skip
    for name, array in arrays.items():
        setattr(call, name, address(array))
    sizes = kernels.layer_sizes(call)
    assert isinstance(sizes, LayerSizes)
    kept = {name: workspace(getattr(sizes, name)) for name in ("gates", "cells")}
    scratch = workspace(sizes.forward)
    for name, array in (*kept.items(), ("workspace", scratch)):
        setattr(call, name, address(array))
    kernels.layer_forward(call)
    h, c = h0.astype(np.float64), c0.astype(np.float64)
    for t in range(steps):
        i, f, g, o = np.split(x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(y[t], h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h_last, h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c_last, c, rtol=1e-5, atol=1e-6)
    for guarded in (*kept.values(), scratch):
        assert (guarded[-64:] == 0xA5).all()


@on_every_isa
def test_elementwise_functions_over_their_whole_range(isa):
    """tanh, and by a GRU whose candidate is 0 and whose h is 1 the logistic function; NaN and infinity are kept."""
    kernels = train_kernels("fp32", isa)
    x = np.concatenate([np.linspace(-100, 100, 4001), np.geomspace(1e-30, 1, 200), [0, np.inf, -np.inf, np.nan]])
    x = x.astype(np.float32)
    n = len(x)
    y, last = np.empty(n, np.float32), np.empty(n, np.float32)
    weight = np.zeros(1, np.float32)
    call = LayerCall(cell=0, steps=1, batch=n, input_size=1, hidden_size=1, threads=1)
    for name, array in (("x", x), ("w_hh", weight), ("y", y), ("h_last", last)):
        setattr(call, name, address(array))
    scratch = workspace(kernels.layer_sizes(call).forward)
    call.workspace = address(scratch)
    kernels.layer_forward(call)
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=3e-7, atol=0)

    gates = np.zeros((n, 3), np.float32)
    gates[:, 1] = x
    h0, weights = np.ones(n, np.float32), np.zeros((3, 1), np.float32)
    call = LayerCall(cell=2, steps=1, batch=n, input_size=3, hidden_size=1, threads=1)
    for name, array in (("x", gates), ("w_hh", weights), ("h0", h0), ("y", y), ("h_last", last)):
        setattr(call, name, address(array))
    sizes = kernels.layer_sizes(call)
    kept, scratch = workspace(sizes.gates), workspace(sizes.forward)
    call.gates, call.workspace = address(kept), address(scratch)
    kernels.layer_forward(call)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y, sigmoid(x.astype(np.float64)), rtol=4e-7, atol=1e-37)


@on_every_isa
def test_head_scores_are_exact_and_stay_in_their_workspace(isa):
    random = np.random.default_rng(3)
    kernels = train_kernels("fp32", isa)
    x, weight = random.normal(size=(37, 11)).astype(np.float32), random.normal(size=(301, 11)).astype(np.float32)
    targets, losses = random.integers(301, size=37), np.empty(37, np.float32)
    call = HeadCall(rows=37, features=11, vocabulary=301, threads=2)
    scratch = workspace(kernels.head_workspace(call))
    for name, array in (("x", x), ("weight", weight), ("targets", targets), ("losses", losses), ("workspace", scratch)):
        setattr(call, name, address(array))
    kernels.head(call)
    logits = x.astype(np.float64) @ weight.T.astype(np.float64)
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(37), targets]
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-6)
    assert (scratch[-64:] == 0xA5).all()


@on_every_isa
def test_adamw_leaves_everything_where_the_norm_is_not_finite(isa):
    kernels = train_kernels("fp32", isa)
    parameter, first, second = (np.ones(100, np.float32) for _ in range(3))
    gradient = np.ones(100, np.float32)
    norm = ctypes.c_double()
    tensor = AdamTensor(address(parameter), address(first), address(second), address(gradient), 100, 0.0)
    call = AdamCall(1, 2, ctypes.pointer(tensor), 0.1, 0.9, 0.99, 1e-8, 1.0, 1, ctypes.pointer(norm))
    for poison in (np.nan, np.inf):
        gradient[77] = poison
        kernels.adamw(call)
        assert not np.isfinite(norm.value)
        assert all((array == 1).all() for array in (parameter, first, second))
    gradient[77] = 1
    kernels.adamw(call)
    assert norm.value == pytest.approx(10)
    assert (parameter < 1).all()
