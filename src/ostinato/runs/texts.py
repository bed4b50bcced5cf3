"""The text of a run, and the texts beside it that it was given: held out to choose the model by, and to test it."""

import dataclasses
import os
from collections.abc import Sequence

from ostinato.errors import UsageError
from ostinato.runs.folder import make_corpus_folder
from ostinato.runs.task import Run
from ostinato.text import BaseTokenizer, Corpus, prepare

_BETWEEN = "."
"""What stands between the fingerprints of the text and of those beside it."""


def read_corpus(run: Run, tokenizer: BaseTokenizer | None = None, expected: str | None = None) -> Corpus:
    """The texts of the run as ids in `text/`, and, where the recipe names files for them, in `heldout/` and `test/`.

    Files that are held out take the place of a share of the text. They are cut as the text is, with its vocabulary.
    expected: what `fingerprint` gave for the texts that a resumed run began with. Raises as `prepare`, and UsageError
    for a file that is learnt from and measured on.
    """
    settings = run.recipe.text
    files = check_apart(run)
    prints = dict.fromkeys(("text", *files)) if expected is None else _parts(expected, list(files))
    if settings.heldout_files:
        settings = dataclasses.replace(settings, heldout=0.0)
    corpus = prepare(
        run.paths, settings, run.out / "text", encoding=run.encoding, tokenizer=tokenizer, expected=prints["text"]
    )
    whole = dataclasses.replace(corpus.settings, heldout=0.0, limit=0)
    others = {
        name: prepare(
            paths, whole, make_corpus_folder(run.out, name), encoding=run.encoding, tokenizer=corpus.tokenizer,
            expected=prints[name],
        )
        for name, paths in files.items()
    }  # fmt: skip
    if not others:
        return corpus
    described = {name: {"names": list(o.names), "fingerprint": o.fingerprint} for name, o in others.items()}
    notes = [f"{name}: {note}" for name, o in others.items() for note in o.notes if note not in corpus.notes]
    return dataclasses.replace(
        corpus,
        split={**corpus.split, **described},
        notes=(*corpus.notes, *notes),
        heldout=others["heldout"].train if "heldout" in others else corpus.heldout,
        test=others["test"].train if "test" in others else None,
    )


def fingerprint(corpus: Corpus) -> str:
    """That of the text and of those beside it."""
    beside = (corpus.split[name] for name in ("heldout", "test") if name in corpus.split)
    return _BETWEEN.join([corpus.fingerprint, *(other["fingerprint"] for other in beside)])


def _parts(expected: str, names: list[str]) -> dict[str, str | None]:
    text, *others = expected.split(_BETWEEN)
    if len(others) != len(names):
        raise UsageError("a resumed run keeps its held-out and test files: leave out --heldout and --test")
    return {"text": text, **dict(zip(names, others, strict=True))}


def check_apart(run: Run) -> dict[str, tuple[str, ...]]:
    """The files held out and tested on, where there are any. Raises UsageError for a file in two parts."""
    settings, owner = run.recipe.text, dict[str, str]()
    given = {"heldout": settings.heldout_files, "test": settings.test_files}
    files = {name: paths for name, paths in given.items() if paths}
    texts = tuple(map(str, run.sources)) if isinstance(run.sources, Sequence) else ()
    for name, paths in {"text": texts, **files}.items():
        for path in paths:
            if path == "-" and name != "text":
                raise UsageError(f"the {name} text must be a file, got - (standard input)")
            if (first := owner.setdefault(os.path.realpath(path), name)) != name:
                ways = {"text": "learnt from", "heldout": "held out", "test": "tested on"}
                raise UsageError(f"{path} cannot be {ways[first]} and {ways[name]}: use a different file for each")
    return files
