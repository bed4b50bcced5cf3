"""From paths to a prepared corpus on disk: token ids that are memory-mapped, never a list.

The sources are read three times, in pieces: to count and to fingerprint them, to count the training split's
vocabulary, and to write the ids. A corpus is a folder of `train.ids` and `heldout.ids` (little-endian uint16 or uint32,
each document followed by END_OF_DOCUMENT) and `corpus.json`, which is written last: without it the folder is no corpus.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.errors import BundleError, TextError
from ostinato.files import UnsafeFileError, checksum, flush, parse_json, read_regular, write_file
from ostinato.protocols import Ids
from ostinato.settings import TextSettings
from ostinato.text.documents import BlankTrimmer, Piece, cut_documents, resolve_documents
from ostinato.text.encoders import Encoders, processes_for
from ostinato.text.openings import Opening, learn_opening
from ostinato.text.remarks import Watch, keep_together, unfamiliar
from ostinato.text.sources import read_texts
from ostinato.text.split import HELDOUT, SplitPlan, plan_split
from ostinato.text.tokenizers import BaseTokenizer, WhitespaceTokenizer, build, default_min_count, from_json
from ostinato.text.writing import IdsWriter

FORMAT = 1
DESCRIPTION = "corpus.json"
SPLITS = ("train", "heldout")
_PART = ".part."
_LARGEST = 512 << 20
"""Bytes of `corpus.json`, which holds the vocabulary."""


@dataclass(frozen=True)
class Split:
    """One part of a corpus. `ids`: (T,) read-only, on disk; END_OF_DOCUMENT after each of `documents` documents.

    `tokens` is T, end tokens included; `characters` counts the text alone.
    """

    ids: Ids
    documents: int
    characters: int

    @property
    def tokens(self) -> int:
        """T, END_OF_DOCUMENT tokens included."""
        return len(self.ids)


@dataclass(frozen=True)
class Corpus:
    """A prepared text. `settings` are the ones in force, `auto` resolved; `split` is how it was divided, as JSON.

    `fingerprint` (SHA-256, hexadecimal) names the text and the settings; `names` are the sources', `notes` what a user
    should be told (guessed encodings, files passed over). `test` is a text that nothing was chosen by.
    """

    tokenizer: BaseTokenizer
    train: Split
    heldout: Split
    settings: TextSettings
    split: dict[str, Any]
    fingerprint: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    directory: Path
    test: Split | None = None

    @cached_property
    def opening(self) -> Opening:
        """How its texts begin, for a model that learns from it."""
        return learn_opening(self.train.ids, self.tokenizer, backward=self.settings.direction == "backward")

    def texts(self, split: str = "heldout") -> Iterator[str]:
        """The documents of `train` or `heldout`, decoded one by one, in reading order whatever the direction."""
        ids = (self.train if split == "train" else self.heldout).ids
        start = 0
        for stop in _ends(ids):
            document = ids[start:stop]
            yield self.tokenizer.decode(document if self.settings.direction == "forward" else document[::-1])
            start = stop + 1


def _ends(ids: Ids) -> Iterator[int]:
    """Positions of END_OF_DOCUMENT, found a block at a time."""
    block = 1 << 20
    for start in range(0, len(ids), block):
        yield from (np.flatnonzero(ids[start : start + block] == 0) + start).tolist()


def prepare(
    paths: Sequence[str | os.PathLike[str]],
    settings: TextSettings,
    directory: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    tokenizer: BaseTokenizer | None = None,
    expected: str | None = None,
) -> Corpus:
    """Read, divide and encode texts into `directory`, or reuse what lies there if it is of the same text and settings.

    `tokenizer` is used as it is instead of building one. `expected` is the fingerprint that the text must have; with
    another one nothing is written. The vocabulary is that of the training split. Memory does not grow with the text.
    Raises TextError (sources, too short or another text, a full disk) and SettingsError.
    """
    texts, given = read_texts(paths, encoding, field=settings.field), tokenizer
    settings = dataclasses.replace(
        settings,
        documents=resolve_documents(settings.documents, texts.sources),
        tokenizer=settings.tokenizer if tokenizer is None else tokenizer.kind,
        min_count=settings.min_count or default_min_count(settings.tokenizer),
        heldout_files=(),
        test_files=(),
    )

    trim = BlankTrimmer() if _trims(settings, tokenizer) else None

    def documents() -> Iterator[Piece]:
        pieces = cut_documents(texts.sources, settings)
        return pieces if trim is None else trim(pieces)

    watch = Watch()
    survey = _survey(documents(), watch)
    fingerprint = _fingerprint(survey.digest, settings, tokenizer)
    if expected not in (None, fingerprint) and trim is not None:  # of a run that did not trim
        trim, watch = None, Watch()
        survey = _survey(documents(), watch)
        fingerprint = _fingerprint(survey.digest, settings, tokenizer)
    plan = plan_split(survey.documents, survey.characters, settings.heldout)
    if expected != fingerprint and (together := keep_together(plan, watch.copies)) is not plan:
        plan, fingerprint = together, _fingerprint(f"{survey.digest}, copies together", settings, tokenizer)
    if expected is not None and fingerprint != expected:
        raise TextError(
            "cannot resume with another text: give the same files as before, or learn the new one with --from MODEL"
        )
    notes = (*texts.notes, *watch.notes(plan))
    if trim is not None and trim.trimmed:
        notes += ("blanks at the ends of the lines are left out, as published figures count (whitespace, lines)",)
    if given is not None and (remark := unfamiliar(given, watch.sample)):
        notes += (remark,)
    folder = Path(directory)
    if (ready := _reusable(folder, fingerprint)) is not None:
        return dataclasses.replace(ready, names=texts.names, notes=notes)
    if tokenizer is None:
        training = (piece.text for part, piece in plan.divide(documents()) if part != HELDOUT)
        tokenizer = build(settings.tokenizer, training, settings.min_count)
    description = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "dtype": tokenizer.dtype.name,
        "settings": dataclasses.asdict(settings),
        "split": plan.to_json(),
        "names": list(texts.names),
        "notes": list(notes),
        "tokenizer": tokenizer.to_json(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        processes = processes_for(survey.characters, tokenizer)
        counts = _write_ids(folder, plan, documents, tokenizer, settings.direction == "backward", processes)
        if sum(count["characters"] for count in counts.values()) != survey.characters:
            raise TextError(f"{', '.join(texts.names)} changed while it was read: try again")
        write_file(folder / DESCRIPTION, json.dumps(description | {"splits": counts}, ensure_ascii=False))
    except OSError as error:
        raise TextError(f"the corpus cannot be written to {folder}: {error.strerror or error}") from None
    return open_corpus(folder)


@dataclass(frozen=True)
class _Survey:
    documents: int
    characters: int
    digest: str


def _trims(settings: TextSettings, tokenizer: BaseTokenizer | None) -> bool:
    """Whether blanks at the ends of lines are no tokens: published figures for documents that are lines count none. A
    tokenizer made before that was so, for padded lines, goes on as it did."""
    return (
        settings.tokenizer == "whitespace"
        and settings.documents == "lines"
        and not (isinstance(tokenizer, WhitespaceTokenizer) and tokenizer.padded)
    )


def _survey(pieces: Iterator[Piece], watch: Watch) -> _Survey:
    documents = characters = length = 0
    digest = hashlib.sha256()
    for piece in pieces:
        text, last = piece
        watch.add(piece)
        digest.update(text.encode("utf-8", "surrogatepass"))
        length += len(text)
        if last:
            digest.update(b"%d\0" % length)  # so that moving a boundary changes the digest
            documents += 1
            characters += length
            length = 0
    if not characters:
        raise TextError("the text is empty: it holds nothing but white space")
    return _Survey(documents, characters, digest.hexdigest())


def _fingerprint(digest: str, settings: TextSettings, tokenizer: BaseTokenizer | None) -> str:
    given = None if tokenizer is None else tokenizer.to_json()
    values = dataclasses.asdict(settings)
    del values["field"]  # it acts on the text, which the digest names
    del values["heldout_files"], values["test_files"]  # other texts
    return hashlib.sha256(json.dumps([FORMAT, digest, values, given], sort_keys=True).encode()).hexdigest()


def _write_ids(
    folder: Path,
    plan: SplitPlan,
    documents: Callable[[], Iterator[Piece]],
    tokenizer: BaseTokenizer,
    backward: bool,
    processes: int,
) -> dict[str, dict[str, Any]]:
    """Encode each split into its file, with several processes where the text is large; returns the counts of each."""
    for stale in folder.glob(f"{_PART}*"):  # of a run that was killed
        stale.unlink(missing_ok=True)
    temporary = [folder / f"{_PART}{os.getpid()}.{name}" for name in SPLITS]
    try:
        with (
            contextlib.nullcontext() if processes == 1 else Encoders(tokenizer, processes) as encoders,
            IdsWriter(temporary[0], tokenizer, backward=backward, encoders=encoders) as train,
            IdsWriter(temporary[1], tokenizer, backward=backward, encoders=encoders) as heldout,
        ):
            writers = (train, heldout)
            for part, piece in plan.divide(documents()):
                writers[part].add(piece)
        for name, path in zip(SPLITS, temporary, strict=True):
            path.replace(folder / f"{name}.ids")
        flush(folder)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    return {name: writer.counts() for name, writer in zip(SPLITS, writers, strict=True)}


def _reusable(folder: Path, fingerprint: str) -> Corpus | None:
    try:
        corpus = open_corpus(folder)
    except TextError:
        return None
    if corpus.fingerprint != fingerprint:
        return None
    # a power cut may leave zeros in a file of the right size; a corpus without checksums is made anew, too
    described = parse_json(read_regular(folder / DESCRIPTION, limit=_LARGEST))["splits"]
    for name in SPLITS:
        if checksum(folder / f"{name}.ids") != described[name].get("sha256"):
            return None
    return corpus


def open_corpus(directory: str | os.PathLike[str]) -> Corpus:
    """A corpus that `prepare` wrote. Raises TextError if it is missing, damaged or of another format."""
    folder = Path(directory)
    try:
        data = parse_json(read_regular(folder / DESCRIPTION, limit=_LARGEST))
        if data["format"] != FORMAT:
            raise TextError(f"{folder} holds a corpus of format {data['format']}, not {FORMAT}: prepare it again")
        dtype = np.dtype(data["dtype"]).newbyteorder("<")
        train, heldout = (_open_split(folder / f"{name}.ids", dtype, data["splits"][name]) for name in SPLITS)
        return Corpus(
            from_json(data["tokenizer"]), train, heldout, TextSettings(**data["settings"]), data["split"],
            data["fingerprint"], tuple(data["names"]), tuple(data["notes"]), folder,
        )  # fmt: skip
    except FileNotFoundError:
        raise TextError(f"{folder} holds no prepared corpus") from None
    except OSError as error:
        raise TextError(f"{folder} cannot be read: {error.strerror or error}") from None
    except UnsafeFileError as error:
        raise TextError(f"{folder / DESCRIPTION} cannot be read: {error}") from None
    except (BundleError, ValueError, KeyError, TypeError):
        raise TextError(f"{folder} holds a damaged corpus: prepare it again") from None


def corpus_of(model: Path, config: Mapping[str, Any]) -> Corpus | None:
    """The text that the saved model in the folder `model`, of which `config` is the description, was trained on; None
    where its run's folder does not hold it any more: it was moved, or another run has replaced it."""
    try:
        corpus = open_corpus(model.parent / "text")
    except TextError:
        return None
    text = config.get("text")
    return corpus if isinstance(text, Mapping) and corpus.fingerprint == text.get("fingerprint") else None


def _open_split(path: Path, dtype: np.dtype[Any], counts: dict[str, Any]) -> Split:
    if path.stat().st_size != counts["tokens"] * dtype.itemsize:
        raise ValueError("wrong size")
    ids = np.memmap(path, dtype, "r") if counts["tokens"] else np.zeros(0, dtype)
    return Split(ids, counts["documents"], counts["characters"])
