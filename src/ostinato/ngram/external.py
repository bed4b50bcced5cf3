"""Counting n-grams of a text larger than memory: sorted runs on disk, merged by ranges of keys.

The method of lmplz (Heafield, Pouzyrevsky, Clark and Koehn 2013), with one sort for all orders. The *window* at a place
of the text is the token there and up to N - 1 after it, in the same document. Every n-gram is a prefix of windows, and
in the order of whole windows the n-grams of each order come in the order of their level. So one pass over the sorted
windows writes every level, and nothing but a range of windows is ever in memory:

1. the text is read in pieces; the windows of each, with the token before them, are sorted, counted and written: a run;
2. ranges of keys are chosen that fit into memory, from samples of the runs;
3. of each range, the runs' parts are merged, and the n-grams that begin in it are appended to their levels' files.

An n-gram whose windows lie in two ranges stays open from one to the next.

`external_runs` has steps 1 and 2, `external_levels` step 3.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ostinato.errors import TextError
from ostinato.files import disk_is_full
from ostinato.ngram.counts import NgramCounts, check_countable
from ostinato.ngram.external_levels import Levels
from ostinato.ngram.external_runs import Layout, merged_ranges, write_runs
from ostinato.protocols import Ids


def count_on_disk(ids: Ids, vocabulary_size: int, order: int, *, folder: Path, memory: int) -> NgramCounts:
    """The same arrays as `count_ngrams`, as files in `folder` that are memory-mapped.

    memory: bytes that the work may take beside the interpreter, from 16 MiB on; about 24 bytes of disk a token for the
    runs, which are removed, and 22 for each n-gram of each order are needed.

    Raises UsageError as `count_ngrams` does, TextError where the disk is full.
    """
    check_countable(ids, order)
    layout = Layout(vocabulary_size, order)
    with counting_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        unigrams, runs = write_runs(ids, layout, folder, max(1 << 14, memory // layout.bytes_to_sort))
        levels = Levels(layout, folder, len(ids))
        try:
            for keys, counts in merged_ranges(runs, layout, max(1 << 14, memory // layout.bytes_to_merge)):
                levels.add(keys, counts)
            for run in runs:
                run.path.unlink()
            return levels.close(unigrams)
        finally:
            levels.let_go()


@contextlib.contextmanager
def counting_in(folder: Path) -> Iterator[None]:
    """Inside, an error of the disk is one line that says what to do: it raises TextError."""
    try:
        yield
    except OSError as error:
        to_do = "; make room there, or name a folder on another disk with -o" if disk_is_full(error) else ""
        raise TextError(f"n-grams cannot be counted in {folder}: {error.strerror or error}{to_do}") from None


def remove_counts(folder: Path) -> None:
    """Remove the files of how often n-grams occur: probabilities are made of them, and no model needs them after."""
    for path in [*folder.glob("occurrences.*"), *folder.glob("continuations.*")]:
        with contextlib.suppress(OSError):  # a system that keeps files that are mapped; they go with the folder
            path.unlink()
