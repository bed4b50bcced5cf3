"""Arrays that do not fit: one clear line each from the kernels and their twins, and the process lives."""

import contextlib
import dataclasses
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ostinato.errors import BundleError, OstinatoError, UsageError
from ostinato.generation import Sampler
from ostinato.kernels import gateway, mixing
from ostinato.kernels.load import NUMPY, available
from ostinato.kernels.mixing_tables import STATE_SIZE
from ostinato.kernels.ngram import ngram_probabilities
from ostinato.kernels.recurrent import Shape, build
from ostinato.kernels.train import AdamCall, HeadCall, LayerCall, train_kernels
from ostinato.mixing import fit_mixing
from ostinato.ngram import fit_ngram
from ostinato.text import build as build_tokenizer

LSTM = Shape("lstm", 2, 20, 8, 30, False)
EACH_ISA = pytest.mark.parametrize("isa", available())
EACH_COMPILED = pytest.mark.parametrize("isa", available()[1:])
V, H, S = LSTM.vocabulary_size, LSTM.hidden_size, LSTM.states


@pytest.fixture(scope="module")
def models():
    random = np.random.default_rng(0)
    tensors = {name: random.normal(size=size, scale=0.3).astype(np.float32) for name, size in LSTM.tensors().items()}
    return {isa: build(LSTM, tensors, isa=isa)[0] for isa in available()}


def state(rows):
    return np.zeros((S, rows, H), np.float32)


WRONG_STEPS = [
    ({"ids": None}, "ids must be whole numbers of shape (B,), got None"),
    ({"ids": np.zeros(0, np.uint32)}, "ids must not be empty, got shape (0,)"),
    ({"ids": np.zeros((2, 1), np.uint32)}, "ids must be whole numbers of shape (B,), got uint32 (2, 1)"),
    ({"ids": np.zeros(2)}, "ids must be whole numbers of shape (B,), got float64 (2,)"),
    ({"ids": np.array([1, 30])}, "token ids must lie in 0 .. 29, got 30"),
    ({"ids": np.array([-1, 1])}, "token ids must lie in 0 .. 29, got -1"),
    ({"ids": np.array([1 << 32, 1])}, f"token ids must lie in 0 .. 29, got {1 << 32}"),
    ({"ids": [[1], [1, 2]]}, "ids must be whole numbers of shape (B,), got a list"),
    ({"state": None}, "state must be floats of shape (4, 2, 20), got None"),
    ({"state": state(1)}, "state must be floats of shape (4, 2, 20), got float32 (4, 1, 20)"),
    ({"state": state(3)}, "state must be floats of shape (4, 2, 20), got float32 (4, 3, 20)"),
    ({"state": state(2)[:2]}, "state must be floats of shape (4, 2, 20), got float32 (2, 2, 20)"),
    ({"state": state(2)[:, :, 1:]}, "state must be floats of shape (4, 2, 20), got float32 (4, 2, 19)"),
    ({"state": state(2)[0]}, "state must be floats of shape (4, 2, 20), got float32 (2, 20)"),
    ({"state": state(2).astype(np.int32)}, "state must be floats of shape (4, 2, 20), got int32 (4, 2, 20)"),
    ({"state": state(2).astype(object)}, "state must be floats of shape (4, 2, 20), got object (4, 2, 20)"),
]


@EACH_ISA
@pytest.mark.parametrize(("wrong", "message"), WRONG_STEPS, ids=range(len(WRONG_STEPS)))
def test_steps(models, isa, wrong, message):
    with pytest.raises(UsageError) as caught:
        models[isa].step(**{"ids": np.array([1, 2]), "state": state(2), **wrong})
    assert str(caught.value) == message


