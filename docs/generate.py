"""Writes docs/settings.md and docs/commands.md from the code, so that they cannot drift: `python docs/generate.py`.

A test compares both files with what this would write.
"""

import dataclasses
import os
from pathlib import Path

os.environ["COLUMNS"] = "100"

from ostinato.cli.main import COMMANDS, build_parser
from ostinato.settings import SECTIONS

HERE = Path(__file__).parent


def settings_page() -> str:
    """Every field of a recipe."""
    lines = ["# Settings", "", "Every field of a recipe, for `--set section.key=value` or a TOML file.", ""]
    for section, cls in SECTIONS.items():
        lines += [f"## [{section}]", "", "| field | default | allowed | meaning |", "|---|---|---|---|"]
        for f in dataclasses.fields(cls):
            default = (
                "auto" if f.default is None else str(f.default).lower() if isinstance(f.default, bool) else f.default
            )
            lines.append(f"| `{f.name}` | `{default}` | {_allowed(f)} | {f.metadata['help']} |")
        lines.append("")
    return "\n".join(lines)


def _allowed(f: "dataclasses.Field[object]") -> str:
    m = f.metadata
    if m["among"]:
        return ", ".join(f"`{name}`" for name in m["among"])
    if m["low"] is None:
        return "true, false" if f.type is bool else "a number" if f.type is not str else "a text"
    return f"at least {m['low']:g}" if m["high"] is None else f"{m['low']:g} to {m['high']:g}"


def commands_page() -> str:
    """The help of every command."""
    parser = build_parser()
    subparsers = next(a for a in parser._actions if a.dest == "command")
    lines = ["# Commands", ""]
    for name in COMMANDS:
        lines += [f"## ostinato {name}", "", "```", subparsers.choices[name].format_help().rstrip(), "```", ""]  # type: ignore[index]
    return "\n".join(lines)


PAGES = {"settings.md": settings_page, "commands.md": commands_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
