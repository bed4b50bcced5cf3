# ruff: noqa: E501 - documents of one line each
"""What files hold beside their words is left out: time codes, JSON, HTML, office documents; and what is passed over."""

import gzip
import io
import json
import stat
import zipfile
from pathlib import Path

import pytest

from ostinato.encodings import read_user_text
from ostinato.errors import TextError
from ostinato.settings import TextSettings
from ostinato.text import archives, read_texts
from ostinato.text.corpus import prepare
from ostinato.text.lines import page_text
from ostinato.text.sources import file_ending

LRC = "[ti:Rain]\n[ar:Somebody]\n[offset:+500]\n[00:01.50]The rain\n[00:04.00][01:04.00]it fell <00:05.10>all night\n\n[02:10.14]\n"
SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>The rain</i>\nit fell\n\n2\n00:00:03,000 --> 00:00:04,000 X1:40\n{\\an8}all night\n1984\n\n"
VTT = "WEBVTT\n\n00:01.000 --> 00:02.500\nThe rain\n\n00:00:03.000 --> 00:00:04.000\nall night\n"
HTML = """<!DOCTYPE html><html><head><title>No</title><style>p {}</style></head><body><h1>Rain</h1>
<p>The   rain<br>it fell &amp; <b>fell</b></p><script>alert(1)</script><div>one</div><div>two</div></body></html>"""


def texts(*paths: Path, **options: str) -> list[str]:
    return ["".join(source.pieces()) for source in read_texts(paths, **options).sources]


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.lrc", LRC, "The rain\nit fell all night\n\n\n"),
        ("a.srt", SRT, "The rain\nit fell\nall night\n1984\n"),
        ("a.vtt", VTT, "The rain\nall night\n"),
        ("a.html", HTML, "Rain\n\nThe rain\nit fell & fell\n\none\ntwo\n"),
        ("a.jsonl", '{"text": "one\\ntwo"}\n\n{"text": "three", "n": 1}\n', "one\ntwo\n\nthree\n\n"),
    ],
)
def test_only_the_words_are_read(tmp_path: Path, name: str, data: str, words: str) -> None:
    plain, packed = write(tmp_path / name, data), write(tmp_path / f"{name}.gz", gzip.compress(data.encode("utf-16")))
    assert texts(plain, packed) == [words, words]
    assert texts(tmp_path) == [words, words]
    assert "".join(read_texts([plain], plain=True).sources[0].pieces()) == data


def test_a_page_in_the_encoding_that_it_names(tmp_path: Path) -> None:
    page = '<meta charset="euc-kr"><p>안녕</p>'
    found = read_texts([write(tmp_path / "a.html", page.encode("euc-kr"))])
    assert "".join(found.sources[0].pieces()) == "안녕\n"
    assert found.notes == ()
    assert page_text("<head><title>x</title><body>kept</body>") == "kept\n"  # a head that is not closed
    assert page_text("<pre>a\n  b</pre><ruby>夜<rt>よる</rt></ruby>") == "a\nb\n夜\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"lyrics": "x"}', "line 2: has no field 'text'; its fields are \\[\"lyrics\"\\]: name one with text.field"),
        ('{"text": 3}', "line 2: 'text' is 3, not a text"),
        ("[1]", "line 2 must be a JSON object, got \\[1\\]"),
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 cannot be read: it is nested more than 40 deep"),
        ('{"text": "x", "n": NaN}', "line 2 cannot be read: NaN is not a number that JSON has"),
        ('{"text": "x", "n": -Infinity}', "line 2 cannot be read: -Infinity is not a number that JSON has"),
        ('{"text": "x", "n": 1e999}', "line 2 cannot be read: the number 1e999 is too large"),
        ('{"text": "x", "text": "y"}', "line 2 cannot be read: 'text' stands in it twice"),
        ('{"text": "a\\ud800"}', "line 2 has a lone surrogate U\\+D800, which is not a character: remove it"),
        (json.dumps({"text": ["x" * 9_000_000]}), "line 2: 'text' is .{0,70}, not a text"),
    ],
)
def test_wrong_lines_of_json(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "x"}}\n{line}\n')
    with pytest.raises(TextError, match=message) as caught:
        texts(path)
    assert len(str(caught.value)) < 600


def test_a_line_of_json_has_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.text.lines.LONGEST_LINE", 100)
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "x" * 200}))
    with pytest.raises(TextError, match="line 1 has 212 characters, more than the 100 that a record may have"):
        texts(path)