@EACH_ISA
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"state": state(2)}, "state must be floats of shape (4, 1, 20), got float32 (4, 2, 20)"),
        ({"logits": np.zeros(29)}, "logits must be floats of shape (30,), got float64 (29,)"),
        ({"logits": np.zeros((1, 30))}, "logits must be floats of shape (30,), got float64 (1, 30)"),
        ({"ids": np.array([1, 2, 99])}, "token ids must lie in 0 .. 29, got 99"),
        ({"features": np.zeros((3, H))}, "features must be dense float32 of shape (3, 20), got float64 (3, 20)"),
        (
            {"features": np.zeros((2, H), np.float32)},
            "features must be dense float32 of shape (3, 20), got float32 (2, 20)",
        ),
        (
            {"features": np.zeros((3, 2 * H), np.float32)[:, ::2]},
            "features must be dense float32 of shape (3, 20), got float32 (3, 20), not contiguous",
        ),
        ({"features": np.broadcast_to(np.float32(0), (1, H)).repeat(3, 0)}, ""),
        ({"features": [[0.0] * H] * 3}, "features must be dense float32 of shape (3, 20), got a list"),
    ],
)
def test_scores(models, isa, wrong, message):
    call = {"ids": np.array([1, 2, 3]), "state": state(1), "logits": np.zeros(V), **wrong}
    if not message:
        assert models[isa].score(**call)[0].shape == (3,)
        return
    with pytest.raises(UsageError) as caught:
        models[isa].score(**call)
    assert str(caught.value) == message


def test_read_only_results(models):
    features = np.zeros((1, H), np.float32)
    features.flags.writeable = False
    with pytest.raises(UsageError, match="features must be writable"):
        models[available()[-1]].score(np.array([1]), state(1), np.zeros(V), features)


@EACH_ISA
def test_inputs_of_another_width_or_order_are_converted(models, isa):
    ids, before = np.array([3, 4], np.uint16), np.random.default_rng(1).normal(size=(S, 2, H))
    expected = models[isa].step(ids.astype(np.uint32), before.astype(np.float32))
    packed = np.zeros(1 + 4 * before.size, np.uint8)[1:].view(np.float32).reshape(before.shape)  # not aligned
    packed[...] = before
    for given_ids, given_state in [
        (ids, before),
        (ids.tolist(), np.asfortranarray(before)),
        (ids.astype(np.int64), packed),
    ]:
        logits, after = models[isa].step(given_ids, given_state)
        np.testing.assert_array_equal(logits, expected[0])
        np.testing.assert_array_equal(after, expected[1])


def drawing(rows=2, length=3, **changes):
    mask = np.zeros(V, np.bool_)
    call = {"ids": np.ones(rows, np.uint32), "state": state(rows), "samplers": [Sampler(repetition_penalty=1.2)] * rows,
            "u": np.full((rows, length), 0.5), "lengths": [length] * rows, "recent": [[1]] * rows,
            "forbidden": [mask] * rows, "stops": [mask] * rows}  # fmt: skip
    return {**call, **changes}


class Sampling:
    """Numbers that no `Sampler` lets through."""

    temperature, top_k, top_p, min_p, repetition_penalty, remembers = 1.0, 0, 1.0, 0.0, 1.0, 0
    bias, presence_penalty, frequency_penalty = (), 0.0, 0.0

    def __init__(self, **changes):
        vars(self).update(changes)


