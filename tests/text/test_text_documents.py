"""Cutting a text into documents, against plain string operations on the whole text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import SettingsError
from ostinato.settings import TextSettings
from ostinato.text import documents, sources
from ostinato.text.documents import cut_documents, resolve_documents
from ostinato.text.sources import Source, regroup


class Text(Source):
    """A source that is a string."""

    def __init__(self, text: str, bundled: bool = False) -> None:
        super().__init__("text", lambda: (_ for _ in ()).throw(AssertionError), "utf-8", False, bundled)
        object.__setattr__(self, "text", text)

    def pieces(self):  # type: ignore[no-untyped-def]
        size = sources.PIECE
        return regroup(self.text[at : at + size] for at in range(0, len(self.text), size))  # type: ignore[attr-defined]


def cut(*texts: str, **settings: object) -> list[str]:
    found, parts = [], []
    for piece in cut_documents([Text(text) for text in texts], TextSettings(**settings)):  # type: ignore[arg-type]
        parts.append(piece.text)
        if piece.last:
            found.append("".join(parts))
            parts = []
    assert parts == []
    return found


SONGS = "\npreface\n\n# One\na\n\nb\n\n\n# Two\n# Three\n  \nc \n\n"


def test_kinds() -> None:
    assert cut(SONGS, "x\n", documents="files") == [SONGS, "x\n"]
    assert cut(SONGS, documents="lines") == ["preface", "# One", "a", "b", "# Two", "# Three", "c "]
    assert cut(SONGS, documents="paragraphs") == ["preface", "# One\na", "b", "# Two\n# Three", "c "]
    assert cut(SONGS, documents="^# ") == ["preface", "# One\na\n\nb", "# Two", "# Three\n  \nc "]
    assert cut(SONGS, "x", documents="T") == ["preface\n\n# One\na\n\nb", "# Two", "# Three\n  \nc ", "x"]
    assert cut("title:poem\nother:poem", documents="lines") == ["title:poem", "other:poem"]
    for kind in ("lines", "paragraphs", "^# "):
        assert cut(" \n\n", "", documents=kind) == []


def test_the_limit_counts_characters_of_the_whole_text() -> None:
    assert cut("abc\n", "def", "ghi", documents="files", limit=5) == ["abc\n", "d"]
    assert cut("abc\n", "def", documents="files", limit=4) == ["abc\n"]
    assert cut("abc", documents="files", limit=9) == ["abc"]
    assert cut("ab\ncd\n", documents="lines", limit=4) == ["ab", "c"]


def test_newlines_become_blanks_after_cutting() -> None:
    assert cut("a\nb\n", documents="files", newlines="blank", limit=3) == ["a b"]
    assert cut("# a\nb\n\n# c", documents="^# ", newlines="blank") == ["# a b", "# c"]


def reference(text: str, kind: str) -> list[str]:
    lines = text.split("\n")
    if kind == "lines":
        return [line for line in lines if line.strip()]
    if kind == "files":
        return [text] if text else []
    groups: list[list[str]] = [[]]
    for before, line in zip(["", *lines], lines, strict=False):
        if (not before.strip() and line.strip()) if kind == "paragraphs" else re.search(kind, line):
            groups.append([])
        groups[-1].append(line)
    return [re.sub(r"\A([^\S\n]*\n)+|(\n\s*)+\Z", "", "\n".join(group)) for group in groups if "".join(group).strip()]


@given(st.text("a# \n\t", max_size=40), st.sampled_from(["files", "lines", "paragraphs", "^#", "a$"]))
def test_cutting_is_that_of_the_whole_text(text: str, kind: str) -> None:
    assert cut(text, documents=kind) == reference(text, kind)


@given(
    st.text("a# \n", max_size=60),
    st.sampled_from(["files", "lines", "paragraphs", "^#"]),
    st.integers(5, 9),
)
def test_pieces_do_not_matter_where_lines_are_short(text: str, kind: str, size: int) -> None:
    text = re.sub(r"([^\n]{4})", r"\1\n", text)
    whole = cut(text, documents=kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE", size)
        patch.setattr(documents, "PIECE", size)
        assert cut(text, documents=kind) == whole
        for piece in cut_documents([Text(text)], TextSettings(documents=kind)):
            assert 0 < len(piece.text) < 3 * size
            assert piece.last or piece.text.endswith("\n")


def test_overlong_lines_come_in_parts_of_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PIECE", 4)
    monkeypatch.setattr(documents, "PIECE", 4)
    assert cut("# abcdefgh\n# ab", documents="^# ") == ["# abcdefgh", "# ab"]
    assert cut("abcdefgh\nab\n\n", documents="lines") == ["abcdefgh", "ab"]


def test_auto_and_wrong_rules() -> None:
    assert resolve_documents("auto", [Text("a"), Text("b")]) == "files"
    assert resolve_documents("auto", [Text("a"), Text("b", bundled=True)]) == "^# "
    assert resolve_documents("lines", [Text("a", bundled=True)]) == "lines"
    assert resolve_documents("^Chapter", []) == "^Chapter"
    with pytest.raises(SettingsError, match=r"documents must be .* or a regular expression, got '\(': missing"):
        resolve_documents("(", [])
