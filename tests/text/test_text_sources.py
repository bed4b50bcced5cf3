"""Paths to text: files, folders, pipes, standard input, bundled corpora, and each thing that can be wrong with them."""

import io
import os
import subprocess
import sys
import threading
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import TextError, UsageError
from ostinato.text import sources
from ostinato.text.sources import read_texts, regroup


def read(*paths: str | Path, encoding: str | None = None) -> list[str]:
    return ["".join(source.pieces()) for source in read_texts(paths, encoding).sources]


def test_newlines_marks_and_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\r\n")
    (tmp_path / "a.txt").write_bytes("é".encode("utf-16"))
    texts = read_texts([tmp_path / "b.txt", str(tmp_path / "a.txt")])
    assert read(tmp_path / "b.txt", tmp_path / "a.txt") == ["one\ntwo\nthree\n\n", "é"]
    assert texts.names == ("b.txt", "a.txt")
    assert texts.notes == ()
    assert ["".join(source.pieces()) for source in texts.sources] == ["one\ntwo\nthree\n\n", "é"]  # again


def test_newlines_over_the_ends_of_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK", 3)
    path = tmp_path / "a.txt"
    path.write_bytes("ab\r\n我\r\n\r".encode())
    assert read(path) == ["ab\n我\n\n"]


def test_folders(tmp_path: Path) -> None:
    for name in ("b/z.txt", "b/a.md", "README", "a.png", ".git/x.txt", ".x.txt", "b/c/UPPER.TXT", "empty.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "empty" in name else name)
    (tmp_path / "program").write_bytes(b"\x7fELF\0")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert read(tmp_path) == ["README", "b/a.md", "b/z.txt", "b/c/UPPER.TXT"]
    assert read_texts([tmp_path]).notes == (
        f"{tmp_path}: 2 files were passed over, by its ending no text (.png, without one, binary)",
    )


def test_guesses_are_reported(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_bytes("雨下了一整夜\n".encode("gb18030"))
    notes = read_texts([tmp_path]).notes
    assert notes[0] == f"{tmp_path}/00.txt: no encoding is marked, read as gb18030"
    assert notes[-1] == "and 2 more texts in guessed encodings"
    assert len(notes) == 11


def test_an_encoding_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf\xc4\xe3")
    assert read(path, encoding="latin-1") == ["ï»¿Äã"]
    with pytest.raises(TextError, match=r"a.txt is not utf-8-sig \(byte 3\): name its encoding"):
        read(path, encoding="UTF8")
    with pytest.raises(UsageError, match="unknown encoding 'klingon'"):
        read(path, encoding="klingon")


def test_bytes_that_do_not_decode_are_found_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("我".encode() * 700_000 + b"\xff")
    with pytest.raises(TextError, match=r"a.txt is not utf-8-sig \(byte 2100000\)"):
        read(path, encoding="utf-8")
    path.write_bytes("ab".encode("utf-16-le") + b"\0")
    with pytest.raises(TextError, match=r"a.txt is not utf-16-le"):
        read(path, encoding="utf-16-le")


def test_bundled_corpora_are_not_shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lyrics-en").write_text("mine")
    bundled = (resources.files("ostinato") / "corpora" / "lyrics-en.txt").read_text("utf-8")
    assert read("lyrics-en") == [bundled]
    assert read("./lyrics-en") == ["mine"]
    assert [source.bundled for source in read_texts(["lyrics-en", "./lyrics-en"]).sources] == [True, False]


def test_standard_input_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("雨\n".encode("gb18030") * 9)))
    texts = read_texts(["-"])
    assert ["".join(texts.sources[0].pieces()) for _ in range(2)] == ["雨\n" * 9] * 2
    assert texts.names == ("standard input",)
    assert texts.notes == ("standard input: no encoding is marked, read as gb18030",)
    with pytest.raises(TextError, match="standard input is empty"):
        read("-")


def test_pipes_are_spooled(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("through a pipe",))
    writer.start()
    assert read(path) == ["through a pipe"]
    writer.join()


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    empty, binary, folder = tmp_path / "empty.txt", tmp_path / "a.bin", tmp_path / "folder"
    empty.touch()
    binary.write_bytes(bytes(range(256)))
    folder.mkdir()
    (folder / "a.png").touch()
    for path, message in [
        (tmp_path / "no.txt", "no.txt does not exist"),
        (empty / "x.txt", "x.txt cannot be read: Not a directory"),
        (empty, "empty.txt is empty"),
        (binary, "a.bin looks like a binary file, not a text"),
        (folder, r"folder holds no text: no file in it ends in \.csv"),
        (Path(os.devnull), "is neither a file nor a folder"),
        ("x" * 300, "cannot be read: File name too long"),
    ]:
        with pytest.raises(TextError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(TextError, match="no text was given"):
        read()


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    ready = read_texts([path]).sources[0]

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    for attempt in (lambda: read(path), lambda: list(ready.pieces())):
        with pytest.raises(TextError, match=r"a.txt cannot be read: Permission denied"):
            attempt()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(TextError, match="cannot be read: Permission denied"):
        read(tmp_path)


@given(st.lists(st.text("ab \n", max_size=9)), st.integers(1, 6))
def test_pieces_are_small_and_end_after_newlines(chunks: list[str], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "PIECE", size)
        pieces = list(regroup(chunks))
    text = "".join(chunks)
    assert "".join(pieces) == text
    for piece in pieces:
        assert 0 < len(piece) < size + 2 * max(map(len, chunks))
    for piece in pieces[:-1]:
        assert piece.endswith("\n") or ("\n" not in piece and (piece.endswith(" ") or " " not in piece))


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, ostinato.text; print({'torch', 'rjieba', 'chardet'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    try:
        for name, data in ((b"a\xff.txt", "我们在一起，"), (b"b\xfe.txt", "等你回来。")):
            Path(os.fsdecode(os.path.join(folder, name))).write_bytes(data.encode("gb18030") * 40)
    except OSError:
        pytest.skip("the file system refuses such names")
    texts = read_texts([os.fsdecode(os.path.join(folder, b"a\xff.txt")), tmp_path])
    assert texts.names == ("a\\udcff.txt", tmp_path.name)
    assert [Path(source.name).name for source in texts.sources] == ["a\\udcff.txt", "a\\udcff.txt", "b\\udcfe.txt"]
    assert ["".join(source.pieces())[0] for source in texts.sources] == ["我", "我", "等"]
    assert "a\\udcff.txt: no encoding is marked" in texts.notes[0]
    "".join([*texts.names, *texts.notes]).encode()
