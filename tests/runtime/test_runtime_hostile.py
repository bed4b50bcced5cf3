"""Damaged and hostile bundles: a clear error each time, and the process lives."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_kit import SMALL, TOKENIZER, VOCABULARY, saved, weights

from ostinato.bundle import Bundle, TensorFile, read_bundle, write_bundle
from ostinato.errors import BundleError, OstinatoError, UsageError
from ostinato.ngram import fit_ngram
from ostinato.runtime import load
from ostinato.text import build


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 31}, r"tensor recurrent\.\w+ is float32 .* but config.json asks for float32"),
        ({"hidden_size": 0}, "model.hidden_size must be 1 to 65536, got 0"),
        ({"hidden_size": 2**40}, "model.hidden_size must be 1 to 65536, got 1099511627776"),
        ({"hidden_size": "32"}, "model.hidden_size must be 1 to 65536, got '32'"),
        ({"layers": True}, "model.layers must be 1 to 64, got True"),
        ({"layers": 2}, "the model lacks recurrent"),
        ({"embedding_size": None}, "model.embedding_size must be 0 to 65536, got None"),
        ({"cell": "transformer"}, "model.cell must be one of rnn, rnn-relu, gru, lstm, got 'transformer'"),
        ({"cell": "gru"}, "but config.json asks for"),
        ({"tied": 1}, "model.tied cannot be 1"),
        ({"tied": True}, "the model lacks projection.weight"),
        ({"tied": True, "embedding_size": 0}, "model.tied cannot be True"),
        ({"vocabulary_size": VOCABULARY + 1}, "they do not belong together"),
    ],
)
def test_configs_that_lie(tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        load(saved(tmp_path / "model", SMALL, **changes))


def test_tensors_that_do_not_fit(tmp_path):
    good = weights(SMALL)
    cases = [
        ({n: t for n, t in good.items() if n != "head.bias"}, "the model lacks head.bias"),
        ({**good, "extra": good["head.bias"]}, "the model also has extra"),
        ({**good, "head.bias": good["head.bias"].astype(np.float64)}, "tensor head.bias is float64"),
        ({**good, "head.weight": good["head.weight"].T.copy()}, "tensor head.weight is float32"),
        ({**good, "head.weight": np.full_like(good["head.weight"], np.nan)}, "holds a value that is no finite number"),
    ]
    for number, (tensors, message) in enumerate(cases):
        with pytest.raises(BundleError, match=message):
            load(saved(tmp_path / str(number), SMALL, tensors=tensors))


def test_unknown_kind_and_missing_table(tmp_path):
    bundle = saved(tmp_path / "model", SMALL)
    for kind, message in [
        ("forecaster", "kind 'forecaster', which this version cannot"),
        ("ngram", 'no table "model"'),
    ]:
        config = {"kind": kind}
        with pytest.raises(BundleError, match=message):
            load(Bundle(bundle.path, config, bundle.tokenizer, bundle.tensors, bundle.card))


def test_models_of_other_kinds_load(tmp_path):
    ngram = pytest.importorskip("ostinato.ngram")
    ids = np.append(TOKENIZER.encode("春天的桥上\n你说雨停了"), np.uint16(0))
    model = ngram.fit_ngram(ids, VOCABULARY, order=2)
    document = {"kind": "ngram", "model": dict(model.settings)}
    write_bundle(tmp_path / "m", config=document, tokenizer=TOKENIZER, tensors=dict(model.arrays), card="")
    np.testing.assert_allclose(load(tmp_path / "m").score(ids), model.score(ids))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    bundle = saved(tmp_path_factory.mktemp("bundle") / "model", SMALL)
    return bundle, (bundle.path / "model.safetensors").read_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fuzzed_weights_never_crash(model_file, tmp_path_factory, data):
    bundle, content = model_file
    header = 8 + int.from_bytes(content[:8], "little")
    changed = bytearray(content)
    kind = data.draw(st.sampled_from(["flip", "header", "cut", "swap", "grow"]))
    if kind == "cut":
        del changed[data.draw(st.integers(0, len(changed) - 1)) :]
    elif kind == "grow":
        changed += data.draw(st.binary(min_size=1, max_size=64))
    elif kind == "swap":
        at, size = data.draw(st.integers(0, len(changed) - 64)), data.draw(st.integers(1, 32))
        changed[at : at + 2 * size] = changed[at + size : at + 2 * size] + changed[at : at + size]
    else:
        end = header if kind == "header" else len(changed)
        for at in data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=8)):
            changed[at] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    file.write_bytes(changed)
    with contextlib.suppress(OstinatoError):
        fuzzed = Bundle(bundle.path, bundle.config, bundle.tokenizer, TensorFile(file), "")
        for precision in ("fp32", "int8"):
            model = load(fuzzed, precision=precision)
            assert model.step(np.array([1, 2]), model.initial_state(2))[0].shape == (2, VOCABULARY)
            assert model.score(np.array([3, 4, 5])).shape == (3,)
    shutil.rmtree(file.parent)


@settings(max_examples=60, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(["cell", "layers", "hidden_size", "embedding_size", "tied", "vocabulary_size", "kind"]),
        st.one_of(
            st.integers(-(2**70), 2**70),
            st.none(),
            st.booleans(),
            st.text(max_size=5),
            st.floats(),
            st.lists(st.integers()),
        ),
        min_size=1,
    )
)
def test_fuzzed_configs_never_crash(model_file, changes):
    bundle, _ = model_file
    model = {**bundle.config["model"], **changes}
    with contextlib.suppress(BundleError):
        load(Bundle(bundle.path, {**bundle.config, "model": model}, bundle.tokenizer, bundle.tensors, ""))


def test_damage_is_found_before_loading(tmp_path):
    path = saved(tmp_path / "model", SMALL).path
    weights_file = path / "model.safetensors"
    content = bytearray(weights_file.read_bytes())
    content[-1] ^= 1
    weights_file.write_bytes(content)
    with pytest.raises(BundleError, match="does not match its checksum"):
        load(path)
    config = json.loads((path / "config.json").read_text("utf-8"))
    assert config["kind"] == "recurrent"
    assert read_bundle(path, verify=False).kind == "recurrent"


def test_an_ngram_model_with_another_tokenizer(tmp_path):
    ids = np.append(TOKENIZER.encode("春天的桥上"), np.uint16(0))
    model = fit_ngram(ids, VOCABULARY, order=2)
    document = {"kind": "ngram", "model": dict(model.settings)}
    other = build("character", ["另一个"], 1)
    write_bundle(tmp_path / "m", config=document, tokenizer=other, tensors=dict(model.arrays), card="")
    with pytest.raises(BundleError, match="they do not belong together"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.5]}, "a weight for each"),
        ({"weights": [0.5, "x"]}, "must be numbers from 0 to 1"),
        ({"parts": [{"kind": "ngram"}, 3]}, "needs a kind and a model"),
        ({"parts": "x"}, "model.parts cannot be 'x'"),
        ({"vocabulary_size": 3}, "they do not belong together"),
    ],
)
def test_mixtures_that_lie(tmp_path, changes, message):
    model = {"vocabulary_size": VOCABULARY, "weights": [0.5, 0.5], "parts": [{"kind": "ngram", "model": {}}] * 2}
    document = {"kind": "mixture", "model": {**model, **changes}}
    write_bundle(tmp_path / "m", config=document, tokenizer=TOKENIZER, tensors={"a": np.zeros(1)}, card="")
    with pytest.raises(BundleError, match=message):
        load(tmp_path / "m")


OLD = Path(__file__).parents[1] / "old"
KINDS = ("lstm", "gru-words", "rnn-bytes", "window", "kneser-ney", "mixture")
WRONG = (None, [0.5, 1], [True, False], ["a", "b"], [None, 1], [[0, 1]], 0, [], [-1, 0], [0, 2**40], [0, np.nan], [0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_refuses_wrong_ids_and_states_of_others_in_one_line(kind):
    models = {name: load(read_bundle(OLD / name / "model")) for name in KINDS}
    model, ids = models[kind], np.array([0, 1])
    for wrong in WRONG:
        with pytest.raises(UsageError):
            model.step(wrong, model.initial_state(2))
    for wrong in WRONG[:-1]:
        if wrong != []:
            with pytest.raises(UsageError):
                model.score(wrong)
    shape = getattr(model.initial_state(2), "shape", None)
    others = [other.initial_state(2) for name, other in models.items() if name != kind]
    for state in [None, 0, model.initial_state(1), *others]:
        if shape is None or getattr(state, "shape", None) != shape:  # else it cannot be told from one of its own
            with pytest.raises(UsageError):
                model.step(ids, state)
