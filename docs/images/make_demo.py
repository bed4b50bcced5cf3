"""Draws docs/images/demo.svg from a real run: `python docs/images/make_demo.py TRAIN_LOG WRITE_OUTPUT`.

The arguments are what `ostinato train` printed to standard error and what `ostinato write` printed; `make demo` shows
the same. Characters are placed one by one, so that Chinese ones take two columns whatever fonts the reader has.
"""

import sys
from pathlib import Path
from xml.sax.saxutils import escape

from ostinato.text.width import display_width, fit

COLUMN, LINE, MARGIN, COLUMNS = 8.0, 20, 18, 128
COLOURS = {"command": "#7ee787", "plain": "#d7dce2", "dim": "#8b949e", "verse": "#ffd7a8"}


def line_svg(text: str, kind: str, y: int) -> str:
    """One line of text with the position of each character."""
    x, places = MARGIN, []
    for character in text:
        places.append(f"{x:g}")
        x += COLUMN * display_width(character)
    return f'<text x="{" ".join(places)}" y="{y}" fill="{COLOURS[kind]}">{escape(text)}</text>'


def screen(train: str, written: str) -> list[tuple[str, str]]:
    """The lines to show, each with its kind: the run's beginning and end, then what was written."""
    log = [line for line in train.splitlines() if line.strip() and "tokens/s" not in line]
    shown = log[:2] + [line for line in log[2:] if line.startswith("step")][:1] + ["…"] + log[-8:]
    rows = [("$ ostinato train lyrics-zh --minutes 2", "command")]
    rows += [(fit(line, COLUMNS), "verse" if line.startswith("    ") else "dim") for line in shown]
    rows += [("", "plain"), ("$ ostinato write lyrics-zh-model 分开 --lines 8", "command")]
    return rows + [(fit(line, COLUMNS), "plain") for line in written.rstrip().splitlines()]


def main(train_log: str, write_output: str) -> None:
    """Write the picture beside this file."""
    rows = screen(Path(train_log).read_text("utf-8"), Path(write_output).read_text("utf-8"))
    width, height = 2 * MARGIN + COLUMN * COLUMNS, 2 * MARGIN + LINE * len(rows)
    body = [line_svg(text, kind, MARGIN + 14 + LINE * k) for k, (text, kind) in enumerate(rows) if text]
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" xml:space="preserve"',
        " font-family=\"ui-monospace, Menlo, Consolas, 'Noto Sans Mono CJK SC', 'PingFang SC', monospace\"",
        ' font-size="13.5">',
        f'<rect width="{width:g}" height="{height}" rx="10" fill="#10151c"/>',
        *body,
        "</svg>",
    ]
    Path(__file__).with_name("demo.svg").write_text("\n".join(svg) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
