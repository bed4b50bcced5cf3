"""Makes the notebooks of the lessons, in both languages, from their sources: `python docs/notebooks/make.py`.

A source is Python with cells: `# %% [en]` and `# %% [zh]` begin a text in comments, `# %%` code that both languages
have. The tests run the code of each source from top to bottom.
"""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = sorted(HERE.glob("lesson-*.py"))
LANGUAGES = {"en": "", "zh": ".zh"}
_CELL = re.compile(r"^# %%(?: \[(en|zh)\])?\n", re.MULTILINE)


def cells(source: str) -> list[tuple[str | None, str]]:
    """Each cell: its language (None: code) and its text. Raises ValueError for what stands before the first."""
    before, *parts = _CELL.split(source)
    if before.strip():
        raise ValueError(f"the source must begin with a cell, got {before[:60]!r}")
    found = []
    for language, body in zip(parts[::2], parts[1::2], strict=True):
        text = body.strip("\n")
        if language is not None:
            text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in text.splitlines())
        found.append((language, text))
    return found


def code(source: str) -> list[str]:
    """The code cells."""
    return [text for language, text in cells(source) if language is None]


def notebook(source: str, language: str) -> dict[str, Any]:
    """The notebook of one language, version 4.5 of the format, not run yet."""
    made = []
    for at, (own, text) in enumerate(cells(source)):
        if own not in (None, language):
            continue
        lines = text.splitlines(keepends=True)
        if own is None:
            more = {"cell_type": "code", "execution_count": None, "outputs": []}
        else:
            more = {"cell_type": "markdown"}
        made.append({**more, "id": f"cell-{at}", "metadata": {}, "source": lines})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def files() -> dict[str, str]:
    """Every notebook by its file name."""
    return {
        f"{path.stem}{ending}.ipynb": json.dumps(
            notebook(path.read_text("utf-8"), language), ensure_ascii=False, indent=1
        )
        + "\n"
        for path in SOURCES
        for language, ending in LANGUAGES.items()
    }


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, "utf-8")
