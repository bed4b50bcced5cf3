"""Zips: streamed members, and every broken or hostile one refused in one line."""

import gzip
import random
import zipfile
import zlib
from pathlib import Path

import pytest

from ostinato.errors import TextError
from ostinato.text import archives, read_texts


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read(path: Path | str) -> dict[str, str]:
    return {source.name: "".join(source.pieces()) for source in read_texts([path]).sources}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_read_sorted_and_filtered(tmp_path: Path, method: int) -> None:
    path = write_zip(
        tmp_path / "songs.zip",
        {"b/two.txt": "二\r\n".encode(), "a.md": b"one", "cover.jpg": b"\0", ".hidden.txt": b"x", "empty.txt": b"",
         "__MACOSX/a.md": b"x", "b/.git/c.txt": b"x"},
        method,
    )  # fmt: skip
    assert read(path) == {f"{path}/a.md": "one", f"{path}/b/two.txt": "二\n"}
    assert read_texts([path]).notes == (f"{path}: 1 file was passed over, by its ending no text (.jpg)",)
    assert read_texts([path]).names == ("songs.zip",)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_member_or_folder_can_be_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "songs.zip", {"a/one.txt": b"1", "a/two.lyrics": b"2", "ab.txt": b"3"})
    assert read(path / "a") == {f"{path}/a/one.txt": "1"}
    assert read(path / "a/two.lyrics") == {f"{path}/a/two.lyrics": "2"}
    with pytest.raises(TextError, match=r"songs.zip has no member b/c.txt"):
        read(path / "b/c.txt")


def test_a_zip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "songs", {"one.txt": b"1"})
    assert list(read(path).values()) == ["1"]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="holds no text: no file in it ends in"):
        read(write_zip(tmp_path / "pictures.zip", {"a.png": b"1"}))
    with pytest.raises(TextError, match="holds no text"):
        read(write_zip(tmp_path / "none.zip", {}))
    with pytest.raises(TextError, match="is empty"):
        read(write_zip(tmp_path / "empty.zip", {"a.txt": b""}))


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 40])
def test_broken_zips(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(data)
    with pytest.raises(TextError, match=r"broken.zip is not a readable zip"):
        read(path)


def test_a_member_without_a_name(tmp_path: Path) -> None:
    """Found by fuzzing."""
    data = write_zip(tmp_path / "a.zip", {"q": b"1"}).read_bytes().replace(b"q", b"\0")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(TextError, match=r"a.zip is not a readable zip: a member has no name"):
        read(tmp_path / "a.zip")


def test_damaged_member(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": random.Random(1).randbytes(2000).hex().encode()})
    data = bytearray(path.read_bytes())
    data[400] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(TextError, match="is broken or packed in an unknown way"):
        read(path)


def test_encrypted_member(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"secret"})
    data = path.read_bytes()
    for header in (b"PK\x03\x04", b"PK\x01\x02"):  # set the flag in the local header and in the directory
        at = data.index(header) + (6 if header[2] == 3 else 8)
        data = data[:at] + b"\x01" + data[at + 1 :]
    path.write_bytes(data)
    with pytest.raises(TextError, match=r"a.txt is encrypted: unpack it first"):
        read(path)


def test_caps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "many.zip", {f"{n}.txt": b"12345" for n in range(5)})
    monkeypatch.setattr(archives, "MAX_MEMBERS", 4)
    with pytest.raises(TextError, match="has 5 members, more than 4"):
        read(path)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 5)
    monkeypatch.setattr(archives, "MAX_BYTES", 24)
    with pytest.raises(TextError, match="would unpack to 25 bytes, more than 24"):
        read(path)


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"bomb.txt": b"0" * (8 << 20)})
    with pytest.raises(TextError, match=r"bomb.txt would unpack to \d+ times its size, more than 200"):
        read(path)
    assert list(read(write_zip(tmp_path / "small.zip", {"a.txt": b"0" * 500_000})).values()) == ["0" * 500_000]


def test_a_member_never_gives_more_than_it_declares(tmp_path: Path) -> None:
    """A directory that understates the size, to get past the caps, ends in an error, not in more bytes."""
    path = write_zip(tmp_path / "liar.zip", {"a.txt": b"0" * 5000})
    data = path.read_bytes()
    true, false = (5000).to_bytes(4, "little"), (50).to_bytes(4, "little")
    check = [zlib.crc32(b"0" * size).to_bytes(4, "little") for size in (5000, 50)]
    path.write_bytes(data.replace(true, false))
    with pytest.raises(TextError, match="is broken"):
        read(path)
    path.write_bytes(data.replace(true, false).replace(*check))
    assert list(read(path).values()) == ["0" * 50]


def test_flipped_bytes_never_escape_as_other_errors(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "a.zip", {"a.txt": b"some words " * 9, "b/c.txt": b"more words " * 9}).read_bytes()
    path = tmp_path / "fuzz.zip"
    rng = random.Random(7)
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data)) if rng.random() < 0.1 else len(data)])
        try:
            read(path)
        except TextError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_the_gzip_files_of_one_reading_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SUM_FROM", 1 << 16)
    for number in range(4):
        (tmp_path / f"{number}.txt.gz").write_bytes(gzip.compress(b"all the same words\n" * 1500))
    assert len(read(tmp_path / "0.txt.gz")) == 1
    monkeypatch.setattr(archives, "MAX_RATIO", 20)
    with pytest.raises(TextError, match=r"2.txt.gz, with what was unpacked before it, unpacks to more than 20 times"):
        read(tmp_path)
