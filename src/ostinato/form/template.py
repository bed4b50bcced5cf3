"""A text with blanks: what is given stays, what is blank is written.

`_` stands for one character in Chinese, one syllable in English, and a run of them for as many; `____`, four of them,
for as much as fits; `_{4}` for four exactly. Blank lines part stanzas.
"""

import re
from dataclasses import dataclass

from ostinato.errors import UsageError
from ostinato.text.sounds import Language

OPEN_BLANK = (1, 8)
"""Units that `____` may have."""
_BLANK = re.compile(r"_\{(\d+)\}|(_+)")


@dataclass(frozen=True)
class Blank:
    """To be written, `low` to `high` units."""

    low: int
    high: int


@dataclass(frozen=True)
class Template:
    """lines: of each line its given texts and its blanks in order. stanzas: the stanza of each line."""

    lines: tuple[tuple[str | Blank, ...], ...]
    stanzas: tuple[int, ...]


def parse_template(text: str, language: Language) -> Template:
    """Read a template. Raises UsageError if it has no line, no blank, or a blank of no length or within a word."""
    lines, stanzas, stanza = [], [], 0
    for line in text.strip("\n").split("\n"):
        if line.strip():
            lines.append(_parse_line(line.rstrip(), language))
            stanzas.append(stanza)
        elif lines:
            stanza = stanzas[-1] + 1
    if not any(isinstance(part, Blank) for line in lines for part in line):
        raise UsageError("the template has no blank: write ____ for what is to be filled, or _ for each character")
    return Template(tuple(lines), tuple(stanzas))


def _parse_line(line: str, language: Language) -> tuple[str | Blank, ...]:
    parts: list[str | Blank] = []
    at = 0
    for match in _BLANK.finditer(line):
        given = line[at : match.start()]
        at = match.end()
        if given.strip() or (given and language == "zh"):
            parts.append(given)
        if match[1] is None and len(match[2]) == 4:
            parts.append(Blank(*OPEN_BLANK))
            continue
        units = int(match[1]) if match[1] is not None else len(match[2])
        if not 1 <= units <= 60:
            raise UsageError(f"a blank has 1 to 60 characters or syllables, got {match[0]} in {line!r}")
        parts.append(Blank(units, units))
    if line[at:]:
        parts.append(line[at:])
    return tuple(_merge(parts) if language == "zh" else _without_blanks(_merge(parts), line))


def _merge(parts: list[str | Blank]) -> list[str | Blank]:
    """Blanks side by side as one."""
    merged: list[str | Blank] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Blank) and isinstance(last, Blank):
            merged[-1] = Blank(last.low + part.low, last.high + part.high)
        else:
            merged.append(part)
    return merged


def _without_blanks(parts: list[str | Blank], line: str) -> list[str | Blank]:
    """English words include the space before them, so given texts must not end with one."""
    out: list[str | Blank] = []
    for i, part in enumerate(parts):
        if isinstance(part, Blank):
            out.append(part)
            continue
        if i + 1 < len(parts):
            if part[-1].isalnum():
                raise UsageError(f"a blank must be whole words: put a space before it in {line!r}")
            part = part.rstrip(" ")
        if i > 0 and part[0].isalnum():
            raise UsageError(f"a blank must be whole words: put a space after it in {line!r}")
        out.append(part)
    return out
