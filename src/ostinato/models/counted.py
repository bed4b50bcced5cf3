"""Classes and tags without a recurrent network: a regression on character n-grams, and the commonest tag per word."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.errors import BundleError
from ostinato.models.classifier import IGNORED
from ostinato.models.saved import SavedModule

LONGEST_NGRAM = 4
_LARGEST_TABLE = 1 << 22
"""Weights of a regression; the n-grams share as many rows as there may be."""
_MOST_ENTRIES = 6_000_000
"""N-grams of the texts that a regression learns from; of more texts, it learns from some."""
_SUMMARIES = 6

Entries = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Rows of the table, each one once, and how much of each: both (K,)."""


class Regression(SavedModule):
    """Multinomial logistic regression: logits = sum over the entries of value times weight[row], plus bias.

    It minimises the mean cross-entropy plus |weight|^2 / (2 C N), C = 10, over N records, by L-BFGS.
    """

    def __init__(self, rows: int, classes: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(rows, classes))
        self.bias = torch.nn.Parameter(torch.zeros(classes))

    def forward(self, rows: Tensor, values: Tensor, starts: Tensor) -> Tensor:
        """Logits (B, classes) of the entries (K,) of B records, each of which begins at one of `starts` (B,)."""
        made: Tensor = functional.embedding_bag(
            rows, self.weight, starts, mode="sum", per_sample_weights=values.to(self.weight.dtype)
        )
        return made + self.bias

    def loss(
        self, rows: Tensor, values: Tensor, starts: Tensor, targets: Tensor, state: None = None
    ) -> tuple[Tensor, None]:
        """Mean cross-entropy in nats per record. targets: classes (B,) int64."""
        return functional.cross_entropy(self(rows, values, starts), targets, ignore_index=IGNORED), None

    def fit(self, records: Sequence[Entries], targets: NDArray[np.int64], *, steps: int = 60) -> None:
        """Learn from records and their classes (N,)."""
        rows, values, starts = (torch.from_numpy(a) for a in joined(records))
        classes = torch.from_numpy(targets)
        penalty = 1 / (2 * 10 * len(records))
        optimizer = torch.optim.LBFGS(self.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(rows, values, starts, classes)[0] + penalty * self.weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]


def joined(records: Sequence[Entries]) -> tuple[NDArray[Any], ...]:
    """The entries of records one after the other, and where each record begins."""
    ends = np.cumsum([len(rows) for rows, _ in records])
    return (
        np.concatenate([rows for rows, _ in records]),
        np.concatenate([values for _, values in records]),
        np.concatenate([[0], ends[:-1]]).astype(np.int64),
    )