@EACH_COMPILED
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ids": np.array([1, 30])}, "token ids must lie in 0 .. 29, got 30"),
        ({"ids": np.zeros(0, np.uint32)}, "ids must not be empty, got shape (0,)"),
        ({"state": state(1)}, "state must be floats of shape (4, 2, 20), got float32 (4, 1, 20)"),
        ({"state": None}, "state must be floats of shape (4, 2, 20), got None"),
        ({"u": np.full((1, 3), 0.5)}, "u must be floats of shape (2, N), got float64 (1, 3)"),
        ({"u": np.full((3, 3), 0.5)}, "u must be floats of shape (2, N), got float64 (3, 3)"),
        ({"u": np.full(2, 0.5)}, "u must be floats of shape (2, N), got float64 (2,)"),
        ({"u": np.full((2, 0), 0.5)}, "u must not be empty, got shape (2, 0)"),
        ({"u": np.full((2, 3), 1.0)}, "u must lie in [0, 1), got 1.0 .. 1.0"),
        ({"u": np.full((2, 3), -0.1)}, "u must lie in [0, 1), got -0.1 .. -0.1"),
        ({"u": np.full((2, 3), np.nan)}, "u must lie in [0, 1), got nan .. nan"),
        ({"forbidden": [np.zeros(29, np.bool_)] * 2}, "forbidden must be booleans of shape (30,), got bool (29,)"),
        ({"stops": [np.zeros(29, np.bool_)] * 2}, "stops must be booleans of shape (30,), got bool (29,)"),
        ({"stops": [None, None]}, "stops must be booleans of shape (30,), got None"),
        ({"stops": []}, "stops must have 2 rows, got 0"),
        ({"lengths": [3, 4]}, "lengths must lie in 1 .. 3, got 3 .. 4"),
        ({"lengths": [0, 3]}, "lengths must lie in 1 .. 3, got 0 .. 3"),
        ({"lengths": [3]}, "lengths must be whole numbers of shape (2,), got int64 (1,)"),
        ({"recent": [[1]]}, "recent must have 2 rows, got 1"),
        ({"recent": [[1], [30]]}, "recent must lie in 0 .. 29, got 30"),
        ({"recent": [[1], [-1]]}, "recent must lie in 0 .. 29, got -1"),
        ({"samplers": [Sampling(temperature=-1)] * 2}, "temperature must be from 0 to inf, got -1"),
        ({"samplers": [Sampling(min_p=1.5)] * 2}, "min_p must be from 0 to 1, got 1.5"),
        ({"samplers": [Sampling(top_p=float("nan"))] * 2}, "top_p must be from 0 to 1, got nan"),
        ({"samplers": [Sampling(bias=((30, 1.0),))] * 2}, "shifted must lie in 0 .. 29, got 30"),
        ({"samplers": [Sampling(bias=((-1, 1.0),))] * 2}, "shifted must lie in 0 .. 29, got -1"),
        ({"samplers": [Sampling(bias=((1, np.nan),))] * 2}, "the bias of id 1 must be a finite number, got nan"),
        ({"samplers": [Sampling(presence_penalty=np.inf)] * 2}, "presence_penalty must be a finite number, got inf"),
        ({"samplers": [Sampling(frequency_penalty=np.nan)] * 2}, "frequency_penalty must be a finite number, got nan"),
        (
            {"samplers": [Sampling(presence_penalty=1.0)] * 2, "before": [[1], [30]]},
            "shifted must lie in 0 .. 29, got 30",
        ),
        ({"before": [[1]]}, "before must have 2 rows, got 1"),
        ({"samplers": [Sampling(remembers=-1)] * 2}, "remembers must be a whole number from 0 to inf, got -1"),
        ({"samplers": [Sampling(top_k=None)] * 2}, "top_k must be a whole number from 0 to inf, got None"),
    ],
)
def test_drawing(models, isa, wrong, message):
    with pytest.raises(UsageError) as caught:
        models[isa].decode(**drawing(**wrong))
    assert str(caught.value) == message


@EACH_COMPILED
def test_many_rows_are_drawn_in_parts(models, isa):
    ids = np.arange(150, dtype=np.uint32) % V
    u = np.random.default_rng(2).random((150, 4))
    recent = [[i] for i in ids.tolist()]
    drawn, after = models[isa].decode(**drawing(150, ids=ids, u=u, recent=recent))
    for rows in (slice(60, 70), slice(140, 150)):
        part, state_after = models[isa].decode(
            **drawing(10, ids=ids[rows], u=u[rows], recent=recent[rows], state=state(10))
        )
        assert part == drawn[rows]
        np.testing.assert_array_equal(state_after, after[:, rows])


def ngram_call(order=3):
    model = fit_ngram(np.array([1, 2, 3, 0, 2, 1, 0, 3, 3, 0], np.uint16), 5, order=order)
    shares, weights = [level.share for level in model.levels], [level.weight for level in model.levels]
    return {"words": list(model.words), "children": list(model.children), "shares": shares, "weights": weights,
            "unigram": model.unigram(), "ids": np.array([1, 2, 0])}  # fmt: skip


