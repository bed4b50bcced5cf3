"""What goes to which stream, and what happens where a stream is closed, missing, narrow or broken."""

import ast
import io
import json
import sys
from pathlib import Path

import pytest

import ostinato
from ostinato.terminal import activity, draw, erase, is_terminal, note, prepare_streams, say, say_json, showing


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


class Encoded(io.TextIOWrapper):
    """A strict stream of an encoding."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    @property
    def written(self):
        self.flush()
        return self.buffer.getvalue()


def test_a_pipe_gets_the_text_as_it_is(capsys):
    say("\x1b[31m\u202e分")
    note("\x9b")
    assert capsys.readouterr() == ("\x1b[31m\u202e分\n", "\x9b\n")


def test_a_terminal_gets_escapes(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Screen())
    say("\x1b[31m\u202e分")
    say("\x1b[0m", styled=True)
    say_json({"a": "\x1b\x9b\u202e"})
    lines = sys.stdout.getvalue().splitlines()
    assert lines[:2] == [r"\x1b[31m\u202e分", "\x1b[0m"]
    assert "\x9b" not in lines[2]
    assert json.loads(lines[2]) == {"a": "\x1b\x9b\u202e"}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk"])
def test_an_encoding_that_lacks_characters_loses_nothing(monkeypatch, encoding):
    stream = Encoded(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say("𠮷 é")  # strict, without prepare_streams
    prepare_streams()
    say("𠮷 é")
    say_json({"text": "𠮷 é 分"})
    first, second, third = stream.written.splitlines()
    assert first == second
    assert b"\\U00020bb7" in first
    assert json.loads(third) == {"text": "𠮷 é 分"}


def test_missing_and_closed_streams(monkeypatch, capsys):
    for gone in (None, io.StringIO()):
        if gone is not None:
            gone.close()
        monkeypatch.setattr(sys, "stdout", gone)
        say("result")  # goes to standard error
        assert not is_terminal(gone)
    assert capsys.readouterr().err == "result\nresult\n"
    monkeypatch.setattr(sys, "stderr", None)
    note("nothing")
    say("nothing")
    say_json([1])
    prepare_streams()


def test_a_stream_that_knows_nothing_of_terminals(monkeypatch):
    class Bare:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Bare())
    monkeypatch.setattr(sys, "stderr", Bare())
    say("a")
    note("b")
    assert (sys.stdout.text, sys.stderr.text) == ("a\n", "b\n")


def test_a_broken_standard_error_ends_nothing_and_a_broken_output_does(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    note("lost")
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(BrokenPipeError):
        say("lost")


def test_a_note_takes_the_drawn_line_away(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    draw("\x1b bar\n")
    note("note")
    erase()
    assert sys.stderr.getvalue() == "\r\x1b[K\\x1b bar \r\x1b[Knote\n"


def test_an_activity_is_shown_only_where_told_and_only_when_it_takes_time(monkeypatch):
    import threading

    module = sys.modules["ostinato.terminal.activity"]
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    with activity("evaluating"):
        pass
    assert sys.stderr.getvalue() == ""
    seen = threading.Event()
    monkeypatch.setattr(module, "draw", lambda text: (draw(text), seen.set()))
    with showing(True), activity("evaluating"):
        assert seen.wait(10)
    assert "| evaluating ... 0:00" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r\x1b[K")


def test_an_activity_is_a_line_in_a_pipe(monkeypatch, capsys):
    import threading

    module = sys.modules["ostinato.terminal.activity"]
    monkeypatch.setattr(module, "_FIRST_LINE_SECONDS", 0.0)
    seen = threading.Event()
    monkeypatch.setattr(module, "note", lambda text: (note(text), seen.set()))
    with showing(True), activity("counting n-grams"):
        assert seen.wait(10)
    assert capsys.readouterr().err == "counting n-grams ...\n"


def test_nothing_else_prints():
    """In the rooms that talk to people, no call of print and no write to a standard stream."""
    package = Path(ostinato.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        if path.parent.name in ("terminal", "files"):  # files: scripts that an export copies
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called == "print" or called.startswith(("sys.stdout.write", "sys.stderr.write", "sys.__std")):
                    found.append(f"{path.relative_to(package)}:{node.lineno} {called}")
    assert found == []
