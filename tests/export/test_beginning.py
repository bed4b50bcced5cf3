"""Exports begin a text without a prompt after the opening's ids, with one of the tokens that its letters allow."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import ostinato
from ostinato.bundle import read_bundle, write_bundle
from ostinato.export import export
from ostinato.export.beginning import Beginning, beginning
from ostinato.text.openings import Opening

OLD = Path(__file__).parents[1] / "old"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"


def saved(tmp_path, name="lstm", **text):
    """A model of tests/old whose texts begin as `text` says."""
    bundle = read_bundle(OLD / name)
    config = {key: value for key, value in bundle.config.items() if key != "format"}
    config["text"] = {**config["text"], **text}
    tensors = {label: np.array(tensor) for label, tensor in bundle.tensors.items()}
    write_bundle(tmp_path / "model", config=config, tokenizer=bundle.tokenizer, tensors=tensors, card="# A card\n")
    return ostinato.load(tmp_path / "model")


def opening(tokenizer, *letters):
    """After a comma and a newline, with one of the letters."""
    return Opening(tuple(tokenizer.encode("，\n").tolist()), letters).to_json()


@pytest.fixture
def model(tmp_path):
    """A model whose texts begin with 雨 or 山, which is not what it finds likeliest."""
    return saved(tmp_path, opening=opening(read_bundle(OLD / "lstm").tokenizer, "雨", "山"))


def test_what_is_read_and_what_comes_first(tmp_path, model):
    ids = model.tokenizer.encode("，\n").tolist()
    first = sorted(model.tokenizer.encode("雨山").tolist())
    assert beginning(read_bundle(model.path)) == Beginning((0, *ids), tuple(first))
    assert beginning(read_bundle(OLD / "lstm")) == Beginning((0,), ())
    titled = saved(tmp_path / "titled", heading="《风》 ")
    assert beginning(read_bundle(titled.path)) == Beginning((0, *titled.tokenizer.encode("《风》").tolist()), ())
    backward = read_bundle(OLD / "backward")  # reads its title last
    assert backward.config["text"]["heading"]
    assert beginning(backward) == Beginning((0,), ())


def test_transformers_begins_like_write(tmp_path, monkeypatch, model):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = export(model.path, "huggingface", tmp_path / "begins")
    network = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    theirs = network.write(2, max_new_tokens=12, do_sample=False)
    ours = model.write(tokens=12, temperature=0.0)
    assert ours[0] in "雨山"
    for row in theirs:
        assert tokenizer.decode(row, skip_special_tokens=True).rstrip("\n") == ours.rstrip("\n")
    greedy = network.generate(**tokenizer("风", return_tensors="pt"), max_new_tokens=12, do_sample=False)[0, 2:]
    text = tokenizer.decode(greedy, skip_special_tokens=True)  # with a prompt any token may come first
    assert text.rstrip("\n") == model.write("风", tokens=12, temperature=0.0)[1:].rstrip("\n")
    assert "model.write(" in (folder / "README.md").read_text("utf-8")


def drawn(model, read, first, seed, tokens, backward):
    """What write.py shall write, drawn from the model itself."""
    random, state, ids = np.random.default_rng(seed), model.step_model.initial_state(1), []
    for token_id in read:
        logits, state = model.step_model.step(np.array([token_id], np.uint32), state)
    for n in range(tokens):
        scores = logits[0].astype(np.float64)
        if n == 0 and first:
            scores[[i for i in range(len(scores)) if i not in first]] = -np.inf
        p = np.exp((scores - scores.max()) / 0.8)
        ids.append(int(random.choice(len(p), p=p / p.sum())))
        if ids[-1] == 0:
            break
        logits, state = model.step_model.step(np.array(ids[-1:], np.uint32), state)
    ids = [i for i in ids if i]
    return model.tokenizer.decode(ids[::-1] if backward else ids)


@pytest.mark.parametrize(("name", "letters"), [("lstm", ("雨", "山")), ("backward", ("雨", "山"))])
def test_the_script_of_onnx_begins_like_write(tmp_path, name, letters):
    model = saved(tmp_path, name, heading="", opening=opening(read_bundle(OLD / name).tokenizer, *letters))
    folder = export(model.path, "onnx", tmp_path / "onnx")
    begins = beginning(read_bundle(model.path))
    properties = onnxruntime.InferenceSession(folder / "step.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(properties["beginning"]) == json.loads(json.dumps(dataclasses.asdict(begins)))
    assert set(json.loads(properties["beginning"])) == {"prefix", "first_tokens"}
    backward = name == "backward"
    written = subprocess.run(
        [sys.executable, folder / "write.py", "", "12", "3"], capture_output=True, encoding="utf-8", check=True
    ).stdout.removesuffix("\n")
    assert written == drawn(model, begins.prefix, begins.first_tokens, 3, 12, backward)
    assert written[-1 if backward else 0] in letters
    prompted = subprocess.run(
        [sys.executable, folder / "write.py", "风雨", "12", "3"], capture_output=True, encoding="utf-8", check=True
    ).stdout.removesuffix("\n")
    read = model.tokenizer.encode("风雨").tolist()
    rest = drawn(model, [0, *(read[::-1] if backward else read)], (), 3, 12, backward)
    assert prompted == (rest + "风雨" if backward else "风雨" + rest)