@pytest.mark.parametrize("isa", [NUMPY, available()[-1]])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ids", lambda ids: -ids, "token ids must lie in 0 .. 4, got -2"),
        ("ids", lambda ids: ids + 5, "token ids must lie in 0 .. 4, got 7"),
        ("ids", lambda ids: ids * 1.0, "ids must be whole numbers"),
        ("ids", lambda ids: None, "ids must be whole numbers"),
        ("unigram", lambda u: u[:2], "token ids must lie in 0 .. 1, got 2"),
        ("words", lambda w: w[:-1], "an n-gram model has as many words"),
        ("children", lambda c: [c[0][:-1], *c[1:]], "children must be whole numbers of shape (6,), got uint32 (5,)"),
        ("shares", lambda s: [*s[:-1], s[-1][:-1]], "shares must be floats"),
        ("weights", lambda w: [*w[:-1], w[-1][1:]], "weights must be floats"),
        ("weights", lambda w: [*w[:-1], None], "weights must be floats"),
    ],
)
def test_ngrams(monkeypatch, isa, name, change, message):
    monkeypatch.setenv("OSTINATO_ISA", isa)
    call = ngram_call()
    assert ngram_probabilities(**call).shape == (3,)
    with pytest.raises(UsageError) as caught:
        ngram_probabilities(**{**call, name: change(call[name])})
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def mixed():
    """A context-mixing model of a few tokens."""
    tokenizer = build_tokenizer("character", ["ab\nba\n"])
    return fit_mixing(np.array([1, 2, 3, 2, 1, 3, 0, 1, 1, 0], np.uint16), tokenizer).arrays


def words(rows=1):
    return np.zeros((rows, STATE_SIZE), np.uint32)


def odd_history(value):
    states = words()
    states[0, 3] = value
    return states


@pytest.mark.parametrize("isa", [NUMPY, available()[-1]])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ids", [-1], "token ids must lie in 0 .. {last}, got -1"),
        ("ids", [300], "token ids must lie in 0 .. {last}, got 300"),
        ("ids", [1.0], "ids must be whole numbers of shape (B,), got float64 (1,)"),
        ("ids", [[1]], "ids must be whole numbers of shape (B,), got int64 (1, 1)"),
        ("states", None, "states must be whole numbers of shape (B, 73), got None"),
        ("states", words()[:, 1:], "states must be whole numbers of shape (B, 73), got uint32 (1, 72)"),
        ("states", words()[0], "states must be whole numbers of shape (B, 73), got uint32 (73,)"),
        ("states", words() * 1.0, "states must be whole numbers of shape (B, 73), got float64 (1, 73)"),
        ("states", odd_history(300), "states must lie in 0 .. {last}, got 300"),
        ("states", odd_history(1 << 31), "states must lie in 0 .. {last}, got 2147483648"),
    ],
)  # fmt: skip
def test_context_mixing(mixed, monkeypatch, isa, name, change, message):
    monkeypatch.setenv("OSTINATO_ISA", isa)
    call = {"ids": [1], "states": words(), name: change}
    for function in (mixing.read, mixing.advance):
        with pytest.raises(UsageError) as caught:
            function(mixed, **call)
        said = re.sub(r"of shape \(\w+,", "of shape (B,", str(caught.value))
        assert said == message.format(last=mixed.vocabulary_size - 1)


@pytest.mark.parametrize("isa", [NUMPY, available()[-1]])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [40, 40]}, "rates must be whole numbers of shape (1,), got int64 (2,)"),
        ({"rates": [-1]}, "rates must lie in 0 .. 4095, got -1"),
        ({"rates": [4096]}, "rates must lie in 0 .. 4095, got 4096"),
        ({"limit": 256}, "limit must be a whole number from 1 to 255, got 256"),
        ({"states": words(2)}, "states must be whole numbers of shape (1, 73), got uint32 (2, 73)"),
    ],
)
def test_learning_by_context_mixing(mixed, monkeypatch, isa, changes, message):
    monkeypatch.setenv("OSTINATO_ISA", isa)
    call = {"ids": [1], "states": words(), "rates": [40], "counters": True, "limit": 255}
    with pytest.raises(UsageError) as caught:
        mixing.learn(mixed.copy(), **{**call, **changes})
    assert str(caught.value) == message


SPECIFICATIONS = ["float32[B", "float32[B] > V", "float32[B] shiny", "B"]


@pytest.mark.parametrize("text", SPECIFICATIONS)
def test_a_specification_that_is_none(text):
    with pytest.raises(ValueError, match="has no specification"):
        gateway.argument("x", text)