def test_each_record_is_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"body": f"song {n}\nla"}) + "\n" for n in range(30)))
    corpus = prepare([path], TextSettings(field="body"), tmp_path / "corpus")
    assert (corpus.train.documents, corpus.heldout.documents) == (27, 3)
    assert next(corpus.texts("train")) == "song 0\nla"
    lines = prepare([path], TextSettings(field="body", documents="lines"), tmp_path / "lines")
    assert lines.train.documents + lines.heldout.documents == 60


def docx(body: str) -> bytes:
    word, mc = (
        "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "http://schemas.openxmlformats.org/markup-compatibility/2006",
    )
    return packed({"[Content_Types].xml": "<Types/>",
                   "word/document.xml": f'<w:document xmlns:w="{word}" xmlns:mc="{mc}"><w:body>{body}</w:body></w:document>'})  # fmt: skip


def packed(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def epub() -> bytes:
    page = "<html xmlns='http://www.w3.org/1999/xhtml'><head><title>t</title></head><body><p>{}</p></body></html>"
    return packed({
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": "<container xmlns='urn:x'><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>",
        "OEBPS/book.opf": "<package xmlns='http://www.idpf.org/2007/opf'><manifest><item id='n' href='nav.xhtml' media-type="
        "'application/xhtml+xml' properties='nav'/><item id='b' href='two%20b.xhtml' media-type='application/xhtml+xml'/>"
        "<item id='a' href='one.xhtml' media-type='application/xhtml+xml'/></manifest>"
        "<spine><itemref idref='n'/><itemref idref='a'/><itemref idref='b'/></spine></package>",
        "OEBPS/nav.xhtml": page.format("contents"), "OEBPS/one.xhtml": page.format("Chapter one"),
        "OEBPS/two b.xhtml": page.format("Chapter two"),
    })  # fmt: skip


def odt() -> bytes:
    names = "xmlns:t='urn:oasis:names:tc:opendocument:xmlns:text:1.0' xmlns:o='urn:oasis:names:tc:opendocument:xmlns:office:1.0'"
    return packed({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml":
                   f"<o:body {names}><t:h>Rain</t:h><t:p>it <t:span>fell</t:span><t:s/>all<t:line-break/>night</t:p></o:body>"})  # fmt: skip


def pdf(words: str) -> bytes:
    stream = f"BT /F1 24 Tf 72 700 Td ({words}) Tj ET".encode() if words else b""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]  # fmt: skip
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(data),
    )


