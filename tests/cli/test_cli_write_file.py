"""`write -o FILE`: whole or not at all."""

import json

import pytest

from ostinato.cli.main import main


def test_a_file_holds_what_would_be_printed(model, tmp_path, capsys):
    for name, options in {"one": [], "several": ["--count", "3"], "json": ["--json", "--count", "2"]}.items():
        command = ["write", str(model), "风", "--tokens", "12", "--seed", "4", *options]
        assert main(command) == 0
        printed = capsys.readouterr().out
        file = tmp_path / f"{name}.txt"
        file.write_text("old", "utf-8")
        assert main([*command, "-o", str(file)]) == 0
        said = capsys.readouterr()
        assert said.out == ""
        assert f"written to {file}" in said.err
        written = file.read_text("utf-8")
        assert json.loads(written) == json.loads(printed) if name == "json" else written == printed


def test_an_old_file_stays_where_nothing_can_be_written(model, tmp_path, capsys):
    file = tmp_path / "t.txt"
    file.write_text("old", "utf-8")
    command = ["write", str(model), "风", "-o", str(file)]
    assert main([*command, "--length", "3", "--rhyme", "xyzzy", "--lines", "2"]) != 0
    assert file.read_text("utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]
    capsys.readouterr()
    assert main([*command[:-1], str(tmp_path)]) == 2
    assert "is a folder: name a file with -o" in capsys.readouterr().err


def test_no_title_and_only_known_characters(model, capsys):
    command = ["write", str(model), "--tokens", "30", "--seed", "4"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("# ")
    assert main([*command, "--no-title", "--only-known"]) == 0
    assert not capsys.readouterr().out.startswith("# ")
    with pytest.raises(SystemExit):
        main([*command, "--no-title", "--title", "x"])
    assert "not allowed with argument" in capsys.readouterr().err
