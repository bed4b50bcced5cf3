"""ONNX: onnxruntime computes what the model does, for any batch and length; the example writes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import ostinato
from ostinato.export import export

OLD = Path(__file__).parents[1] / "old"


@pytest.fixture(scope="module", params=["lstm", "gru-words", "rnn-bytes"])
def exported(request, tmp_path_factory):
    """A model and the folder of its graphs."""
    folder = export(OLD / request.param, "onnx", tmp_path_factory.mktemp("onnx") / request.param)
    return ostinato.load(OLD / request.param), folder


def test_whole_texts(exported):
    model, folder = exported
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    generator = np.random.default_rng(1)
    for batch, length in ((1, 1), (2, 7), (5, 3)):
        ids = generator.integers(0, model.step_model.vocabulary_size, (batch, length))
        state = generator.normal(size=model.step_model.initial_state(batch).shape).astype(np.float32)
        logits, after = session.run(None, {"ids": ids, "state": state})
        for t in range(length):
            expected, state = model.step_model.step(ids[:, t].astype(np.uint32), state)
            np.testing.assert_allclose(logits[:, t], expected, atol=1e-5)
        np.testing.assert_allclose(after, state, atol=1e-5)


def test_single_steps(exported):
    model, folder = exported
    session = onnxruntime.InferenceSession(folder / "step.onnx")
    state = model.step_model.initial_state(3)
    ids = np.array([0, 5, 9])
    logits, after = session.run(None, {"ids": ids, "state": state})
    expected, state = model.step_model.step(ids.astype(np.uint32), state)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(after, state, atol=1e-5)


def test_the_graph_says_how_to_use_it(exported):
    model, folder = exported
    properties = onnxruntime.InferenceSession(folder / "step.onnx").get_modelmeta().custom_metadata_map
    assert model.tokenizer.kind in properties["tokenizer"]
    assert properties["direction"] == "forward"


def test_the_example_writes(tmp_path):
    folder = export(OLD / "lstm", "onnx", tmp_path / "x")
    written = subprocess.run(
        [sys.executable, folder / "write.py", "风", "20"], capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert written.startswith("风")
    assert len(written) > 5
