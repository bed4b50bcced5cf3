"""One conformance test for every instruction set and the NumPy twin: against torch, float64, and each other."""

import dataclasses
import functools
import os
import threading

import numpy as np
import pytest

from ostinato.errors import BundleError, UsageError
from ostinato.kernels import recurrent
from ostinato.kernels.load import NUMPY, available
from ostinato.kernels.recurrent import Shape, build, default_threads

SHAPES = [
    Shape("lstm", 1, 24, 10, 37, False),
    Shape("lstm", 2, 48, 20, 101, True),
    Shape("gru", 2, 40, 0, 37, False),
    Shape("gru", 1, 96, 70, 130, True),
    Shape("rnn", 3, 33, 33, 50, True),
    Shape("rnn-relu", 1, 17, 5, 20, False),
    Shape("lstm", 1, 1, 1, 2, False),
]
IDS = [f"{s.cell}-{s.layers}x{s.hidden_size}-{s.embedding_size}{'-tied' if s.tied else ''}" for s in SHAPES]
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=IDS)
EACH_ISA = pytest.mark.parametrize("isa", available())


def weights(shape, seed=0):
    """Random, unequal weights of a size at which states neither die nor saturate."""
    random = np.random.default_rng(seed)
    scale = {name: 0.3 if len(size) == 1 else 0.9 / np.sqrt(size[1]) for name, size in shape.tensors().items()}
    if shape.embedding_size == 0:
        scale["recurrent.weight_ih_l0"] = 0.5
    return {n: (random.standard_normal(size) * scale[n]).astype(np.float32) for n, size in shape.tensors().items()}


def text(shape, *size, seed=1):
    return np.random.default_rng(seed).integers(0, shape.vocabulary_size, size).astype(np.uint32)


def zeros(shape, rows):
    return np.zeros((shape.states, rows, shape.hidden_size), np.float32)


def step_through(model, ids):
    """Logits (T, B, V) after every id of (T, B), and the last state."""
    state, logits = zeros(model.shape, ids.shape[1]), []
    for row in ids:
        scores, state = model.step(row, state)
        logits.append(scores)
    return np.array(logits), state


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@functools.cache
def reference(shape, steps, rows):
    """The logits (T, B, V) after `text(shape, steps, rows)` in float64, from the equations."""
    w = {name: tensor.astype(np.float64) for name, tensor in weights(shape).items()}
    ids = text(shape, steps, rows)
    size, out = shape.hidden_size, []
    h = [np.zeros((ids.shape[1], size)) for _ in range(shape.layers)]
    c = [np.zeros((ids.shape[1], size)) for _ in range(shape.layers)]
    for row in ids:
        x = w["embedding.weight"][row] if shape.embedding_size else np.eye(shape.vocabulary_size)[row]
        for k in range(shape.layers):
            gx = x @ w[f"recurrent.weight_ih_l{k}"].T + w[f"recurrent.bias_ih_l{k}"]
            gh = h[k] @ w[f"recurrent.weight_hh_l{k}"].T + w[f"recurrent.bias_hh_l{k}"]
            gx, gh = (g.reshape(len(row), -1, size).swapaxes(0, 1) for g in (gx, gh))
            if shape.cell == "lstm":
                i, f, o = (sigmoid(gx[n] + gh[n]) for n in (0, 1, 3))
                c[k] = f * c[k] + i * np.tanh(gx[2] + gh[2])
                h[k] = o * np.tanh(c[k])
            elif shape.cell == "gru":
                r, z = (sigmoid(gx[n] + gh[n]) for n in (0, 1))
                h[k] = (1 - z) * np.tanh(gx[2] + r * gh[2]) + z * h[k]
            else:
                total = gx[0] + gh[0]
                h[k] = np.tanh(total) if shape.cell == "rnn" else np.maximum(total, 0)
            x = h[k]
        if "projection.weight" in w:
            x = x @ w["projection.weight"].T
        out.append(x @ w["embedding.weight" if shape.tied else "head.weight"].T + w["head.bias"])
    return np.array(out)


@EACH_SHAPE
@EACH_ISA
def test_thousand_steps_equal_float64(shape, isa):
    logits, _ = step_through(build(shape, weights(shape), isa=isa)[0], text(shape, 1000, 1))
    np.testing.assert_allclose(logits, reference(shape, 1000, 1), rtol=0, atol=1e-5)


