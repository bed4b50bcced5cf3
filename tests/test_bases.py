"""The bundled bases: by name, whole, small, with their terms; opened only when asked for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.bases import BASES, base_folder
from ostinato.bundle import find_bundle, read_bundle, verify_folder
from ostinato.cli.main import main
from ostinato.errors import BundleError, MissingModelError


@pytest.mark.parametrize("name", BASES)
def test_a_base_is_whole_and_small_and_says_what_it_is(name):
    folder = base_folder(name)
    verify_folder(folder)
    bundle = read_bundle(Path(name))
    assert bundle.path == folder
    assert bundle.config["storage"] in ("int8", "float16")
    assert all(value.dtype == np.float32 for value in bundle.tensors.values())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 6_000_000
    assert "the texts themselves are not in it" in bundle.card
    assert "public domain" in bundle.card
    for source in bundle.config["base"]["sources"]:
        assert source["terms"]
        assert source["name"] in bundle.card
    assert not (folder.parent / "text").exists()
    note = (folder.parent / "README.md").read_text("utf-8")
    assert name in note
    assert "Apache License 2.0" in note


def test_the_figures_of_the_card_are_the_models(tmp_path):
    """The first songs of the lyrics, which no base has learnt, cost about what the card says of those it has not."""
    for name, corpus in (("base-en", "lyrics-en"), ("base-zh", "lyrics-zh")):
        model = ostinato.load(name)
        unseen = next(one for one in model.config["base"]["unseen"] if one["name"].startswith(corpus))
        text = (Path(ostinato.__file__).parent / "corpora" / f"{corpus}.txt").read_text("utf-8")[:1500]
        assert model.score(text).bits_per_character == pytest.approx(unseen["measured"]["bits_per_character"], rel=0.25)


def test_commands_take_a_base_by_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["info", "base-en"]) == 0
    assert "# base-en: a base model to start from" in capsys.readouterr().out
    assert main(["write", "base-en", "The", "--lines", "1", "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith("The")
    (tmp_path / "t.txt").write_text("And the night was long\n")
    assert main(["score", "base-en", "t.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_character"] < 3
    assert not list(tmp_path.glob("base*"))


def test_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).parent / "old" / "lstm", tmp_path / "base-en")
    assert find_bundle(Path("base-en")) == Path("base-en/model")
    with pytest.raises(MissingModelError, match="the folder does not exist"):
        find_bundle(Path("base-fr"))
    with pytest.raises(MissingModelError, match="the folder does not exist"):
        find_bundle(tmp_path / "base-zh")


def test_a_base_that_was_cut_short_is_refused(tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(base_folder("base-en"), broken)
    content = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="does not match its checksum"):
        read_bundle(broken)
    (tmp_path / "t.txt").write_text("the night and the day\n" * 100)
    assert main(["train", str(tmp_path / "t.txt"), "-o", str(tmp_path / "m"), "--from", str(broken)]) != 0
    assert "does not match its checksum" in capsys.readouterr().err


def test_a_copy_stays_small(tmp_path):
    model = ostinato.load("base-en")
    model.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "model.safetensors").stat().st_size < 3_000_000
    assert ostinato.load(tmp_path / "copy").write("The", lines=1, seed=3) == model.write("The", lines=1, seed=3)


def test_no_base_is_opened_unasked():
    code = (
        "import sys, io, builtins, os; real = os.open\n"
        "def watched(path, *a, **k):\n    assert 'base-' not in str(path), path\n    return real(path, *a, **k)\n"
        "os.open = watched\n"
        "import ostinato, ostinato.cli.main as m; m.build_parser(); import ostinato.bundle\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_base_is_exported_and_restored_in_float32(tmp_path):
    assert main(["export", "base-en", "--to", "huggingface", "-o", str(tmp_path / "hf")]) == 0
    assert (tmp_path / "hf" / "model.safetensors").stat().st_size > 9_000_000
    assert main(["export", str(tmp_path / "hf"), "--to", "ostinato", "-o", str(tmp_path / "again")]) == 0
    base, again = read_bundle(Path("base-en")), read_bundle(tmp_path / "again")
    assert "storage" not in again.config
    for name, value in base.tensors.items():
        assert np.array_equal(again.tensors[name], value)
