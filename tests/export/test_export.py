"""What every format shares: the table, where the export goes, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.bundle import network_of, read_bundle, write_bundle
from ostinato.cli.main import main
from ostinato.errors import BundleError, UsageError
from ostinato.export import FORMATS, export
from ostinato.ngram import read_arpa, token_names

OLD = Path(__file__).parents[1] / "old"


@pytest.fixture
def model(tmp_path):
    shutil.copytree(OLD / "lstm" / "model", tmp_path / "songs")
    return tmp_path / "songs"


def test_the_default_place_is_beside_the_model(model):
    path = export(model, "huggingface")
    assert path == model.with_name("songs-huggingface")
    assert (path / "config.json").is_file()


def test_a_path_that_exists_is_kept(model, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert main(["export", str(model), "--to", "huggingface", "-o", str(tmp_path / "out")]) == 2
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
    assert main(["export", str(model), "--to", "huggingface", "-o", str(tmp_path / "out"), "--overwrite"]) == 0
    assert not (tmp_path / "out" / "thesis.txt").exists()


def test_a_failure_leaves_nothing(model, tmp_path, monkeypatch):
    def fails(bundle, path):
        path.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ostinato.export.huggingface.write", fails)
    with pytest.raises(BundleError, match="No space left"):
        export(model, "huggingface", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["songs"]


@pytest.mark.parametrize(("name", "to"), [("kneser-ney", "onnx"), ("lstm", "arpa"), ("mixture", "arpa")])
def test_a_kind_that_the_format_does_not_have(name, to):
    with pytest.raises(UsageError, match="cannot be exported to"):
        export(OLD / name, to)


@pytest.mark.parametrize("name", ["mixture", "lstm"])
def test_what_is_not_counted_says_how_an_arpa_file_is_made(name):
    with pytest.raises(UsageError, match=r"it can be exported to html.*; for an n-gram .* --recipe kneser-ney$"):
        export(OLD / name, "arpa")


@pytest.mark.parametrize("to", ["huggingface", "html"])
def test_of_a_mixture_that_the_format_does_not_take_the_network_is_exported(to, tmp_path, capsys):
    bundle = read_bundle(OLD / "mixture")
    network = network_of(bundle)
    model = bundle.config["model"]
    cache = {"kind": "cache", "model": {"window": 5, "vocabulary_size": model["vocabulary_size"]}}
    other = {**model, "parts": [cache, model["parts"][1]]}
    assert model["parts"][1]["kind"] == "recurrent"
    for name, one, model in (("alone", network, network.config["model"]), ("mixture", bundle, other)):
        config = {k: v for k, v in one.config.items() if k != "format"} | {"model": model}
        write_bundle(tmp_path / name, config=config, tokenizer=bundle.tokenizer, tensors=dict(one.tensors), card="")
    for name in ("alone", "mixture"):
        assert main(["export", str(tmp_path / name), "--to", to, "-o", str(tmp_path / "out" / name)]) == 0
    assert "the network alone is exported" in capsys.readouterr().err
    if to == "huggingface":
        files = [(tmp_path / "out" / name / "model.safetensors").read_bytes() for name in ("alone", "mixture")]
        assert files[0] == files[1]


def test_unknown_formats_and_missing_models(tmp_path, capsys):
    with pytest.raises(UsageError, match="must be one of html"):
        export(OLD / "lstm", "pdf")
    with pytest.raises(BundleError, match="no model at"):
        export(tmp_path / "none", "onnx")
    with pytest.raises(SystemExit):
        main(["export", str(OLD / "lstm"), "--to", "pdf"])
    assert "invalid choice" in capsys.readouterr().err


def test_a_missing_package_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert main(["export", str(OLD / "lstm"), "--to", "onnx", "-o", str(tmp_path / "x")]) == 1
    assert "pip install 'ostinato[onnx]'" in capsys.readouterr().err


def test_arpa_reads_back(tmp_path):
    path = export(OLD / "kneser-ney", "arpa", tmp_path / "songs.arpa")
    original = ostinato.load(OLD / "kneser-ney")
    model, _ = read_arpa(path, token_names(original.tokenizer))
    ids = original.ids("风在春里等你")
    np.testing.assert_allclose(model.score(ids), original.step_model.score(ids), atol=1e-5)


def test_the_table_names_modules_that_exist():
    assert all(callable(entry.write) for entry in FORMATS.values())