@EACH_SHAPE
@EACH_ISA
def test_thousand_steps_equal_torch(shape, isa):
    torch = pytest.importorskip("torch")
    tensors, ids = weights(shape), text(shape, 1000, 1)
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(shape.cell, torch.nn.RNN)
    options = {"nonlinearity": "relu"} if shape.cell == "rnn-relu" else {}
    layers = kind(shape.embedding_size or shape.vocabulary_size, shape.hidden_size, shape.layers, **options)
    given = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    layers.load_state_dict({n.removeprefix("recurrent."): t for n, t in given.items() if n.startswith("recurrent.")})
    index = torch.from_numpy(ids.astype(np.int64))
    with torch.no_grad():
        x = given["embedding.weight"][index] if shape.embedding_size else torch.eye(shape.vocabulary_size)[index]
        x, _ = layers(x)
        if "projection.weight" in given:
            x = x @ given["projection.weight"].T
        expected = x @ given["embedding.weight" if shape.tied else "head.weight"].T + given["head.bias"]
    logits, _ = step_through(build(shape, tensors, isa=isa)[0], ids)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-5)


@EACH_SHAPE
@EACH_ISA
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_scores_are_those_of_the_steps(shape, isa, precision):
    model, _ = build(shape, weights(shape), isa=isa, precision=precision)
    ids = text(shape, 150)
    logits, last = step_through(model, ids[:, None])
    first = np.zeros(shape.vocabulary_size, np.float32)
    features = np.empty((len(ids), shape.hidden_size), np.float32)
    scores, state = model.score(ids, zeros(shape, 1), first, features)
    stepped = zeros(shape, 1)
    for t, token in enumerate(ids):
        _, stepped = model.step(np.array([token], np.uint32), stepped, logits=False)
        expected_h = stepped[shape.layers - 1, 0]
        np.testing.assert_allclose(features[t], expected_h, rtol=0, atol=0.05 if precision == "int8" else 1e-5)
    z = np.concatenate([first[None], logits[:-1, 0]]).astype(np.float64)
    expected = z[np.arange(len(ids)), ids] - np.log(np.exp(z).sum(axis=1))
    if isa == NUMPY:  # BLAS sums in another order for several rows
        tolerance = 1e-5 if precision == "fp32" else 0.05
        np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance)
        np.testing.assert_allclose(state, last, rtol=0, atol=tolerance)
    else:
        np.testing.assert_allclose(scores, expected, rtol=1e-12)
        np.testing.assert_array_equal(state, last)
    assert model.score(ids[:0], last, first)[0].shape == (0,)
    with pytest.raises(UsageError, match=r"features must be dense float32 of shape \(150, \d+\), got float64"):
        model.score(ids, zeros(shape, 1), first, features.astype(np.float64))