EXAMPLES = int(os.environ.get("OSTINATO_EXAMPLES", 200))
SIZES = st.integers(0, 5)
ANY_ARRAY = st.one_of(
    st.none(),
    st.integers(-3, 40),
    st.lists(st.integers(-3, 40), max_size=4),
    arrays.arrays(
        st.one_of(
            arrays.integer_dtypes(endianness="?"), arrays.unsigned_integer_dtypes(), arrays.floating_dtypes(),
            arrays.boolean_dtypes(), arrays.complex_number_dtypes(), arrays.unicode_string_dtypes(max_len=2),
        ),
        st.one_of(
            st.lists(SIZES, max_size=4).map(tuple), st.just((S, 2, H)), st.just((S, 1, H)), st.just((V,)),
            st.just((2, V)), st.just((2,)), st.just((2, 3)),
        ),
    ),
)  # fmt: skip


def lives(call, arguments):
    """The call returns or raises an error of ours."""
    with np.errstate(all="ignore"), contextlib.suppress(OstinatoError):
        call(**arguments)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_array_at_any_place(models, data):
    """One to all arguments of a call that fits are exchanged for anything at all."""
    isa = data.draw(st.sampled_from([NUMPY, *available()[-2:]]))
    name, call = data.draw(
        st.sampled_from(
            [
                ("step", {"ids": np.array([1, 2]), "state": state(2)}),
                ("score", {"ids": np.array([1, 2]), "state": state(1), "logits": np.zeros(V), "features": None}),
                ("decode", drawing()),
            ]
        )
    )
    if name == "decode" and isa == NUMPY:
        return
    places = data.draw(
        st.lists(
            st.sampled_from([p for p in call if p not in ("samplers", "recent", "forbidden", "stops")]), min_size=1
        )
    )
    lives(getattr(models[isa], name), {**call, **{place: data.draw(ANY_ARRAY) for place in places}})


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_any_array_in_an_ngram_model(data):
    call = ngram_call()
    for name in data.draw(st.lists(st.sampled_from(list(call)), min_size=1)):
        value = data.draw(ANY_ARRAY)
        if name not in ("ids", "unigram", "children"):
            call[name][data.draw(st.integers(0, len(call[name]) - 1))] = value
        elif name != "children":  # what these hold is checked where a model is read
            call[name] = value
    lives(ngram_probabilities, call)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_any_array_in_context_mixing(mixed, data):
    """Reading, learning, a step; any argument exchanged for anything at all, states of any words."""
    call = {"ids": np.array([1, 2]), "states": words(), "rates": np.array([40, 40])}
    whole = arrays.arrays(np.uint32, (data.draw(st.integers(0, 3)), STATE_SIZE), elements=st.integers(0, 2**32 - 1))
    for name in data.draw(st.lists(st.sampled_from(list(call)), min_size=1)):
        call[name] = data.draw(whole if name == "states" and data.draw(st.booleans()) else ANY_ARRAY)
    model = mixed.copy()
    lives(mixing.learn, {"model": model, **call, "counters": True, "limit": data.draw(st.integers(-1, 300))})
    del call["rates"]
    lives(mixing.read, {"model": model, **call})
    lives(mixing.advance, {"model": model, **call})
    lives(mixing.distribution, {"model": model, "states": call["states"]})


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_any_table_in_context_mixing(mixed, data):
    """A model of other numbers is refused, or reads, learns and writes."""
    name = data.draw(st.sampled_from(["records", "slots", "maps", "weights", "apm", "folded", "classes", "ranks"]))
    spoilt = getattr(mixed, name).copy()
    limits = np.iinfo(spoilt.dtype)
    for _ in range(data.draw(st.integers(1, 8))):
        value = data.draw(st.sampled_from([limits.min, limits.max, 0, 1]) | st.integers(limits.min, limits.max))
        spoilt.reshape(-1)[data.draw(st.integers(0, spoilt.size - 1))] = value
    try:
        model = dataclasses.replace(mixed, **{name: spoilt}).copy()
    except BundleError:
        return
    ids = np.array([1, 2, 3, 2, 1, 3, 0, 1], np.uint32)
    with np.errstate(all="ignore"):
        mixing.learn(model, ids, words(), rates=np.full(8, 4095), counters=True, limit=255)
        assert np.isfinite(mixing.distribution(model, mixing.read(model, ids[:3], words())[1])).all()


