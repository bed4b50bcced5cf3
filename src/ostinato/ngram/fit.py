"""Making an n-gram model from token ids, and keeping one as integer arrays.

A bundle holds counts, not probabilities: they are smaller, and the probabilities follow from them exactly, so that a
distribution that was read sums to 1 as closely as one that was just counted. Only a large model that was counted on
disk has its probabilities in its bundle, so that opening it maps a file and computes nothing.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle, NgramConfig, model_config
from ostinato.errors import BundleError, UsageError
from ostinato.files import reserve
from ostinato.ngram.counts import MAX_ORDER, NgramCounts, count_ngrams, prune
from ostinato.ngram.external import count_on_disk, counting_in, remove_counts
from ostinato.ngram.model import NgramModel
from ostinato.ngram.smoothing import (
    FALLBACK_DISCOUNTS,
    Allocate,
    Interpolation,
    add_k,
    in_memory,
    kneser_ney,
    kneser_ney_discounts,
    maximum_likelihood,
)
from ostinato.protocols import Ids

MOST_COUNTED = 1 << 25
"""N-grams, of all orders together, of a model counted on disk whose probabilities are computed when it is opened."""
_PART = 1 << 20
SMOOTHINGS = ("kneser-ney", "add-k", "maximum-likelihood")


def fit_ngram(
    ids: Ids,
    vocabulary_size: int,
    *,
    order: int = 5,
    smoothing: str = "kneser-ney",
    k: float = 1.0,
    prune_counts: tuple[int, ...] = (),
    memory: int | None = None,
    folder: Path | None = None,
) -> NgramModel:
    """An n-gram model of `ids`: (T,) token ids, each document ended by 0.

    smoothing: "kneser-ney" (interpolated, modified), "add-k" with its `k`, or "maximum-likelihood".
    prune_counts: for orders 1, 2, ...: n-grams that occur so often or less are dropped; starts with 0; Kneser-Ney only.
    memory, folder: count in about so many bytes, with what is more in files in `folder` (new, and still needed by the
    model that is returned: its arrays are mapped); for Kneser-Ney without pruning. The model is the same.
    What a user should know about the result (a fallback that was taken) is in `model.settings["notes"]`.

    Raises UsageError for values that are not allowed.
    """
    if smoothing not in SMOOTHINGS:
        raise UsageError(f"smoothing must be one of {', '.join(SMOOTHINGS)}, got {smoothing!r}")
    if smoothing == "add-k" and not 0 < k < float("inf"):
        raise UsageError(f"k of add-k smoothing must be above 0, got {k}")
    if prune_counts and smoothing != "kneser-ney":
        raise UsageError(f"only kneser-ney can be pruned: {smoothing} leaves no probability to shorter contexts")
    if memory is not None and (smoothing != "kneser-ney" or prune_counts):
        raise UsageError("only kneser-ney without pruning is counted on disk: leave out the limit of memory")
    if memory is not None and folder is not None:
        counts = count_on_disk(ids, vocabulary_size, order, folder=folder, memory=memory)
    else:
        counts = count_ngrams(ids, vocabulary_size, order)
    settings: dict[str, Any] = {"smoothing": smoothing, "order": order, "vocabulary_size": vocabulary_size}
    notes = []
    if smoothing == "kneser-ney":
        found = [kneser_ney_discounts(level) for level in counts.continuations]
        settings["discounts"] = [list(discounts or FALLBACK_DISCOUNTS) for discounts in found]
        missing = [str(n) for n, discounts in enumerate(found, 1) if discounts is None]
        if missing:
            values = ", ".join(map(str, FALLBACK_DISCOUNTS))
            notes.append(
                f"too little text to estimate the discounts of order {', '.join(missing)}: {values} are used instead"
            )
        if prune_counts:
            settings["prune"] = list(prune_counts)
            counts = prune(counts, prune_counts)
    elif smoothing == "add-k":
        settings["k"] = k
    settings["notes"] = notes
    model = _build(counts, settings, folder=folder)
    if folder is not None:
        remove_counts(folder)  # their room is needed for the bundle
    return model


def unseen_note(log_probabilities: npt.NDArray[np.float64]) -> str | None:
    """A sentence on the tokens that a model calls impossible, or None. log_probabilities: (T,), from `score`."""
    impossible = int(np.count_nonzero(np.isneginf(log_probabilities)))
    if not impossible:
        return None
    return (
        f"{impossible} of {len(log_probabilities)} tokens never followed their context in the training text: maximum "
        "likelihood gives them probability 0, so the perplexity is infinite; use kneser-ney or add-k"
    )


def from_arrays(settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> NgramModel:
    """The model whose `settings` and `arrays` these are, as read from a bundle; the arrays may be memory-mapped.

    Raises BundleError when they do not belong together.
    """
    try:
        order, size, smoothing = settings["order"], settings["vocabulary_size"], settings["smoothing"]
        if not (isinstance(order, int) and 1 <= order <= MAX_ORDER and isinstance(size, int) and size > 0):
            raise ValueError(f"order {order!r}, vocabulary {size!r}")
        word_type = np.uint16 if size <= 1 << 16 else np.uint32
        words = (np.arange(size, dtype=word_type), *(arrays[f"words.{n}"] for n in range(2, order + 1)))
        children = tuple(arrays[f"children.{n}"] for n in range(1, order))
        _check_trie(words, children, word_type)
        if smoothing == "arpa" or "share.1" in arrays:
            levels = tuple(Interpolation(arrays[f"share.{n}"], arrays[f"weight.{n}"]) for n in range(1, order + 1))
            if any(level.share.dtype != np.float64 or level.weight.dtype != np.float64 for level in levels):
                raise ValueError("probabilities that are not float64")
            model = NgramModel(words, children, levels, settings=settings, arrays=arrays)
        else:
            values = tuple(_checked_counts(arrays[f"counts.{n}"], 0 if n == 1 else 1) for n in range(1, order + 1))
            dropped = tuple(_checked_counts(arrays[f"dropped.{n}"], 0) for n in range(1, order) if "prune" in settings)
            if not all(0 <= d <= 3 for row in settings.get("discounts", []) for d in row) or not values[0].any():
                raise ValueError("discounts out of range, or no unigrams")
            counts = NgramCounts(words, children, values, values, dropped)
            model = _build(counts, settings, arrays)
        if len(model.arrays.get("counts.1", words[0])) != size:
            raise ValueError("counts of another vocabulary")
        for n, level in enumerate(model.levels):
            contexts = len(words[n - 1]) if n else 1
            if level.share.shape != (len(words[n]),) or level.weight.shape != (contexts,):
                raise ValueError(f"level {n + 1} has counts of another size")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(f"the n-gram arrays do not fit their settings ({error}); train the model again") from None
    return model


def load_ngram(bundle: Bundle) -> NgramModel:
    """The model in a bundle of kind `ngram`. Raises BundleError where config, tokenizer and arrays do not belong
    together."""
    model_config(NgramConfig, bundle)
    return from_arrays(bundle.config["model"], bundle.tensors)


def _check_trie(words: tuple[Any, ...], children: tuple[Any, ...], word_type: type) -> None:
    """Every search must stay inside the arrays: the compiled kernel trusts them."""
    for n, starts in enumerate(children, 1):
        level = words[n]
        fits = level.ndim == 1 and starts.shape == (len(words[n - 1]) + 1,) and starts.dtype in (np.uint32, np.uint64)
        if not fits or level.dtype != word_type or starts[0] != 0 or starts[-1] != len(level):
            raise ValueError(f"level {n + 1} does not fit level {n}")
        if any(np.any(part[1:] < part[:-1]) for part in _parts(starts)) or any(
            part.max() >= len(words[0]) for part in _parts(level)
        ):
            raise ValueError(f"level {n + 1} points outside its neighbours")


def _parts(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Pieces of an array, each of which begins with the last number of the one before it."""
    for first in range(0, len(values), _PART):
        yield values[max(first - 1, 0) : first + _PART]


