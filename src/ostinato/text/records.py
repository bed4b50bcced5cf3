"""Data that is more than text: sequences with tags or a class, pairs of lines, series of numbers.

A file's ending says how it is written: `.csv`, `.jsonl`, `.ts`; any other is tab-separated. docs/tasks.md shows each.
With `answers=False` (to predict) the part that is to be predicted may be absent.
"""

import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ostinato.errors import TextError, counted
from ostinato.settings import TextSettings
from ostinato.text.documents import cut_documents, resolve_documents, title_finder
from ostinato.text.lines import SHOWN, json_value, short, whole_lines
from ostinato.text.records_ts import read_ts
from ostinato.text.sources import Source, file_ending, read_texts

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""Numbers as tables have them; Python would take 1_000 for one as well."""

_LONGEST_FIELD = 1 << 30
"""Characters of a CSV field; more are taken for a quote that was never closed."""

Features: TypeAlias = npt.NDArray[np.float32]
"""A sequence of vectors, (steps, features)."""


@dataclass
class Records:
    """What was read. inputs and targets: one each a record; targets is empty where the files give none.

    tag: a list of tokens and a list of tags. classify: a text or `Features`, and a class. translate, next-line: two
    texts. forecast: one record, a series (values,) float64, without a target. groups: records with the same number
    belong to one side of a split (the same source, the same song).
    """

    inputs: list[Any] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    filled: list[bool] = field(default_factory=list)
    """For each line of files with one record per line: whether it has a record or is blank."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all records."""
        digest = hashlib.sha256()
        for value in (*self.inputs, *self.targets):
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
            digest.update(b"\0")
        return digest.hexdigest()


Record: TypeAlias = tuple[Any, Any]
"""An input and its target, None where none is given."""


def read_tagged(paths: Sequence[str], *, answers: bool = True, encoding: str | None = None) -> Records:
    """Lines `text TAB tags`, one tag per character; or JSONL {"tokens": [...], "tags": [...]}. Raises TextError."""

    filled: list[bool] = []

    def of_object(row: dict[str, Any], where: str) -> Record:
        tokens, tags = row.get("tokens"), row.get("tags")
        if not _texts(tokens) or not (_texts(tags) or (tags is None and not answers)):
            raise TextError(f'{where} must be {{"tokens": [texts], "tags": [texts]}}, got {short(row)}')
        return tokens, tags

    def read(source: Source) -> Iterator[tuple[str, Record]]:
        if _ending(source) == ".jsonl":
            yield from ((where, of_object(row, where)) for where, row in _objects(source))
            return
        for where, columns in _tabbed(source, 2 if answers else 1, 2, "text TAB tags", filled):
            yield where, (list(columns[0]), list(columns[1]) if len(columns) == 2 else None)

    def check(where: str, record: Record) -> None:
        tokens, tags = record
        if answers and not tokens:
            raise TextError(f"{where} is empty: give a text and its tags, or leave the line out")
        if tags is not None and len(tags) != len(tokens):
            raise TextError(
                f"{where} has {counted(len(tokens), 'token')} and {counted(len(tags), 'tag')}: give one tag per token"
            )

    return _collect(paths, read, check, encoding, filled)


def read_labelled(
    paths: Sequence[str], *, label: str = "label", answers: bool = True, encoding: str | None = None
) -> Records:
    """CSV or TSV with a header that names `text` and `label`; JSONL {"text" or "features", label}; or `.ts`.

    Where no answers are needed, standard input and `.txt` have one text per line. Raises TextError.
    """

    filled: list[bool] = []

    def of_object(row: dict[str, Any], where: str) -> Record:
        target = row.get(label)
        if target is None and answers:
            raise TextError(f"{where} has no {label!r}: its fields are {_names(row)}; name it with task.label")
        if ("text" in row) == ("features" in row):
            raise TextError(f'{where} must have either "text" or "features", got {_names(row)}')
        value = row["text"] if "text" in row else _features(row["features"], where)
        if "text" in row and not isinstance(value, str):
            raise TextError(f'{where}: "text" must be a text, got {short(value)}')
        return value, None if target is None else str(target).strip()

    def read(source: Source) -> Iterator[tuple[str, Record]]:
        ending = _ending(source)
        if ending == ".ts":
            yield from read_ts("".join(source.pieces()), source.name, answers=answers)
        elif ending == ".jsonl":
            yield from ((where, of_object(row, where)) for where, row in _objects(source))
        elif not answers and ending not in (".csv", ".tsv"):
            yield from ((where, (line, None)) for where, line in _filled_lines(source, filled))
        else:
            header, rows = _table(source)
            for name in ("text", label) if answers else ("text",):
                if name not in header:
                    raise TextError(f"{source.name} has no column {name!r}: its header has {_names(header)}")
            text, target = header.index("text"), header.index(label) if label in header else None
            yield from ((where, (row[text], None if target is None else row[target].strip())) for where, row in rows)

    widths: dict[Any, str] = {}

    def check(where: str, record: Record) -> None:
        value, target = record
        if target == "":
            raise TextError(f"{where} has an empty {label}: fill it in or leave the record out")
        widths.setdefault("text" if isinstance(value, str) else value.shape[1], where)
        if len(widths) > 1:
            (a, first), (b, second) = list(widths.items())[:2]
            raise TextError(f"all records must be alike: {first} has {_kind(a)}, {second} has {_kind(b)}")

    records = _collect(paths, read, check, encoding, filled)
    if answers and len(set(records.targets)) < 2:
        raise TextError(
            f"{', '.join(records.names)} has only the class {records.targets[0]!r}: "
            "there must be two or more to tell apart"
        )
    return records


