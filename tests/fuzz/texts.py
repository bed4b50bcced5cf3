"""Fuzzers of what people give: texts in any encoding, zips, records, recipes, forms and ARPA files."""

import gzip
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

from kit import spoil, spoil_json

from ostinato.encodings import read_user_text
from ostinato.form import Form
from ostinato.form.form import outline
from ostinato.ngram import read_arpa
from ostinato.settings import TextSettings, load_recipe, to_toml
from ostinato.text import read_texts
from ostinato.text.records import read_labelled, read_next_lines, read_pairs, read_series, read_tagged

LINES = [
    "风起的时候 我在海边", "l'été, “naïve” café…", "дождь идёт и идёт", "春の夜の夢", "비가 오는 밤", "ฝนตก",
    "the night is long", "# title", "", "[02:10.14]words", "1\n00:00:01,000 --> 00:00:02,000\nwords", "<p>page</p>",
    '{"text": "one"}',
]  # fmt: skip
ENCODINGS = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "iso-2022-jp",
    "hz", "cp1251", "cp1252", "cp1250", "koi8-r", "tis-620", "latin-1",
)  # fmt: skip
MEMBERS = (
    "a.txt", "b/c.lrc", "../up.txt", "/root.txt", "é\u202e.md", "x.jsonl", "y", "z.png", "mimetype",
    "word/document.xml", "[Content_Types].xml",
)  # fmt: skip
ENDINGS = (".txt", ".lrc", ".srt", ".vtt", ".html", ".jsonl", ".md", ".gz", ".csv", "", ".docx", ".epub", ".pdf")


def text(chance: random.Random) -> bytes:
    """A few lines, in one encoding or another."""
    lines = "\n".join(chance.choices(LINES, k=chance.choice((1, 3, 40))))
    return lines.encode(chance.choice(ENCODINGS), "ignore")


def encodings(folder: Path) -> tuple[Any, Any]:
    """Files of every ending, in every encoding, spoilt or whole."""

    def make(chance: random.Random) -> bytes:
        data = text(chance)
        if chance.random() < 0.7:
            data = spoil(data, chance)
        ending = chance.choice(ENDINGS)
        if ending == ".gz":
            data = gzip.compress(data)
            data = spoil(data, chance) if chance.random() < 0.5 else data
        return ending.encode() + b"\n" + data

    def read(data: bytes) -> None:
        ending, _, content = data.partition(b"\n")
        path = folder / f"text{ending.decode()}"
        path.write_bytes(content)
        found = read_texts([path])
        for source in found.sources:
            "".join(source.pieces()).encode()
        read_user_text(path)

    return make, read


def zips(folder: Path) -> tuple[Any, Any]:
    """Zips whose members and directory are spoilt."""

    def make(chance: random.Random) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for number in range(chance.randint(0, 4)):
                name = chance.choice(MEMBERS)
                entry = zipfile.ZipInfo(name if chance.random() < 0.8 else f"{number}{name}")
                entry.compress_type = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
                if chance.random() < 0.1:
                    entry.external_attr = 0o120777 << 16
                archive.writestr(entry, text(chance) * chance.choice((1, 1, 200)))
        data = packed.getvalue()
        return spoil(data, chance) if chance.random() < 0.8 else data

    def read(data: bytes) -> None:
        path = folder / "texts.zip"
        path.write_bytes(data)
        for source in read_texts([path]).sources:
            for piece in source.pieces():
                piece.encode()

    import warnings

    warnings.filterwarnings("ignore", "Duplicate name")
    return make, read


VALUES = (
    b"-1", b"1e308", b"nan", b"inf", b'"auto"', b"[]", b"{}", b"true", b"9" * 30, b'"\\u0000"', b"0x10", b'"(a+)+$"',
    b"1979-05-27T07:32:00Z", b'"x' + b"y" * 3000 + b'"',
)  # fmt: skip
RECORDS: dict[str, list[bytes]] = {
    "tagged.txt": ["风起了\tabb\n雨\ta\n".encode(), b""],
    "tagged.jsonl": [b'{"tokens": ["a", "b"], "tags": ["x", "y"]}\n'],
    "labelled.csv": [b'label,text\na,"one, two"\nb,"three\nfour"\na,five\n', b"text\tlabel\nx\ty\n"],
    "labelled.tsv": [b"label\ttext\na\tone\nb\ttwo\n"],
    "labelled.jsonl": [b'{"label": "a", "features": [[1, 2], [3, 4]]}\n{"label": "b", "features": [[1, 2]]}\n'],
    "labelled.ts": [b"@problemName x\n@univariate true\n@classLabel true a b\n@data\n1,2,3:a\n4,5,6:b\n"],
    "pairs.txt": [b"one\tun\ntwo\tdeux\n"],
    "pairs.jsonl": [b'{"source": "one", "target": "un"}\n'],
    "lines.txt": ["# 一\n风起了\n雨停了\n\n# 二\n山\n海\n".encode()],
    "series.csv": [b"date,value\n2001,1.5\n2002,2e3\n2003,-1\n2004,7\n"],
    "series.txt": [b"1\n2\n3\n4\n"],
}
READERS: dict[str, Any] = {
    "tagged": read_tagged, "labelled": read_labelled, "pairs": read_pairs, "series": read_series,
    "lines": lambda paths: read_next_lines(paths, TextSettings()),
}  # fmt: skip