def table_size(classes: int) -> int:
    """Rows of a table for n-grams, a power of 2: at most 65,536."""
    return min(1 << 16, 1 << int(math.log2(max(2, _LARGEST_TABLE // classes))))


def ngram_entries(text: str, size: int) -> Entries:
    """The character n-grams of a text and its two ends, up to LONGEST_NGRAM, in a table of so many rows by their hash.

    The values are log(1 + count), scaled to a sum of squares of 1.
    """
    points = np.frombuffer(f"\x02{text}\x03".encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    hashes, found = np.zeros(len(points), np.uint64), []
    for n in range(1, LONGEST_NGRAM + 1):
        if len(points) < n:
            break
        hashes = hashes[: len(points) - n + 1] * np.uint64(0x100000001B3) + points[n - 1 :] + np.uint64(n)
        mixed = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        found.append(mixed >> np.uint64(64 - int(math.log2(size))))
    rows, counts = np.unique(np.concatenate(found).astype(np.int64), return_counts=True)
    values = np.log1p(counts)
    return rows, (values / np.sqrt(np.square(values).sum())).astype(np.float32)


def summary_rows(features: int) -> int:
    """How many entries a summary has."""
    return _SUMMARIES * features


def summary_entries(features: NDArray[np.float32]) -> Entries:
    """First, last, least, greatest value, mean and deviation of each feature of a series (steps, features)."""
    f = features.astype(np.float64)
    values = np.concatenate([f[0], f[-1], f.min(0), f.max(0), f.mean(0), f.std(0)])
    return np.arange(summary_rows(features.shape[1])), values.astype(np.float32)


def fit_ngrams(texts: Sequence[str], targets: NDArray[np.int64], classes: int) -> Regression:
    """A regression on the n-grams of texts."""
    size = table_size(classes)
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(texts))
    records: list[Entries] = []
    entries = 0
    for k in order:
        records.append(ngram_entries(texts[k], size))
        if (entries := entries + len(records[-1][0])) >= _MOST_ENTRIES:
            break
    model = Regression(size, classes)
    model.fit(records, targets[order[: len(records)]])
    return model


def fit_summaries(series: Sequence[NDArray[np.float32]], targets: NDArray[np.int64], classes: int) -> Regression:
    """A regression on the summaries of series, whose weights are those of values that are not scaled."""
    table = np.stack([summary_entries(one)[1] for one in series]).astype(np.float64)
    mean, scale = table.mean(0), np.maximum(table.std(0), 1e-6)
    rows = np.arange(table.shape[1])
    model = Regression(table.shape[1], classes)
    model.fit([(rows, ((row - mean) / scale).astype(np.float32)) for row in table], targets)
    with torch.no_grad():
        weight = model.weight.double() / torch.from_numpy(scale)[:, None]
        model.bias.sub_((torch.from_numpy(mean) @ weight).float())
        model.weight.copy_(weight)
    return model


class CommonestTag(SavedModule):
    """The commonest tag of each token; of an unknown one, that of its last two characters, its last one, or of all.

    The table has hashes of 48 bits, as two numbers of 24 that float32 holds exactly: keys (N, 2), and tags (N,).
    """

    def __init__(self, entries: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.keys = torch.nn.Parameter(torch.zeros(entries, 2), requires_grad=False)
        self.tags = torch.nn.Parameter(torch.zeros(entries), requires_grad=False)
        self._table: dict[tuple[int, int], int] = {}

    def load_tensors(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """As of every model. Raises BundleError also for what is no table of tags."""
        super().load_tensors(tensors)
        keys, tags = self.keys.numpy(), self.tags.numpy()
        if (keys != np.floor(keys)).any() or (tags != np.floor(tags)).any() or not (
            (tags >= 0) & (tags < self.classes)
        ).all() or ((keys < 0) | (keys >= 1 << 24)).any():  # fmt: skip
            raise BundleError(f"its table must have hashes and tags from 0 to {self.classes - 1}")
        self._table = {(int(a), int(b)): int(tag) for (a, b), tag in zip(keys, tags, strict=True)}
        if _hashed("") not in self._table:
            raise BundleError("its table has no tag for unknown tokens")

    @classmethod
    def counted(cls, sequences: Iterable[tuple[Sequence[str], Sequence[int]]], classes: int) -> "CommonestTag":
        """From tokens with their tags."""
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for tokens, tags in sequences:
            for token, tag in zip(tokens, tags, strict=True):
                for key in _lookups(token):
                    counts[key][tag] += 1
        model = cls(len(counts), classes)
        keys = np.array([_hashed(key) for key in counts], np.float32)
        best = np.array([min(found, key=lambda tag: (-found[tag], tag)) for found in counts.values()], np.float32)
        model.load_tensors({"keys": keys, "tags": best})
        return model

    def tag(self, token: str) -> int:
        """The number of its tag."""
        return next(self._table[key] for key in map(_hashed, _lookups(token)) if key in self._table)


def _lookups(token: str) -> list[str]:
    """What is looked up for a token, in order; no two kinds are alike, since a token is never empty."""
    return [f"={token}", f"-{token[-2:]}", f"-{token[-1:]}", ""]


def _hashed(key: str) -> tuple[int, int]:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest[:3], "little"), int.from_bytes(digest[3:], "little")