def read_pairs(paths: Sequence[str], *, answers: bool = True, encoding: str | None = None) -> Records:
    """Lines `source TAB target`, or JSONL {"source": ..., "target": ...}. Raises TextError."""

    filled: list[bool] = []

    def of_object(row: dict[str, Any], where: str) -> Record:
        pair = row.get("source"), row.get("target")
        if not isinstance(pair[0], str) or not (isinstance(pair[1], str) or (pair[1] is None and not answers)):
            raise TextError(f'{where} must be {{"source": text, "target": text}}, got {short(row)}')
        return pair

    def read(source: Source) -> Iterator[tuple[str, Record]]:
        if _ending(source) == ".jsonl":
            yield from ((where, of_object(row, where)) for where, row in _objects(source))
            return
        for where, columns in _tabbed(source, 2 if answers else 1, 2, "source TAB target", filled):
            yield where, (columns[0], columns[1] if len(columns) == 2 else None)

    seen: dict[str, int] = {}
    groups: list[int] = []

    def check(where: str, record: Record) -> None:
        if any(side is not None and not side.strip() for side in record):
            raise TextError(f"{where} has an empty side: give source and target, or leave the pair out")
        groups.append(seen.setdefault(record[0], len(seen)))

    records = _collect(paths, read, check, encoding, filled)
    records.groups = groups
    return records


def read_next_lines(
    paths: Sequence[str], settings: TextSettings, *, answers: bool = True, encoding: str | None = None
) -> Records:
    """Each line that is not blank with the one after it, in texts cut into documents as `settings` say.

    Title lines (where a pattern for documents is found) are left out. Without answers, every line is an input.
    Raises TextError where no document has two lines.
    """
    texts = read_texts(paths, encoding, field=settings.field)
    records = Records(names=texts.names, notes=texts.notes)
    if not answers:
        records.inputs = [line for source in texts.sources for _, line in _filled_lines(source, records.filled)]
        return records
    rule = resolve_documents(settings.documents, texts.sources)
    is_title = title_finder(rule)
    document: list[str] = []
    number = 0
    resolved = TextSettings(documents=rule, limit=settings.limit)
    for piece in cut_documents(texts.sources, resolved):
        document.append(piece.text)
        if not piece.last:
            continue
        lines = [line for line in "".join(document).split("\n") if line.strip()]
        lines = [line.strip() for line in lines if not is_title(line)]
        records.inputs += lines[:-1]
        records.targets += lines[1:]
        records.groups += [number] * max(0, len(lines) - 1)
        document, number = [], number + 1
    if not records.inputs:
        raise TextError(f"{', '.join(texts.names)} has no document with two lines: there is no next line to learn")
    return records


def read_series(paths: Sequence[str], *, column: str = "auto", encoding: str | None = None) -> Records:
    """One series from the column of a CSV or TSV file with a header: the named one, or the last. Raises TextError."""
    if len(paths) != 1:
        raise TextError(f"a series comes from one file, got {len(paths)}")
    texts = read_texts(paths, encoding, plain=True)
    if len(texts.sources) != 1:
        raise TextError(f"a series comes from one file, {', '.join(texts.names)} holds {len(texts.sources)}")
    (source,) = texts.sources
    header, rows = _table(source)
    if column != "auto" and column not in header:
        raise TextError(f"{source.name} has no column {column!r}: its header has {_names(header)}")
    at = len(header) - 1 if column == "auto" else header.index(column)
    values = [_number(row[at], f"{where}: {_name(header[at])}") for where, row in rows]
    notes = texts.notes
    if column == "auto" and all(_NUMBER.fullmatch(name) for name in header):
        values.insert(0, _number(header[at], f"{source.name} line 1"))
        notes += (f"{source.name} has no header: its first row is read as values",)
    return Records([np.array(values, np.float64)], [], [0], texts.names, notes)


