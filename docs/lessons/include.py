"""Fills the lessons' blocks from the examples, so that they cannot drift.

    python docs/lessons/include.py          the code, as it stands in examples/
    python docs/lessons/include.py --run    also what it prints, by running every example, and its pictures

A block follows a comment: `<!-- example: NAME.py -->` or `<!-- output: NAME.py -->`. A test compares the
code exactly and the output but for what differs between machines: lines that begin with ">", and numbers by a little.
"""

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
LESSONS = sorted(HERE.glob("lesson-*.md"))
_BLOCK = re.compile(r"<!-- (example|output): (\S+) -->\n```(\w*)\n(.*?)\n?```", re.DOTALL)


def blocks(text: str, kind: str) -> dict[str, str]:
    """What stands in the blocks of a lesson, by the example's file name. kind: `example` or `output`."""
    return {name: body for found, name, _, body in _BLOCK.findall(text) if found == kind}


def fill(text: str, kind: str, contents: dict[str, str]) -> str:
    """The lesson with the blocks of one kind replaced. Raises KeyError for an example that `contents` lacks."""

    def block(match: re.Match[str]) -> str:
        found, name, language, _ = match.groups()
        if found != kind:
            return match[0]
        return f"<!-- {kind}: {name} -->\n```{language}\n{contents[name]}\n```"

    return _BLOCK.sub(block, text)


def code() -> dict[str, str]:
    """Every example's source by file name."""
    return {path.name: path.read_text("utf-8").rstrip("\n") for path in sorted(EXAMPLES.glob("*.py"))}


def run(name: str, folder: Path) -> str:
    """What the example prints; its pictures go to `folder`."""
    printed, arguments = io.StringIO(), sys.argv
    sys.argv = [name, str(folder)]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv = arguments
    return "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").split("\n"))


def main(*, execute: bool) -> None:
    """Rewrite every lesson in place."""
    outputs = {name: run(name, HERE / "images") for name in code()} if execute else None
    for picture in (HERE / "images").glob("*.png"):  # the pages show the SVG
        picture.unlink()
    for path in LESSONS:
        text = fill(path.read_text("utf-8"), "example", code())
        path.write_text(text if outputs is None else fill(text, "output", outputs), "utf-8")


if __name__ == "__main__":
    main(execute="--run" in sys.argv[1:])