def _checked_counts(counts: npt.NDArray[Any], least: int) -> npt.NDArray[np.int64]:
    if counts.ndim != 1 or counts.dtype.kind != "u" or (len(counts) and counts.min() < least):
        raise ValueError(f"counts below {least} or of type {counts.dtype}")
    return counts.astype(np.int64)


def _build(
    counts: NgramCounts,
    settings: Mapping[str, Any],
    arrays: Mapping[str, Any] | None = None,
    folder: Path | None = None,
) -> NgramModel:
    allocate = in_memory if folder is None else _on_disk(folder)
    if settings["smoothing"] == "kneser-ney":
        values, levels = counts.continuations, kneser_ney(counts, tuple(map(tuple, settings["discounts"])), allocate)
    elif settings["smoothing"] == "add-k":
        values, levels = counts.occurrences, add_k(counts, float(settings["k"]))
    elif settings["smoothing"] == "maximum-likelihood":
        values, levels = counts.occurrences, maximum_likelihood(counts)
    else:
        raise ValueError(f"smoothing {settings['smoothing']!r}")
    if arrays is None and folder is not None and sum(map(len, counts.words)) > MOST_COUNTED:
        arrays = trie_arrays(counts.words, counts.children)
        arrays |= {f"share.{n}": level.share for n, level in enumerate(levels, 1)}
        arrays |= {f"weight.{n}": level.weight for n, level in enumerate(levels, 1)}
    elif arrays is None:
        arrays = trie_arrays(counts.words, counts.children)
        arrays |= {f"counts.{n}": _smallest(level) for n, level in enumerate(values, 1)}
        arrays |= {f"dropped.{n}": _smallest(level) for n, level in enumerate(counts.dropped, 1)}
    restart = settings["smoothing"] == "add-k"
    return NgramModel(counts.words, counts.children, tuple(levels), restart, settings, arrays)


def _on_disk(folder: Path) -> Allocate:
    """Arrays that are files in `folder`. Raises TextError where the disk has no room for one."""
    numbers = itertools.count()

    def allocate(size: int) -> npt.NDArray[np.float64]:
        if not size:
            return np.empty(0)
        path = folder / f"level.{next(numbers)}"
        with counting_in(folder):
            reserve(path, 8 * size)
            return np.memmap(path, np.float64, "r+", shape=(size,))

    return allocate


def trie_arrays(words: tuple[Any, ...], children: tuple[Any, ...]) -> dict[str, Any]:
    """The trie under the names it has in a bundle; the unigrams' words are 0 .. V-1 and not kept."""
    return {f"words.{n}": level for n, level in enumerate(words[1:], 2)} | {
        f"children.{n}": starts for n, starts in enumerate(children, 1)
    }


def _smallest(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`values` in the smallest unsigned integers that hold them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