@pytest.mark.skipif(len(available()) == 1, reason="no compiled kernels")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_array_in_a_training_call(data):
    """A layer forward and backward, a head, an optimizer step; any of their arrays exchanged for anything at all."""
    kernels = train_kernels("fp32", data.draw(st.sampled_from(available()[1:])))
    cell = data.draw(st.sampled_from([0, 2, 3]))
    T, B, X, H, GH = 2, 3, 5, 4, 4 * {0: 1, 2: 3, 3: 4}[cell]
    call = LayerCall(cell=cell, steps=T, batch=B, input_size=X, hidden_size=H, threads=1)
    needs = kernels.layer_sizes(call)
    shapes = {"x": (T, B, X), "w_ih": (GH, X), "w_hh": (GH, H), "b_ih": (GH,), "b_hh": (GH,), "h0": (B, H),
              "c0": (B, H), "y": (T, B, H), "h_last": (B, H), "c_last": (B, H), "gates": (needs.gates // 4,),
              "cells": (needs.cells // 4,), "dy": (T, B, H), "dh_last": (B, H), "dc_last": (B, H), "dx": (T, B, X),
              "dw_ih": (GH, X), "dw_hh": (GH, H), "db": (GH,), "db_hh": (GH,), "dh0": (B, H),
              "dc0": (B, H)}  # fmt: skip
    held = np.zeros(max(needs.forward, needs.backward) + 64, np.uint8)
    good = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    good["workspace"] = held[-held.ctypes.data % 64 :]
    places = data.draw(st.lists(st.sampled_from(list(good)), min_size=1, max_size=4))
    call.give(**{**good, **{place: data.draw(ANY_ARRAY) for place in places}})
    lives(kernels.layer_forward, {"call": call})
    lives(kernels.layer_backward, {"call": call})

    head = HeadCall(rows=3, features=4, vocabulary=6, threads=1, with_gradient=data.draw(st.integers(0, 1)))
    held = np.zeros(kernels.head_workspace(head) + 64, np.uint8)
    good = {name: np.zeros(shape, np.float32) for name, shape in (
        ("x", (3, 4)), ("weight", (6, 4)), ("bias", (6,)), ("losses", (3,)), ("dx", (3, 4)), ("dweight", (6, 4)),
        ("dbias", (6,)))} | {"targets": np.array([0, 5, 1]), "workspace": held[-held.ctypes.data % 64 :]}  # fmt: skip
    head.give(**{**good, data.draw(st.sampled_from(list(good))): data.draw(ANY_ARRAY)})
    lives(kernels.head, {"call": head})

    tensor = [np.zeros(7, np.float32) for _ in range(4)]
    tensor[data.draw(st.integers(0, 3))] = data.draw(ANY_ARRAY)
    step = AdamCall(threads=1, step=1, learning_rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-8)
    lives(kernels.adamw, {"call": step, "tensors": [(*tensor, 0.0)]})


@EACH_COMPILED
def test_texts_side_by_side_and_read_on(models, isa):
    model, start, logits = models[isa], state(1), np.zeros(V)
    texts = [np.array([1, 2]), np.array([3]), np.array([], np.uint32)]
    for found, text in zip(model.score_many(texts, start, logits), texts, strict=True):
        np.testing.assert_allclose(found, model.score(text, start, logits)[0], rtol=1e-6)
    for bad in ([np.array([30])], [np.array([-1])], [None], [np.zeros((1, 1), int)]):
        with pytest.raises(UsageError, match="ids must"):
            model.score_many([*texts, *bad], start, logits)
        with pytest.raises(UsageError, match="ids must"):
            model.read(bad[0], start)
    for wrong in (None, state(2), start[:1]):
        with pytest.raises(UsageError, match="state must be"):
            model.read(texts[0], wrong)
        with pytest.raises(UsageError, match="state must be"):
            model.score_many(texts, wrong, logits)
    with pytest.raises(UsageError, match="logits must be"):
        model.score_many(texts, start, logits[1:])