def records(folder: Path) -> tuple[Any, Any]:
    """Records of every kind and form."""

    def make(chance: random.Random) -> bytes:
        name = chance.choice(list(RECORDS))
        data = chance.choice(RECORDS[name])
        if name.endswith(".jsonl") and chance.random() < 0.6:
            rows = [json.dumps(spoil_json(json.loads(line), chance)) for line in data.decode().splitlines()]
            data = "\n".join(rows).encode()
        else:
            data = spoil(data, chance)
        return name.encode() + b"\n" + data

    def read(data: bytes) -> None:
        name, _, content = data.partition(b"\n")
        path = folder / name.decode()
        path.write_bytes(content)
        READERS[path.stem]([str(path)])

    return make, read


def recipes(folder: Path) -> tuple[Any, Any]:
    """Recipes: the shipped ones and a whole one, spoilt; what is accepted is written and read back the same."""
    originals = [to_toml(load_recipe(name)).encode() for name in ("default", "words", "kneser-ney", "scratch-rnn")]

    def make(chance: random.Random) -> bytes:
        data = chance.choice(originals)
        if chance.random() < 0.5:
            lines = data.splitlines()
            at = chance.randrange(len(lines))
            key = lines[at].partition(b"=")[0]
            value = chance.choice(VALUES)
            lines[at] = key + b"= " + value
            return b"\n".join(lines)
        return spoil(data, chance)

    def read(data: bytes) -> None:
        path = folder / "recipe.toml"
        path.write_bytes(data)
        recipe = load_recipe(str(path))
        again = folder / "again.toml"
        again.write_text(to_toml(recipe), "utf-8")
        read_back = load_recipe(str(again))
        assert to_toml(read_back) == to_toml(recipe)

    return make, read


FORMS = {
    "template": ["风起的____\n我在_{7}海边\n\n____ 夜\n", "the _ in the _{3}\n____\n"],
    "rhyme": ["AABA", "AABA,A=ang", "night", "ABX,B=eng"],
    "length": ["7", "5-9", "7,7,5,5", "3-4,8"],
    "acrostic": ["春夏秋冬", "love"],
    "acrostic_end": ["平安", "end"],
}


def forms() -> tuple[Any, Any]:
    """What a form asks for, each of its parts spoilt."""

    def make(chance: random.Random) -> bytes:
        names = chance.sample(list(FORMS), chance.choice((1, 1, 2, 3)))
        given = {name: chance.choice(FORMS[name]) for name in names}
        spoilt = chance.choice(names)
        given[spoilt] = spoil(given[spoilt].encode(), chance).decode("utf-8", "replace")
        return json.dumps({"form": given, "language": chance.choice(("zh", "en"))}).encode()

    def read(data: bytes) -> None:
        told = json.loads(data)
        outline(Form(**told["form"]), told["language"])

    return make, read


ARPA = b"""\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-1.0\t<s>\t-0.30
-0.8\t</s>
-0.5\tone\t-0.2
-0.7\ttwo\t-0.1

\\2-grams:
-0.3\t<s> one
-0.4\tone two
-0.2\ttwo </s>

\\end\\
"""


def arpa(folder: Path) -> tuple[Any, Any]:
    """ARPA files; what is accepted scores."""

    def make(chance: random.Random) -> bytes:
        return spoil(ARPA, chance)

    def read(data: bytes) -> None:
        path = folder / "model.arpa"
        path.write_bytes(data)
        model, names = read_arpa(path)
        assert len(names) == model.vocabulary_size
        import numpy as np

        model.score(np.arange(model.vocabulary_size, dtype=np.int64))

    return make, read
