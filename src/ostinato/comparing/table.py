"""A comparison as files that other programs read: JSON with everything, CSV with a line per model."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from ostinato.errors import TrainingError
from ostinato.evaluation.compare import Comparison
from ostinato.files import write_file

_TEXT_COLUMNS = ("tokenizer", "vocabulary", "split", "tokens", "characters")


def save_table(comparisons: Sequence[Comparison], folder: Path) -> None:
    """Write `folder`/compare.json and compare.csv, each whole or not at all.

    The JSON is what `ostinato compare --json` prints. In the CSV (UTF-8, a header, one line per model) an empty field
    stands for null: an infinite perplexity, a speed that was not timed. Raises TrainingError where it cannot be
    written.
    """
    documents = [comparison.to_json() for comparison in comparisons]
    lines = [
        {name: document[name] for name in _TEXT_COLUMNS} | row for document in documents for row in document["rows"]
    ]
    table = io.StringIO(newline="")
    if lines:
        writer = csv.DictWriter(table, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    try:
        write_file(folder / "compare.json", json.dumps({"comparisons": documents}, ensure_ascii=False, indent=1) + "\n")
        write_file(folder / "compare.csv", table.getvalue())
    except OSError as error:
        raise TrainingError(
            f"cannot write the table of the comparison in {folder}: {error.strerror or error}"
        ) from None
