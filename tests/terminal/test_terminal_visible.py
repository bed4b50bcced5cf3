"""Escapes, lengths, and encodings that lack a character."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ostinato.terminal import one_line, quoted, visible
from ostinato.terminal.visible import READABLE, readable, visible_json


def test_what_acts_on_a_terminal_becomes_visible():
    assert visible("a\x1b[31mb\x9bc\x07\r") == r"a\x1b[31mb\x9bc\x07\r".replace(r"\r", r"\x0d")
    assert visible("\u202egnp.exe\u2066") == r"\u202egnp.exe\u2066"
    assert visible("\x7f\u2028\udcff\ud800") == r"\x7f\u2028\xff\ud800"
    assert visible("分开\t🎵\n𠮷 é") == "分开\t🎵\n𠮷 é"


@given(st.text())
def test_nothing_that_acts_is_left(text):
    shown = visible(text)
    assert not [
        c for c in shown if (ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000
    ]
    assert visible(shown) == shown


@given(st.text())
def test_visible_json_is_the_same_json(text):
    assert json.loads(visible_json(json.dumps([text], ensure_ascii=False))) == [text]


@given(st.text(min_size=1), st.sampled_from(["ascii", "cp1252", "gbk", "latin-1", "utf-8", "cp437", "shift-jis"]))
def test_every_text_goes_out_in_every_encoding(text, encoding):
    assert text.encode(encoding, READABLE)
    assert readable(text, encoding)


def test_degraded_text_can_be_read():
    assert readable("步 50 %: █░ · 5 µs", "ascii") == r"\u6b65 50 %: #- - 5 us"
    assert readable("café 分", "cp1252") == r"café \u5206"
    assert readable("分", "gbk") == "分"
    assert "song\udcff".encode("utf-8", READABLE) == b"song\xff"


def test_messages_are_one_line_of_bounded_length():
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("bad: " + "x" * 9_000_000 + " end").startswith("bad: xxx")
    assert len(one_line("word " * 1_000_000)) <= 2000
    long_name = one_line("no file /" + "n" * 3000 + ".txt: give another")
    assert long_name.endswith("n.txt: give another")
    assert len(long_name) < 500


def test_arguments_are_quoted_where_a_shell_needs_it():
    assert quoted("plain-model") == "plain-model"
    assert quoted("my songs; rm") == "'my songs; rm'"
