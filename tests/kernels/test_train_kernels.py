"""The training kernels through their C interface, without torch."""

import numpy as np
import pytest

from ostinato.errors import UsageError
from ostinato.kernels.load import ISAS, available
from ostinato.kernels.train import AdamCall, HeadCall, LayerCall, LayerSizes, train_kernels

COMPILED = [isa for isa in available() if isa in ISAS]
on_every_isa = pytest.mark.parametrize("isa", COMPILED)
WITH_BF16 = [isa for isa in COMPILED if train_kernels("bf16", isa)]
in_every_precision = pytest.mark.parametrize(
    ("isa", "precision"), [*((isa, "fp32") for isa in COMPILED), *((isa, "bf16") for isa in WITH_BF16)]
)


def workspace(size):
    """`size` bytes at a multiple of 64, with a guard after them that must stay as it is."""
    held = np.full(size + 128, 0xA5, np.uint8)
    start = -held.ctypes.data % 64
    return held[start : start + size + 64]


def bfloat(x):
    """Float32 numbers rounded to bfloat16, ties to even, as float32."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_numpy_has_no_training_kernels():
    assert train_kernels("fp32", "numpy") is None


def test_unknown_set_is_refused():
    with pytest.raises(UsageError, match="isa must be one of"):
        train_kernels("fp32", "sse9")


@on_every_isa
def test_fp32_is_everywhere_and_bf16_where_the_set_has_it(isa):
    assert train_kernels("fp32", isa) is not None
    if isa not in ("vnni", "amx", "mmla"):
        assert train_kernels("bf16", isa) is None
    if isa in ("amx", "mmla"):
        assert train_kernels("bf16", isa) is not None


@in_every_precision
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("steps", "batch", "inputs", "hidden"), [(4, 3, 5, 17), (2, 33, 1, 48), (1, 1, 70, 1), (1, 18, 600, 20)]
)
def test_lstm_follows_its_equations_and_its_workspace(isa, precision, threads, steps, batch, inputs, hidden):
    """With bf16 operands of that type give products as exact as fp32; only h between two steps is rounded."""
    random = np.random.default_rng(hidden)
    kernels = train_kernels(precision, isa)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if precision == "fp32" or steps == 1 else {"rtol": 0, "atol": 0.01}

    def normal(*shape):
        array = random.normal(size=shape).astype(np.float32) / (1 if inputs < 100 else 8)
        return array if precision == "fp32" else bfloat(array)

    x, w_ih, w_hh = normal(steps, batch, inputs), normal(4 * hidden, inputs), normal(4 * hidden, hidden) / 4
    b_ih, b_hh, h0, c0 = normal(4 * hidden), normal(4 * hidden), normal(batch, hidden), normal(batch, hidden)
    y, h_last, c_last = np.empty((steps, batch, hidden), np.float32), np.empty_like(h0), np.empty_like(c0)
    call = LayerCall(cell=3, steps=steps, batch=batch, input_size=inputs, hidden_size=hidden, threads=threads)
    arrays = {"x": x, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, "h0": h0, "c0": c0, "y": y,
              "h_last": h_last, "c_last": c_last}  # fmt: skip
    call.give(**arrays)
    sizes = kernels.layer_sizes(call)
    assert isinstance(sizes, LayerSizes)
    kept = {name: workspace(getattr(sizes, name)) for name in ("gates", "cells")}
    scratch = workspace(sizes.forward)
    call.give(**{name: array.view(np.float32) for name, array in kept.items()}, workspace=scratch)
    kernels.layer_forward(call)
    h, c = h0.astype(np.float64), c0.astype(np.float64)
    for t in range(steps):
        i, f, g, o = np.split(x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(y[t], h, **tolerance)
    np.testing.assert_allclose(h_last, h, **tolerance)
    np.testing.assert_allclose(c_last, c, **tolerance)
    for guarded in (*kept.values(), scratch):
        assert (guarded[-64:] == 0xA5).all()


@on_every_isa
def test_elementwise_functions_over_their_whole_range(isa):
    """tanh, and by a GRU whose candidate is 0 and whose h is 1 the logistic function; NaN and infinity are kept."""
    kernels = train_kernels("fp32", isa)
    x = np.concatenate([np.linspace(-100, 100, 4001), np.geomspace(1e-30, 1, 200), [0, np.inf, -np.inf, np.nan]])
    x = x.astype(np.float32)
    n = len(x)
    y, last = np.empty((1, n, 1), np.float32), np.empty((n, 1), np.float32)
    weight = np.zeros((1, 1), np.float32)
    call = LayerCall(cell=0, steps=1, batch=n, input_size=1, hidden_size=1, threads=1)
    call.give(x=x[None, :, None], w_hh=weight, y=y, h_last=last)
    call.give(workspace=workspace(kernels.layer_sizes(call).forward))
    kernels.layer_forward(call)
    np.testing.assert_allclose(y[0, :, 0], np.tanh(x.astype(np.float64)), rtol=3e-7, atol=0)

    gates = np.zeros((n, 3), np.float32)
    gates[:, 1] = x
    h0, weights = np.ones((n, 1), np.float32), np.zeros((3, 1), np.float32)
    call = LayerCall(cell=2, steps=1, batch=n, input_size=3, hidden_size=1, threads=1)
    call.give(x=gates[None], w_hh=weights, h0=h0, y=y, h_last=last)
    sizes = kernels.layer_sizes(call)
    call.give(gates=workspace(sizes.gates).view(np.float32), workspace=workspace(sizes.forward))
    kernels.layer_forward(call)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y[0, :, 0], sigmoid(x.astype(np.float64)), rtol=4e-7, atol=1e-37)


@on_every_isa
def test_head_scores_are_exact_and_stay_in_their_workspace(isa):
    random = np.random.default_rng(3)
    kernels = train_kernels("fp32", isa)
    x, weight = random.normal(size=(37, 11)).astype(np.float32), random.normal(size=(301, 11)).astype(np.float32)
    targets, losses = random.integers(301, size=37), np.empty(37, np.float32)
    call = HeadCall(rows=37, features=11, vocabulary=301, threads=2)
    scratch = workspace(kernels.head_workspace(call))
    call.give(x=x, weight=weight, targets=targets, losses=losses, workspace=scratch)
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
    tensors = [(parameter, first, second, gradient, 0.0)]
    call = AdamCall(threads=2, learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8, clip=1.0, step=1)
    for poison in (np.nan, np.inf):
        gradient[77] = poison
        assert not np.isfinite(kernels.adamw(call, tensors))
        assert all((array == 1).all() for array in (parameter, first, second))
    gradient[77] = 1
    assert kernels.adamw(call, tensors) == pytest.approx(10)
    assert (parameter < 1).all()


def layer_call(cell, *, one_hot=False):
    """A LayerCall of T=2, B=3, I=5, H=4 with all it needs forward, and the kernels."""
    kernels, gates = train_kernels("fp32"), {0: 1, 2: 3, 3: 4}[cell]
    inputs = gates * 4 if one_hot else 5
    call = LayerCall(cell=cell, steps=2, batch=3, input_size=inputs, hidden_size=4, threads=1)
    sizes = {"x": (2, 3, inputs), "w_hh": (gates * 4, 4), "h0": (3, 4), "y": (2, 3, 4), "h_last": (3, 4)}
    sizes |= {} if one_hot else {"w_ih": (gates * 4, 5)}
    sizes |= {"c_last": (3, 4)} if cell == 3 else {}
    call.give(**{name: np.zeros(size, np.float32) for name, size in sizes.items()})
    needs = kernels.layer_sizes(call)
    call.give(gates=np.zeros(needs.gates // 4, np.float32), cells=np.zeros(needs.cells // 4, np.float32))
    call.give(workspace=workspace(max(needs.forward, needs.backward)))
    return kernels, call


def backward_arrays(call):
    given = call.arrays
    call.give(dy=np.ones((2, 3, 4), np.float32), dw_hh=np.zeros_like(given["w_hh"]), dx=np.zeros_like(given["x"]))
    if given.get("w_ih") is not None:
        call.give(dw_ih=np.zeros_like(given["w_ih"]))


WRONG = [
    ("x", lambda a: a[:, :2], "x must be floats of shape (2, 3, 5), got float32 (2, 2, 5)"),
    ("x", lambda a: None, "x must be floats of shape (2, 3, 5), got None"),
    ("w_ih", lambda a: a[:-1], "w_ih must be floats of shape (12, 5), got float32 (11, 5)"),
    ("w_ih", lambda a: None, "input_size must be 12 without w_ih, got 5"),
    ("w_hh", lambda a: a.astype(int), "w_hh must be floats of shape (12, 4), got int64 (12, 4)"),
    ("h0", lambda a: a[:2], "h0 must be floats of shape (3, 4), got float32 (2, 4)"),
    ("b_ih", lambda a: np.zeros(3), "b_ih must be floats of shape (12,), got float64 (3,)"),
    ("y", lambda a: a.astype(np.float64), "y must be dense float32 of shape (2, 3, 4), got float64 (2, 3, 4)"),
    ("y", lambda a: a[::-1], "y must be dense float32 of shape (2, 3, 4), got float32 (2, 3, 4), not contiguous"),
    ("gates", lambda a: a[:-1], "gates must be dense float32 of"),
    ("gates", lambda a: None, "gates must be dense float32 of"),
    ("workspace", lambda a: a[:64], "workspace must be dense uint8 of"),
    ("workspace", lambda a: a[1:], "workspace must begin at a multiple of 64 bytes"),
]


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels")
@pytest.mark.parametrize(("name", "change", "message"), WRONG)
def test_arrays_that_do_not_fit_a_layer(name, change, message):
    kernels, call = layer_call(2)
    kernels.layer_forward(call)
    call.give(**{name: change(call.arrays.get(name))})
    with pytest.raises(UsageError) as caught:
        kernels.layer_forward(call)
    assert str(caught.value).startswith(message)


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels")
@pytest.mark.parametrize("cell", [0, 2, 3])
@pytest.mark.parametrize("one_hot", [False, True])
def test_arrays_that_do_not_fit_a_layer_backward(cell, one_hot):
    kernels, call = layer_call(cell, one_hot=one_hot)
    kernels.layer_forward(call)
    backward_arrays(call)
    kernels.layer_backward(call)
    wide = np.ones((2, 3, 9), np.float32)
    for dy in (None, wide[..., :4], np.ones((2, 3, 4), np.float32)):
        call.give(dy=dy)
        kernels.layer_backward(call)
    good = dict(call.arrays)
    wrong = {"dy": (wide, wide[..., ::2][..., :4], wide[::-1, :, :4], good["x"].astype(int)),
             "dw_hh": (None, good["w_hh"][1:]), "dx": (good["x"][:1],), "dw_ih": (np.zeros((1, 1), np.float32),),
             "db": (np.zeros(2, np.float32), good["w_hh"][:, 0].copy()),
             "dh0": (np.zeros((4, 3), np.float32),)}  # fmt: skip
    for name, arrays in wrong.items():
        for array in arrays:
            call.give(**{**good, name: array})
            with pytest.raises(UsageError, match="must"):
                kernels.layer_backward(call)


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels")
def test_sizes_that_are_none():
    kernels, _ = layer_call(3)
    good = {"cell": 3, "steps": 2, "batch": 3, "input_size": 5, "hidden_size": 4, "threads": 1}
    bad = {"cell": 4, "steps": 0, "batch": 0, "input_size": -1, "hidden_size": 1 << 40, "threads": 0}
    for name, value in bad.items():
        with pytest.raises(UsageError, match=f"{name} must be a whole number from"):
            kernels.layer_sizes(LayerCall(**{**good, name: value}))
    with pytest.raises(UsageError, match="too large"):
        kernels.layer_sizes(LayerCall(**{**good, "steps": 1 << 31, "batch": 1 << 31}))


@pytest.mark.skipif(not COMPILED, reason="no compiled kernels")
def test_arrays_that_do_not_fit_a_head_or_an_optimizer():
    kernels = train_kernels("fp32")
    call = HeadCall(rows=3, features=4, vocabulary=6, threads=1)
    good = {"x": np.zeros((3, 4), np.float32), "weight": np.zeros((6, 4), np.float32), "targets": np.array([0, 5, 2]),
            "losses": np.zeros(3, np.float32), "workspace": workspace(kernels.head_workspace(call))}  # fmt: skip
    call.give(**good)
    kernels.head(call)
    bad = {"targets": np.array([0, 6, 2]), "losses": np.zeros(2, np.float32), "weight": good["x"], "bias": good["x"][0],
           "x": good["x"][:2]}  # fmt: skip
    for name, array in {**bad, "targets ": -good["targets"]}.items():
        call.give(**{**good, "bias": None, name.strip(): array})
        with pytest.raises(UsageError, match=f"{name.strip()} must"):
            kernels.head(call)
    call.with_gradient = 1
    call.give(**{**good, "workspace": workspace(kernels.head_workspace(call))}, bias=None)
    with pytest.raises(UsageError, match="dx must be dense float32"):
        kernels.head(call)
    p, g = np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32)
    step = AdamCall(threads=1, step=1, learning_rate=0.1)
    assert kernels.adamw(step, [(p, p.copy(), p.copy(), g, 0.0)]) == 0
    for wrong in ((p, p, p, g[1:]), (p, p, g[1:], g), (p, None, p, g), (p.T, p, p, g), (p.astype(float), p, p, g)):
        with pytest.raises(UsageError, match="must be"):
            kernels.adamw(step, [(*wrong, 0.0)])


def forward(cell, x, w_ih, w_hh, b_ih, b_hh, h, c):
    """The layer's equations (src/ostinato/cells) on arrays of any float type: outputs (T, B, H), last h, last c."""
    outputs = []
    for step in x:
        gx, gh = step @ w_ih.T + b_ih, h @ w_hh.T + b_hh
        if cell == 3:
            i, f, g, o = np.split(gx + gh, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif cell == 2:
            (xr, xz, xn), (hr, hz, hn) = np.split(gx, 3, axis=1), np.split(gh, 3, axis=1)
            z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
            h = (1 - z) * n + z * h
        else:
            h = np.tanh(gx + gh) if cell == 0 else np.where((gx + gh).real > 0, gx + gh, 0)
        outputs.append(h)
    return np.stack(outputs), h, c


GRADIENTS = {"x": "dx", "w_ih": "dw_ih", "w_hh": "dw_hh", "b_ih": "db", "b_hh": "db_hh", "h0": "dh0", "c0": "dc0"}


def layer_gradients(kernels, cell, steps, batch, inputs, hidden, threads):
    """What a layer was given, forward and backward, and its results with the gradients; all random, by `cell`."""
    random = np.random.default_rng(cell)
    products = {0: 1, 1: 1, 2: 3, 3: 4}[cell] * hidden
    sizes = {"x": (steps, batch, inputs), "w_ih": (products, inputs), "w_hh": (products, hidden), "b_ih": (products,),
             "b_hh": (products,), "h0": (batch, hidden), "c0": (batch, hidden)}  # fmt: skip
    given = {name: (random.normal(size=size) / 3).astype(np.float32) for name, size in sizes.items()}
    given["w_hh"] /= max(1, hidden / 20) ** 0.5  # so that gradients do not grow from step to step
    ends = {"dy": (steps, batch, hidden), "dh_last": (batch, hidden), "dc_last": (batch, hidden)}
    back = {name: random.normal(size=size).astype(np.float32) for name, size in ends.items()}
    if cell != 3:
        back["dc_last"][:] = 0
    call = LayerCall(cell=cell, steps=steps, batch=batch, input_size=inputs, hidden_size=hidden, threads=threads)
    y, h_last, c_last = (np.empty_like(array) for array in back.values())
    call.give(**given, y=y, h_last=h_last, c_last=c_last)
    needs = kernels.layer_sizes(call)
    call.give(gates=np.empty(needs.gates // 4, np.float32), cells=np.empty(needs.cells // 4, np.float32),
              workspace=workspace(needs.forward))  # fmt: skip
    kernels.layer_forward(call)
    found = {result: np.empty_like(given[name]) for name, result in GRADIENTS.items()}
    scratch = workspace(needs.backward)
    call.give(**back, workspace=scratch, **found)
    kernels.layer_backward(call)
    assert (scratch[-64:] == 0xA5).all()
    if cell != 3:
        del found["dc0"]
    return given, back, {"y": y, "h_last": h_last, **found}


SIZES = pytest.mark.parametrize(("steps", "batch", "inputs", "hidden"), [(3, 5, 6, 18), (2, 19, 33, 5), (5, 8, 17, 48)])


@on_every_isa
@pytest.mark.parametrize("cell", [0, 1, 2, 3])
@SIZES
def test_gradients_follow_the_equations(isa, cell, steps, batch, inputs, hidden):
    """Along random directions v: <gradient, v> is the derivative of the loss, by a complex step in float64."""
    kernels, random = train_kernels("fp32", isa), np.random.default_rng(cell)
    given, back, found = layer_gradients(kernels, cell, steps, batch, inputs, hidden, threads=2)
    for name, result in GRADIENTS.items():
        for _ in range(4 if result in found else 0):
            direction = random.normal(size=given[name].shape)
            moved = {n: a.astype(np.complex128) for n, a in given.items()}
            moved[name] += 1e-30j * direction
            ends = zip(forward(cell, *moved.values()), back.values(), strict=True)
            expected = sum((end * d).sum() for end, d in ends).imag / 1e-30
            scale = np.linalg.norm(found[result].astype(np.float64))
            assert abs((found[result] * direction).sum() - expected) < 2e-5 * scale, name


@pytest.mark.parametrize("isa", WITH_BF16)
@pytest.mark.parametrize("cell", [0, 2, 3])
@SIZES
def test_bf16_is_near_fp32(isa, cell, steps, batch, inputs, hidden):
    """But for relu: rounding moves sums across its kink, where the derivative jumps."""
    exact, near = (
        layer_gradients(train_kernels(precision, isa), cell, steps, batch, inputs, hidden, threads=2)[2]
        for precision in ("fp32", "bf16")
    )
    for name, array in exact.items():
        assert np.linalg.norm(near[name] - array) < 1e-2 * np.linalg.norm(array), name


@in_every_precision
@pytest.mark.parametrize("cell", [0, 2, 3])
def test_threads_do_not_change_a_bit(isa, precision, cell):
    kernels = train_kernels(precision, isa)
    _, _, alone = layer_gradients(kernels, cell, 3, 21, 70, 90, threads=1)
    for threads in (2, 3):
        _, _, together = layer_gradients(kernels, cell, 3, 21, 70, 90, threads)
        for name, array in alone.items():
            np.testing.assert_array_equal(array, together[name], err_msg=name)


def head_results(kernels, x, weight, bias, targets, threads):
    rows, features = x.shape
    results = {"losses": np.empty(rows, np.float32), "dx": np.empty_like(x), "dweight": np.empty_like(weight),
               "dbias": np.empty_like(bias)}  # fmt: skip
    call = HeadCall(rows=rows, features=features, vocabulary=len(bias), threads=threads, with_gradient=1, scale=0.25)
    scratch = workspace(kernels.head_workspace(call))
    call.give(x=x, weight=weight, bias=bias, targets=targets, workspace=scratch, **results)
    kernels.head(call)
    assert (scratch[-64:] == 0xA5).all()
    return results


@in_every_precision
@pytest.mark.parametrize(("rows", "features", "vocabulary"), [(37, 11, 301), (70, 48, 97), (5, 130, 1000)])
def test_head_gradients_are_those_of_cross_entropy(isa, precision, rows, features, vocabulary):
    """On any number of threads. With bf16 operands of that type give exact losses; gradients of logits are rounded."""
    random, kernels = np.random.default_rng(rows), train_kernels(precision, isa)
    x, weight = (random.normal(size=(n, features)).astype(np.float32) / 2 for n in (rows, vocabulary))
    if precision == "bf16":
        x, weight = bfloat(x), bfloat(weight)
    bias, targets = random.normal(size=vocabulary).astype(np.float32), random.integers(vocabulary, size=rows)
    results = head_results(kernels, x, weight, bias, targets, threads=2)
    for threads in (1, 3):
        for name, array in head_results(kernels, x, weight, bias, targets, threads).items():
            np.testing.assert_array_equal(array, results[name], err_msg=name)
    logits = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    d = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(results["losses"], -np.log(d[np.arange(rows), targets]), rtol=2e-6, atol=2e-6)
    d[np.arange(rows), targets] -= 1
    d *= 0.25
    for name, expected in {"dx": d @ weight, "dweight": d.T @ x, "dbias": d.sum(0)}.items():
        if precision == "fp32":
            np.testing.assert_allclose(results[name], expected, rtol=2e-4, atol=2e-6)
        else:
            assert np.linalg.norm(results[name] - expected) < 5e-3 * np.linalg.norm(expected), name


@on_every_isa
def test_adamw_follows_its_equations(isa):
    random, kernels = np.random.default_rng(5), train_kernels("fp32", isa)
    tensors = [[random.normal(size=n).astype(np.float32) for _ in range(4)] for n in (1, 13, 20_000)]
    for _, _, second, _ in tensors:
        np.abs(second, out=second)
    before = [[array.astype(np.float64) for array in arrays] for arrays in tensors]
    call = AdamCall(threads=2, learning_rate=0.01, beta1=0.9, beta2=0.99, epsilon=1e-6, clip=1.0, step=3)
    norm = kernels.adamw(call, [(*arrays, 0.1) for arrays in tensors])
    assert norm == pytest.approx(np.sqrt(sum((arrays[3] ** 2).sum() for arrays in before)))
    for arrays, (p, m, v, g) in zip(tensors, before, strict=True):
        g = g / (norm + 1e-6)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        step = 0.01 / (1 - 0.9**3) * m / (np.sqrt(v / (1 - 0.99**3)) + 1e-6)
        for found, expected in zip(arrays, (p * (1 - 0.001) - step, m, v), strict=False):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