def _collect(
    paths: Sequence[str],
    read: Callable[[Source], Iterator[tuple[str, Record]]],
    check: Callable[[str, Record], None],
    encoding: str | None,
    filled: list[bool],
) -> Records:
    texts = read_texts(paths, encoding, plain=True)
    records = Records(names=texts.names, notes=texts.notes, filled=filled)
    for source in texts.sources:
        for where, record in read(source):
            check(where, record)
            records.inputs.append(record[0])
            records.targets.append(record[1])
    if not records.inputs:
        raise TextError(f"{', '.join(texts.names)} holds no records")
    records.groups = list(range(len(records.inputs)))
    if any(target is None for target in records.targets):
        records.targets = []
    return records


def _ending(source: Source) -> str:
    name = source.name
    return file_ending(name[:-3] if file_ending(name) == ".gz" else name)


def _filled_lines(source: Source, filled: list[bool] | None = None) -> Iterator[tuple[str, str]]:
    """Lines that are not blank, each with its place; `filled` takes for each line whether it is one."""
    for number, line in enumerate(whole_lines(source.pieces()), 1):
        if filled is not None:
            filled.append(bool(line.strip()))
        if line.strip():
            yield f"{source.name} line {number}", line


def _tabbed(
    source: Source, least: int, most: int, form: str, filled: list[bool] | None = None
) -> Iterator[tuple[str, list[str]]]:
    for where, line in _filled_lines(source, filled):
        columns = line.split("\t")
        if not least <= len(columns) <= most:
            raise TextError(f"{where} has {counted(len(columns), 'column')}: write {form}")
        yield where, columns


def _table(source: Source) -> tuple[list[str], Iterator[tuple[str, list[str]]]]:
    """The header and the rows of a CSV or TSV file, each row with its place and as wide as the header."""
    delimiter = "," if _ending(source) == ".csv" else "\t"
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO("".join(source.pieces())), delimiter=delimiter, strict=True)

    def read() -> Iterator[list[str]]:
        begin = 1  # the line where a record begins: there, and not where it was noticed, is a quote left open
        try:
            for row in reader:
                yield row
                begin = reader.line_num + 1
        except csv.Error as error:
            hint = 'close its quotes, and write a quote within quotes twice ("")'
            if "larger than" in str(error):
                hint = "shorten it, or close its quotes"
            raise TextError(f"{source.name} line {begin} cannot be read as a table: {error}; {hint}") from None

    def rows(header: list[str]) -> Iterator[tuple[str, list[str]]]:
        for row in lines:
            where = f"{source.name} line {reader.line_num}"
            if row and len(row) != len(header):
                raise TextError(
                    f"{where} has {counted(len(row), 'column')}, the header has {len(header)}: fill or quote them"
                )
            if row:
                yield where, row

    lines = read()
    header = [name.strip() for name in next(lines, [])]
    if not header:
        raise TextError(f"{source.name} begins with a blank line: its first line must be the header")
    return header, rows(header)


def _objects(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in _filled_lines(source):
        row = json_value(line, where)
        if not isinstance(row, dict):
            raise TextError(f"{where} must be a JSON object, got {short(row)}")
        yield where, row


def _features(value: Any, where: str) -> Features:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            array = np.array(value, np.float32)
    except (ValueError, TypeError):
        array = np.empty(0, np.float32)
    if array.ndim != 2 or not array.size:
        raise TextError(f'{where}: "features" must be a list of steps, each a list of as many numbers')
    if not np.isfinite(array).all():
        raise TextError(f"{where} has a value that is not finite: fill gaps or leave the record out")
    return array


def _number(text: str, where: str) -> float:
    value = float(text.strip()) if _NUMBER.fullmatch(text.strip()) else float("nan")
    if not np.isfinite(value):
        raise TextError(f"{where} is {_name(text.strip())!r}, not a number: fill the gap or leave the row out")
    return value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one for one in value)


def _kind(width: Any) -> str:
    return "text" if width == "text" else f"{width} features"


def _name(text: str) -> str:
    """A name or value of a table, shortened for a message."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _names(names: Iterable[str]) -> str:
    """Names in a message, the first ones of many."""
    known = list(names)
    return ", ".join(map(_name, known[:20])) + (", ..." if len(known) > 20 else "")
