"""Models side by side on one held-out text: the rows of `ostinato compare`, their table and their JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ostinato.evaluation.perplexity import Evaluation, figure
from ostinato.text.width import display_width, pad

ADAPTING = "adapting"
"""The group of models that learn from the held-out text while they read it: not comparable with the others."""


@dataclass(frozen=True)
class Row:
    """One model. `group`: baseline, n-gram, window, network, mixture or adapting. seconds: what its training took.

    tokens_per_second: scored, None where it was not timed. longest_copy: tokens of the longest span that it copied from
    the training text when it wrote, None where it wrote nothing.
    """

    name: str
    group: str
    evaluation: Evaluation
    parameters: int = 0
    bytes: int = 0
    seconds: float = 0.0
    tokens_per_second: float | None = None
    longest_copy: int | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON types only."""
        figures = self.evaluation.to_json()
        return {
            "model": self.name,
            "group": self.group,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "training_seconds": round(self.seconds, 3),
            "perplexity": figures["perplexity"],
            "bits_per_character": figures["bits_per_character"],
            "tokens_per_second": None if self.tokens_per_second is None else round(self.tokens_per_second),
            "longest_copy": self.longest_copy,
        }


@dataclass(frozen=True)
class Comparison:
    """All models on one held-out text cut by one tokenizer. `notes` say what a reader of the figures must know.

    signal: 0, or what ended the comparison before everything was measured.
    """

    tokenizer: str
    vocabulary_size: int
    tokens: int
    characters: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    signal: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "tokenizer": self.tokenizer,
            "vocabulary": self.vocabulary_size,
            "split": "held-out",
            "tokens": self.tokens,
            "characters": self.characters,
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        header = ["model", "parameters", "size", "trained", "perplexity", "bits/char", "tokens/s", "longest copy"]
        fixed = [_cells(row) for row in self.rows if row.group != ADAPTING]
        adapting = [_cells(row) for row in self.rows if row.group == ADAPTING]
        widths = [max(map(display_width, column)) for column in zip(header, *fixed, *adapting, strict=True)]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [
            f"held out: {self.tokens:,} tokens ({self.tokenizer}, vocabulary {self.vocabulary_size:,}), "
            f"{self.characters:,} characters",
            "",
            _line(header, widths),
            rule,
            *(_line(cells, widths) for cells in fixed),
        ]
        if adapting:
            lines += [rule, *(_line(cells, widths) for cells in adapting), rule]
            lines.append("Below the line: models that adapt to the held-out text while they read it.")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def _cells(row: Row) -> list[str]:
    evaluation = row.evaluation
    return [
        row.name,
        f"{row.parameters:,}" if row.parameters else "",
        _bytes(row.bytes) if row.bytes else "",
        _seconds(row.seconds) if row.seconds else "",
        "inf" if math.isinf(evaluation.nats) else figure(evaluation.perplexity),  # a token held impossible
        f"{evaluation.bits_per_character:.3f}",
        "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        "" if row.longest_copy is None else f"{row.longest_copy} tokens",
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fields = [pad(cell, width, right=i > 0) for i, (cell, width) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(fields).rstrip()


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.2f} s"
