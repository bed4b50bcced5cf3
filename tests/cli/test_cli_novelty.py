import json

import pytest

from ostinato.cli.main import main


@pytest.fixture
def model(verses, tmp_path, capsys):
    folder = tmp_path / "m"
    assert main(["train", str(verses), "-o", str(folder), "--recipe", "kneser-ney", "--json"]) == 0
    capsys.readouterr()
    return folder


def test_novelty_of_what_is_written(model, capsys):
    assert main(["write", str(model), "风", "--lines", "3", "--seed", "1", "--temperature", "0.1", "--novelty"]) == 0
    assert "novelty: the longest copy is" in capsys.readouterr().err
    assert (
        main(["write", str(model), "风", "--tokens", "30", "--seed", "1", "--count", "2", "--novelty", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert all(text["novelty"]["longest"]["length"] >= 1 for text in report["texts"])


def test_max_copy_is_kept(model, capsys):
    arguments = ["write", str(model), "风", "--tokens", "60", "--seed", "2", "--novelty", "--json"]
    assert main([*arguments, "--max-copy", "3"]) == 0
    (text,) = json.loads(capsys.readouterr().out)["texts"]
    assert text["novelty"]["longest"]["length"] <= 3
    assert text["novelty"]["shares"].get("4", 0) == 0
    assert main([*arguments, "--max-copy", "0"]) == 2
    assert "--max-copy must be 1 or more, got 0" in capsys.readouterr().err


def test_a_model_without_its_text_says_so(model, tmp_path, capsys):
    (model / "model").rename(tmp_path / "alone")
    assert main(["write", str(tmp_path / "alone"), "--tokens", "5", "--max-copy", "3"]) == 2
    assert "copies cannot be found" in capsys.readouterr().err


def test_per_token(model, tmp_path, capsys, monkeypatch):
    text = tmp_path / "t.txt"
    text.write_text("# 歌\n风在春里等你", "utf-8")
    assert main(["score", str(model), str(text), "--per-token"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["per_token"]) == report["tokens"]
    assert report["per_token"][0].keys() == {"id", "token", "bits", "rank"}
    total = sum(token["bits"] for token in report["per_token"])
    assert total / report["characters"] == pytest.approx(report["bits_per_character"])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["score", str(model), str(text), "--per-token"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[30;48;5;" in out
    assert "bits per character" in out
