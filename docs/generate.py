"""Writes what follows from the code and from docs/rooms.toml, so that it cannot drift: `python docs/generate.py`.

docs/settings.md (in both languages), docs/commands.md and docs/api.md; the table of rooms in docs/design.md; the import
contracts in .importlinter. A test compares them with what this would write.
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

os.environ["COLUMNS"] = "100"

from api_page import api_page

from ostinato.cli.main import COMMANDS, build_parser
from ostinato.settings import SECTIONS, load_recipe

HERE = Path(__file__).parent


IN_CHINESE = {
    "Settings": "设置一览",
    "Every field of a recipe, for `--set section.key=value` or a TOML file.":
        "配方的每一项，用于 `--set 节.键=值` 或 TOML 文件。",
    "`train` takes the recipe `default` unless told otherwise; its column has what it sets to another value.":
        "`train` 不另外指定时用配方 `default`；它改动了默认值的项，见该列。",
    "field": "项", "by itself": "默认值", "recipe `default`": "配方 `default`", "allowed": "可取的值",
    "meaning": "含义", "files": "文件", "true, false": "true、false", "a number": "数", "a text": "文本",
    "at least {low:g}": "至少 {low:g}", "{low:g} to {high:g}": "{low:g} 到 {high:g}",
}  # fmt: skip
"""The words of `settings.md` in Chinese; the meanings are those that the studio's page shows."""


def settings_page(say: Callable[[str], str] = str) -> str:
    """Every field of a recipe. `say` translates what the page says of the settings, by their names: their meanings."""
    lines = [
        f"# {say('Settings')}",
        "",
        say("Every field of a recipe, for `--set section.key=value` or a TOML file."),
        say("`train` takes the recipe `default` unless told otherwise; its column has what it sets to another value."),
        "",
    ]
    recipe = load_recipe("default")
    heads = ("field", "by itself", "recipe `default`", "allowed", "meaning")
    for section, cls in SECTIONS.items():
        lines += [f"## [{section}]", "", f"| {' | '.join(map(say, heads))} |", "|---|---|---|---|---|"]
        for f in dataclasses.fields(cls):
            own, shipped = _value(f.default), _value(getattr(getattr(recipe, section), f.name))
            there = "" if shipped == own else f"`{shipped}`"
            name = f"{section}.{f.name}"
            meaning = f.metadata["help"] if say(name) == name else say(name)
            lines.append(f"| `{f.name}` | `{own}` | {there} | {_allowed(f, say)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def settings_page_in_chinese() -> str:
    """The same for readers of Chinese."""
    table = (HERE / "../src/ostinato/studio/page/settings.js").read_text("utf-8")
    words = dict(re.findall(r'^  "([a-z_.]+)": "(.*)",$', table, re.MULTILINE)) | IN_CHINESE
    return settings_page(lambda said: words.get(said, said))


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "auto" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(f: "dataclasses.Field[object]", say: Callable[[str], str]) -> str:
    m = f.metadata
    if isinstance(f.default, tuple):
        return say("files")
    if m["among"]:
        return ", ".join(f"`{name}`" for name in m["among"])
    if m["low"] is None:
        return say("true, false" if f.type is bool else "a number" if f.type is not str else "a text")
    return say("at least {low:g}" if m["high"] is None else "{low:g} to {high:g}").format(low=m["low"], high=m["high"])


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
    "settings.zh.md": settings_page_in_chinese,
    "commands.md": commands_page,
    "design.md": design_page,
    "api.md": api_page,
    "../.importlinter": contracts,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
