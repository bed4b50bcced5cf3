"""Writes what follows from the code and from docs/rooms.toml, so that it cannot drift: `python docs/generate.py`.

docs/settings.md, docs/commands.md and docs/api.md; the table of rooms in docs/design.md; the import contracts in
.importlinter. A test compares them with what this would write.
"""

import dataclasses
import os
import tomllib
from pathlib import Path

os.environ["COLUMNS"] = "100"

from api_page import api_page

from ostinato.cli.main import COMMANDS, build_parser
from ostinato.settings import SECTIONS, load_recipe

HERE = Path(__file__).parent


def settings_page() -> str:
    """Every field of a recipe."""
    lines = [
        "# Settings",
        "",
        "Every field of a recipe, for `--set section.key=value` or a TOML file.",
        "`train` takes the recipe `default` unless told otherwise; its column has what it sets to another value.",
        "",
    ]
    recipe = load_recipe("default")
    for section, cls in SECTIONS.items():
        rows = [f"## [{section}]", "", "| field | by itself | recipe `default` | allowed | meaning |"]
        lines += [*rows, "|---|---|---|---|---|"]
        for f in dataclasses.fields(cls):
            own, shipped = _value(f.default), _value(getattr(getattr(recipe, section), f.name))
            there = "" if shipped == own else f"`{shipped}`"
            lines.append(f"| `{f.name}` | `{own}` | {there} | {_allowed(f)} | {f.metadata['help']} |")
        lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "auto" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(f: "dataclasses.Field[object]") -> str:
    m = f.metadata
    if isinstance(f.default, tuple):
        return "files"
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


EVERYWHERE = ("encodings", "errors", "files", "lazy", "processors", "protocols", "randomness", "settings")
"""Rooms that every other may import."""


def rooms() -> dict[str, dict[str, object]]:
    """The rooms, by name, as docs/rooms.toml describes them."""
    return tomllib.loads((HERE / "rooms.toml").read_text("utf-8"))


def contracts() -> str:
    """The contracts that import-linter checks: each room against the rooms it may not enter."""
    known = rooms()
    blocks = ["# Written by docs/generate.py from docs/rooms.toml.\n[importlinter]\nroot_package = ostinato\n"
              "include_external_packages = True\n"]  # fmt: skip

    def forbid(key: str, name: str, sources: list[str], targets: list[str]) -> None:
        rows = [f"[importlinter:contract:{key}]", f"name = {name}", "type = forbidden"]
        rows += ["source_modules =", *(f"    ostinato.{room}" for room in sources)]
        rows += ["forbidden_modules =", *(f"    {target}" for target in targets), "allow_indirect_imports = True", ""]
        blocks.append("\n".join(rows))

    for name, room in known.items():
        may = room["may"]
        if may != ["*"]:
            allowed = {name, *may, *EVERYWHERE}
            told = ", ".join(may) or "no other room"
            forbid(name, f"{name} may import {told}", [name], [f"ostinato.{r}" for r in known if r not in allowed])
    without = [name for name, room in known.items() if not room.get("torch") and room["may"] != ["*"]]
    forbid("torch", "torch stays where it is needed", without, ["torch"])
    return "\n".join(blocks)


BEGIN, END = "<!-- rooms: from rooms.toml -->", "<!-- end of rooms -->"


def design_page() -> str:
    """docs/design.md with the table of rooms put in."""
    before, _, rest = (HERE / "design.md").read_text("utf-8").partition(BEGIN)
    lines = ["| room | what lives there | may import |", "|---|---|---|"]
    for name, room in rooms().items():
        may = "everything" if room["may"] == ["*"] else ", ".join(f"`{r}`" for r in room["may"]) or "–"
        lines.append(f"| `{name}` | {room['what']} | {may}{'; torch' if room.get('torch') else ''} |")
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}"


PAGES = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "design.md": design_page,
    "api.md": api_page,
    "../.importlinter": contracts,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
