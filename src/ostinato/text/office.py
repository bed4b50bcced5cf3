"""The text of `.docx`, `.odt`, `.epub` and `.pdf` files.

The first three are zips of XML and HTML, which Python reads by itself; a PDF needs pypdf, the extra `documents`.
"""

import io
import logging
import posixpath
import re
import xml.etree.ElementTree as Xml
import zipfile
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import unquote

from ostinato.errors import MissingExtraError, TextError, needs
from ostinato.text.archives import BROKEN
from ostinato.text.lines import page_text

LARGEST = 1 << 28
"""Bytes of one part of a document once unpacked."""

OLD_FORMATS = ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file"), (b"{\\rtf", "an RTF file"))


def refuse_formats(head: bytes, name: str) -> None:
    """Raises TextError for a file whose first bytes are those of a document that is not read, and says what to do."""
    for start, what in OLD_FORMATS:
        if head.startswith(start):
            raise TextError(f"{name} is {what}, not a text: save it as plain text or .docx")


def document_text(kind: str, stream: BinaryIO, name: str) -> str:
    """The text of a document of that kind (an ending of READERS). Raises TextError, MissingExtraError."""
    try:
        text = READERS[kind](stream)
    except (TextError, MissingExtraError) as error:
        raise type(error)(f"{name}: {error}") from None
    except (*BROKEN, Xml.ParseError, KeyError, ValueError, OSError, RecursionError) as error:
        raise TextError(f"{name} is not a readable {kind} file: {error}") from None
    if not text.strip():
        raise TextError(f"{name} holds no text: its pages may be pictures")
    return re.sub("\n{3,}", "\n\n", text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n") + "\n"


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > LARGEST or info.file_size > max(1 << 20, 300 * info.compress_size):
        raise TextError(f"its part {name} would unpack to {info.file_size:,} bytes: save it as plain text")
    return archive.read(info)


def _docx(stream: BinaryIO) -> str:
    """Paragraphs of the document's body; what was deleted, field codes and fallbacks for old programs are left out."""
    word = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    fallback = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
    breaks = {f"{word}tab": "\t", f"{word}br": "\n", f"{word}cr": "\n"}

    def read(element: Xml.Element) -> Iterator[str]:
        if element.tag == f"{word}t":
            yield element.text or ""
        elif element.tag in breaks:
            yield breaks[element.tag]
        elif element.tag not in (fallback, f"{word}tabs"):
            for child in element:
                yield from read(child)
            if element.tag == f"{word}p":
                yield "\n"

    with zipfile.ZipFile(stream) as archive:
        return "".join(read(_xml(_part(archive, "word/document.xml"))))


def _odt(stream: BinaryIO) -> str:
    """Paragraphs and headings of an OpenDocument text."""
    text = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
    breaks = {f"{text}tab": "\t", f"{text}line-break": "\n", f"{text}s": " "}

    def read(element: Xml.Element, inside: bool) -> Iterator[str]:
        if element.tag in (f"{text}tracked-changes", f"{text}sequence-decls"):
            return
        begins = element.tag in (f"{text}p", f"{text}h")
        inside = inside or begins
        if inside:
            yield breaks.get(element.tag, "") + (element.text or "")
        for child in element:
            yield from read(child, inside)
            if inside and child.tail:
                yield child.tail
        if begins:
            yield "\n"

    with zipfile.ZipFile(stream) as archive:
        return "".join(read(_xml(_part(archive, "content.xml")), False))


def _epub(stream: BinaryIO) -> str:
    """The chapters in the order of the book's spine, without its table of contents."""
    with zipfile.ZipFile(stream) as archive:
        root = _xml(_part(archive, "META-INF/container.xml")).find(".//{*}rootfile")
        if root is None:
            raise TextError("its container.xml names no book")
        folder = posixpath.dirname(root.attrib["full-path"])
        book = _xml(_part(archive, root.attrib["full-path"]))
        items = {item.attrib["id"]: item.attrib for item in book.iterfind(".//{*}manifest/{*}item")}
        chapters = []
        for reference in book.iterfind(".//{*}spine/{*}itemref"):
            item = items[reference.attrib["idref"]]
            if "nav" in item.get("properties", "").split() or "html" not in item.get("media-type", "html"):
                continue
            markup = _part(archive, posixpath.normpath(posixpath.join(folder, unquote(item["href"]))))
            try:
                wide = markup.startswith((b"\xff\xfe", b"\xfe\xff"))
                chapters.append(page_text(markup.decode("utf-16" if wide else "utf-8-sig")))
            except UnicodeDecodeError:
                raise TextError(f"its chapter {item['href']} is encrypted or damaged") from None
        return "\n".join(chapters)


def _xml(data: bytes) -> Xml.Element:
    """The root of an XML document; entities of its own are refused, since a few lines of them can fill the memory."""
    if b"<!ENTITY" in data:
        raise TextError("it defines XML entities: save it as plain text")
    return Xml.fromstring(data)


def _pdf(stream: BinaryIO) -> str:
    with needs("documents", "reading PDF"):
        import pypdf
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every oddity of a file
    try:
        reader = pypdf.PdfReader(io.BytesIO(stream.read(LARGEST)))
        if reader.is_encrypted and not reader.decrypt(""):
            raise TextError("it is encrypted: save it without a password")
        return "\n".join(page.extract_text() for page in reader.pages)
    except TextError:
        raise
    except Exception as error:  # a damaged PDF raises whatever pypdf stumbled over
        raise TextError(f"it is not a PDF that pypdf can read ({error or type(error).__name__})") from None


READERS: dict[str, Callable[[BinaryIO], str]] = {".docx": _docx, ".odt": _odt, ".epub": _epub, ".pdf": _pdf}