@EACH_SHAPE
@EACH_ISA
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_rows_of_a_batch_are_independent(shape, isa, precision):
    model, _ = build(shape, weights(shape), isa=isa, precision=precision)
    ids = text(shape, 12, 75)
    together, _ = step_through(model, ids)
    for rows in ([0], [3, 70, 5], range(20, 38)):
        alone, _ = step_through(model, ids[:, list(rows)])
        if isa == NUMPY:
            tolerance = 1e-5 if precision == "fp32" else 0.05
            np.testing.assert_allclose(alone, together[:, list(rows)], rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(alone, together[:, list(rows)])


@EACH_SHAPE
@EACH_ISA
def test_int8_is_near_and_everywhere_alike(shape, isa):
    tensors, ids = weights(shape), text(shape, 300, 6)
    logits, _ = step_through(build(shape, tensors, isa=isa, precision="int8")[0], ids)
    exact = reference(shape, 300, 6)
    assert np.abs(logits - exact).max() < 0.1
    twin, _ = step_through(build(shape, tensors, isa=NUMPY, precision="int8")[0], ids)
    np.testing.assert_allclose(logits, twin, rtol=0, atol=0.05)
    assert np.abs(logits - twin).mean() < 0.1 * np.abs(logits - exact).mean() + 1e-6


@pytest.mark.parametrize("isa", [isa for isa in available()[1:] if isa != "portable"])
def test_int8_has_the_same_bits_in_every_set(isa):
    """For any number of rows at once, which have instructions of their own; but for portable code, which may round
    a product and a sum apart."""
    shape, others = SHAPES[1], [name for name in available()[1:] if name != "portable"]
    one, other = (build(shape, weights(shape), isa=name, precision="int8")[0] for name in (isa, others[0]))
    for rows in (1, 2, 3, 4, 5, 7, 8, 13, 66):
        ids = text(shape, 3, rows)
        for found, expected in zip(step_through(one, ids), step_through(other, ids), strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=f"{rows} rows")


@EACH_ISA
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_two_threads_give_the_same_bits(isa, precision):
    shape = Shape("lstm", 2, 256, 64, 700, False)
    tensors, ids = weights(shape), text(shape, 20, 3)
    results = [step_through(build(shape, tensors, isa=isa, precision=precision, threads=n)[0], ids) for n in (1, 2, 3)]
    for logits, state in results[1:]:
        np.testing.assert_array_equal(logits, results[0][0])
        np.testing.assert_array_equal(state, results[0][1])


@EACH_ISA
def test_a_full_table_changes_nothing(isa, monkeypatch):
    shape = SHAPES[0]
    tensors, ids = weights(shape), text(shape, 60, 4)
    expected, _ = step_through(build(shape, tensors, isa=isa)[0], ids)
    for rows in (0, 3):
        monkeypatch.setattr("ostinato.kernels.native.TABLE_BYTES", rows * 4 * 32 * 4)
        logits, _ = step_through(build(shape, tensors, isa=isa)[0], ids)
        np.testing.assert_array_equal(logits, expected)


@EACH_ISA
def test_steps_leave_the_old_state_as_it_was(isa):
    shape = SHAPES[1]
    model, _ = build(shape, weights(shape), isa=isa)
    state = np.random.default_rng(3).standard_normal(zeros(shape, 2).shape).astype(np.float32)
    before = state.copy()
    first = model.step(text(shape, 2), state)
    np.testing.assert_array_equal(state, before)
    second = model.step(text(shape, 2), state)
    np.testing.assert_array_equal(first[0], second[0])
    nothing, after = model.step(text(shape, 2), state, logits=False)
    assert nothing.shape == (0, shape.vocabulary_size)
    np.testing.assert_array_equal(after, second[1])


@EACH_ISA
def test_many_threads_call_two_models_at_once(isa):
    shapes = [Shape("gru", 1, 128, 32, 300, False), Shape("lstm", 1, 64, 16, 300, False)]
    models = [build(shape, weights(shape), isa=isa, threads=2)[0] for shape in shapes]
    ids = text(shapes[0], 40, 1)
    alone = [step_through(model, ids)[0] for model in models]
    results = {}

    def work(number):
        results[number] = step_through(models[number % 2], ids)[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, logits in results.items():
        np.testing.assert_array_equal(logits, alone[number % 2])
    assert len(results) == 6


@EACH_ISA
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(isa, value):
    shape = SHAPES[1]
    for name in shape.tensors():
        tensors = weights(shape)
        tensors[name][-1] = value
        with pytest.raises(BundleError, match=f"tensor '{name}' holds a value that is no finite number"):
            build(shape, tensors, isa=isa)


@EACH_ISA
def test_overflow_gives_no_false_numbers(isa):
    shape = SHAPES[0]
    tensors = {name: np.full_like(tensor, 3e38) for name, tensor in weights(shape).items()}
    with np.errstate(all="ignore"):
        for precision in recurrent.PRECISIONS:
            logits, state = step_through(build(shape, tensors, isa=isa, precision=precision)[0], text(shape, 3, 2))
            assert not np.isfinite(logits[-1]).any()
            assert state.shape == zeros(shape, 2).shape


@EACH_ISA
def test_wrong_shapes_and_ids(isa):
    shape = SHAPES[0]
    tensors = weights(shape)
    model, _ = build(shape, tensors, isa=isa)
    with pytest.raises(UsageError, match=r"token ids must lie in 0 \.\. 36, got 99"):
        model.step(np.array([1, 99], np.uint32), zeros(shape, 2))
    with pytest.raises(UsageError, match=r"token ids must lie in 0 \.\. 36, got 37"):
        model.score(np.array([1, 37], np.uint32), zeros(shape, 1), np.zeros(37, np.float32))
    with pytest.raises(BundleError, match=r"tensor 'head.bias' is float32 \(36,\), expected floats \(37,\)"):
        build(shape, {**tensors, "head.bias": tensors["head.bias"][:-1]}, isa=isa)


@pytest.mark.parametrize("isa", available()[1:])
def test_absurd_shapes_are_refused(isa):
    absurd = dataclasses.replace(SHAPES[0], hidden_size=1 << 20)
    with pytest.raises(BundleError, match="cannot take a model of this shape"):
        build(absurd, {}, isa=isa)


def test_unknown_precision():
    with pytest.raises(UsageError, match="precision must be one of fp32, int8, got 'int4'"):
        build(SHAPES[0], weights(SHAPES[0]), precision="int4")


def test_threads_are_chosen_by_size(monkeypatch):
    monkeypatch.delenv("OSTINATO_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    small, large = Shape("lstm", 1, 64, 0, 100, False), Shape("lstm", 1, 1024, 0, 5000, False)
    assert (default_threads(small, "fp32"), default_threads(large, "fp32")) == (1, 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert default_threads(large, "fp32") == 1
    monkeypatch.setenv("OSTINATO_THREADS", "3")
    assert default_threads(small, "int8") == 3
    monkeypatch.setenv("OSTINATO_THREADS", "many")
    with pytest.raises(UsageError, match="OSTINATO_THREADS must be a number from 1 to 8, got 'many'"):
        default_threads(small, "int8")
