"""Weights in 16 and 8 bits: what comes back, how close, what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ostinato.bundle import read_bundle, write_bundle, write_folder
from ostinato.bundle.storage import packed, unpacked
from ostinato.errors import BundleError
from ostinato.text import build

MATRIX = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32) * np.float32([[1], [9], [0], [1e-3], [1e3]])
TENSORS = {"w": MATRIX, "bias": np.float32([0.1, -2.5]), "ids": np.arange(6, dtype=np.int8).reshape(2, 3)}


@pytest.fixture
def saved(tmp_path):
    def save(storage="float32", tensors=TENSORS, config=None):
        write_bundle(tmp_path / "m", config=config or {"kind": "recurrent"}, tokenizer=build("character", ["歌声歌声"]),
                     tensors=tensors, card="", storage=storage)  # fmt: skip
        return tmp_path / "m"

    return save


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=3), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_int8_is_within_half_a_step_of_each_row(value):
    back = unpacked(packed({"w": value}, "int8"), "int8", "m")["w"]
    largest = np.abs(value.reshape(len(value), -1)).max(axis=1).reshape(-1, *[1] * (value.ndim - 1))
    assert back.dtype == np.float32
    assert (np.abs(back - value) <= largest / 127 * 0.501 + 2.0**-140).all()


@given(arrays(np.float32, (3, 4), elements=st.floats(-6e4, 6e4, width=32)))
def test_float16_keeps_eleven_bits(value):
    back = unpacked(packed({"w": value}, "float16"), "float16", "m")["w"]
    assert (np.abs(back - value) <= np.abs(value) * 2.0**-11 + 2.0**-25).all()


@pytest.mark.parametrize(("storage", "size"), [("float16", 2), ("int8", 1)])
def test_a_bundle_of_small_weights_reads_like_any_other(saved, storage, size):
    big = np.random.default_rng(2).normal(size=(200, 300)).astype(np.float32)
    path = saved(storage, {"w": big, "bias": TENSORS["bias"]})
    bundle = read_bundle(path)
    assert sorted(bundle.tensors) == ["bias", "w"]
    assert bundle.tensors["w"].dtype == np.float32
    assert not bundle.tensors["w"].flags.writeable
    assert np.array_equal(bundle.tensors["bias"], TENSORS["bias"])
    assert (path / "model.safetensors").stat().st_size < size * big.size + 2000
    assert json.loads((path / "config.json").read_bytes())["storage"] == storage


def test_whole_numbers_are_stored_as_they_are(saved):
    bundle = read_bundle(saved("float16"))
    assert bundle.tensors["ids"].dtype == np.int8
    assert np.array_equal(bundle.tensors["ids"], TENSORS["ids"])


def test_float32_bundles_are_as_they_were(saved):
    path = saved(storage="float32")
    assert "storage" not in json.loads((path / "config.json").read_bytes())
    assert np.array_equal(read_bundle(path).tensors["w"], MATRIX)


def test_a_config_that_was_read_says_nothing_of_how_the_new_one_is_stored(saved):
    config = read_bundle(saved("int8", {"w": MATRIX})).config
    del config["format"]
    assert np.array_equal(read_bundle(saved("float32", {"w": MATRIX}, config)).tensors["w"], MATRIX)


@pytest.mark.parametrize(
    ("storage", "value"), [("float16", 7e4), ("float16", np.inf), ("int8", np.nan), ("int8", np.inf)]
)
def test_what_does_not_fit_is_refused(saved, storage, value):
    with pytest.raises(BundleError, match=f"tensor w has weights that {storage} cannot hold"):
        saved(storage, {"w": np.full((2, 2), value, np.float32)})


def test_an_unknown_storage_is_a_slip_of_the_caller(saved):
    with pytest.raises(ValueError, match="must be one of float32, float16, int8"):
        saved("int4")


@pytest.mark.parametrize(
    ("storage", "tensors", "message"),
    [
        ("int4", {"w": MATRIX}, "stores its weights as 'int4'"),
        (["int8"], {"w": MATRIX}, "stores its weights as"),
        ("int8", {"w": np.ones((2, 3), np.int8)}, "tensor w has no scale"),
        ("int8", {"w": np.ones((2, 3), np.int8), "w.scale": np.ones(3, np.float32)}, "tensor w has no scale"),
        ("int8", {"w": np.ones((2, 3), np.int8), "w.scale": np.ones(2, np.float64)}, "tensor w has no scale"),
        ("int8", {"w": np.ones((2, 3), np.int8), "w.scale": np.float32([1, np.nan])}, "tensor w has no scale"),
        ("int8", {"w": np.ones(2, np.int8), "w.scale": np.ones(2, np.float32)}, "tensor w has no scale"),
    ],
)
def test_hostile_storage(saved, storage, tensors, message):
    path = saved(tensors=tensors)
    files = {f.name: f.read_bytes() for f in path.iterdir() if f.name != "manifest.json"}
    config = json.loads(files["config.json"]) | {"storage": storage}
    write_folder(path, files | {"config.json": json.dumps(config).encode()})
    with pytest.raises(BundleError, match=message):
        read_bundle(path)