BODY = "<w:p><w:r><w:t>The rain</w:t><w:br/><w:t>it fell</w:t></w:r></w:p><w:p><w:del><w:r><w:delText>no</w:delText></w:r></w:del></w:p><w:p><w:t>all night</w:t></w:p>"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.docx", docx(BODY), "The rain\nit fell\n\nall night\n"),
        ("a.epub", epub(), "Chapter one\n\nChapter two\n"),
        ("a.odt", odt(), "Rain\nit fell all\nnight\n"),
    ],
)
def test_documents(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    assert texts(write(tmp_path / name, data)) == [words]
    assert texts(tmp_path) == [words]
    assert texts(write(tmp_path / "renamed.zip", data)) == [words]
    assert texts(write(tmp_path / "songs.zip", packed({"one.txt": "1"}))) == ["1"]
    write(tmp_path / f"bad{name}", data[:-30])
    with pytest.raises(TextError, match=f"bad{name} is not a readable .{name[2:]} file"):
        texts(tmp_path / f"bad{name}")


def test_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    assert texts(write(tmp_path / "a.pdf", pdf("The rain"))) == ["The rain\n"]
    with pytest.raises(TextError, match=r"empty.pdf holds no text: its pages may be pictures"):
        texts(write(tmp_path / "empty.pdf", pdf("")))
    with pytest.raises(TextError, match=r"bad.pdf: it is not a PDF that pypdf can read"):
        texts(write(tmp_path / "bad.pdf", b"%PDF-1.4 and nothing else"))


def test_pdf_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdf", None)
    path = write(tmp_path / "a.pdf", pdf("x"))
    with pytest.raises(ImportError, match=r"a.pdf: reading PDF needs pypdf: pip install 'ostinato\[documents\]'"):
        texts(path)


def test_documents_that_would_fill_the_memory(tmp_path: Path) -> None:
    bomb = docx('<!DOCTYPE x [<!ENTITY a "aa">]>' + BODY)
    with pytest.raises(TextError, match=r"a.docx: it defines XML entities: save it as plain text"):
        texts(write(tmp_path / "a.docx", bomb))
    with pytest.raises(TextError, match=r"its part word/document.xml would unpack to"):
        texts(write(tmp_path / "b.docx", docx("<w:p/>" * 3_000_000)))
    with pytest.raises(TextError, match=r"c.docx is not a readable .docx file"):
        texts(write(tmp_path / "c.docx", docx("<w:p>" * 50_000 + "</w:p>" * 50_000)))


@pytest.mark.parametrize(
    ("data", "what"), [(b"{\\rtf1 hello}", "an RTF file"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old")]
)
def test_other_documents_say_what_to_do(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(TextError, match=f"a is {what}.*not a text: save it as plain text or .docx"):
        texts(write(tmp_path / "a", data))


def test_the_package_of_another_format_is_no_zip_of_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jar", packed({"META-INF/MANIFEST.MF": "x", "notes.txt": "y"}))
    with pytest.raises(TextError, match=r"a.jar is the package of another format"):
        texts(path)


def test_gzip_bombs_and_damage(tmp_path: Path) -> None:
    with pytest.raises(
        TextError, match=r"bomb.txt.gz, with what was unpacked before it, unpacks to more than 200 times its size"
    ):
        texts(write(tmp_path / "bomb.txt.gz", gzip.compress(b"0" * (32 << 20))))
    with pytest.raises(TextError, match=r"no.txt.gz cannot be read: Not a gzipped file"):
        texts(write(tmp_path / "no.txt.gz", "words"))
    with pytest.raises(TextError, match=r"cut.txt.gz is broken"):
        texts(write(tmp_path / "cut.txt.gz", gzip.compress(b"words " * 99)[:-9]))


def test_two_members_of_one_name_are_read_as_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", "second")
    found = {source.name: "".join(source.pieces()) for source in read_texts([path]).sources}
    assert found == {f"{path}/a.txt": "first", f"{path}[2]/a.txt": "second"}


def test_links_in_a_zip_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("b.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "words")
    assert texts(path) == ["words"]
    assert read_texts([path]).notes == (f"{path}: 1 file was passed over, a link (b.txt)",)


def test_many_small_members_may_not_unpack_to_much_either(tmp_path: Path) -> None:
    path = write(tmp_path / "sum.zip", packed({f"{n}.txt": "0" * 1_000_000 for n in range(60)}))
    assert path.stat().st_size < 200_000
    with pytest.raises(TextError, match=r"sum.zip would unpack to \d+ times its size, more than 200"):
        texts(path)
    assert archives.SUM_FROM > 1 << 20


def test_what_is_an_ending(tmp_path: Path) -> None:
    assert [file_ending(name) for name in ("01. First Song", "a.TXT", "a/.hidden", "b.tar.gz", "Vol. 2", "v1.2")] == [
        "", ".txt", "", ".gz", "", ""]  # fmt: skip
    write(tmp_path / "01. First Song", "la la")
    assert texts(tmp_path) == ["la la"]


def test_folders_of_runs_are_passed_over_with_a_note_and_other_peoples_manifests_are_not(tmp_path: Path) -> None:
    for name in ("app/manifest.json", "run/metrics.jsonl", "run/recipe.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, "{}")
    for folder in ("app", "run"):
        write(tmp_path / folder / "song.txt", folder)
    assert texts(tmp_path) == ["app"]
    assert read_texts([tmp_path]).notes == (
        f"{tmp_path}/run was passed over: it is the output of a run, not a text to learn from",
        f"{tmp_path}: 1 file was passed over, by its ending no text (.json)",
    )


def test_records_of_other_programs_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "[1, 2]\n")
    write(tmp_path / "b.txt", "words")
    assert texts(tmp_path) == ["words"]
    assert "its lines are no JSON objects (a.jsonl)" in read_texts([tmp_path]).notes[0]


def test_a_users_text_is_read_whole_whatever_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "form.lrc"
    for data in ("雨下了\r\n[00:01.00] ____\n".encode("gb18030"), "\ufeff雨下了\r\n[00:01.00] ____\n".encode()):
        assert read_user_text(write(path, data)) == "雨下了\n[00:01.00] ____\n"
    assert read_user_text(write(path, b"")) == ""
    with pytest.raises(FileNotFoundError):
        read_user_text(tmp_path / "no.txt")
    with pytest.raises(TextError, match='a path to a text is empty \\(""\\)'):
        read_texts([""])
