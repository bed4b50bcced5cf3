"""The page docs/api.md, from the signatures and docstrings of what `ostinato` exports."""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import ostinato
import ostinato.cells
import ostinato.ngram

_ROOMS = {
    "ostinato": ostinato.__all__,
    "ostinato.cells": ["Cell", "CellWeights", "register", "load_cell_file", "affine", "split", "sigmoid", "tanh",
                       "relu", "namespace"],
    "ostinato.ngram": ["fit_ngram", "Mixture", "fit_weights", "read_arpa", "write_arpa"],
}  # fmt: skip


def api_page() -> str:
    """Every public name of `ostinato`, then those of the rooms that users' own code imports from."""
    lines = [
        "# Python interface",
        "",
        "Made from the docstrings. [Examples that run](python.md) show the same by task; other rooms are described in",
        "[design.md](design.md). Names that begin with an underscore may change at any time.",
        "",
    ]
    for room, names in _ROOMS.items():
        lines += [f"## {room}", ""]
        package = __import__(room, fromlist=["_"])
        for name in sorted(names, key=lambda name: (name.startswith("__"), name.lower())):
            if not name.startswith("__"):
                lines += _entry(f"{room}.{name}", getattr(package, name))
    return "\n".join(lines)


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    yield from _code(name, value)
    yield from _text(inspect.getdoc(value) or "")
    if inspect.isclass(value) and not issubclass(value, Exception):
        for member, part in _members(value):
            yield f"#### {value.__name__}.{member}"
            yield ""
            yield from _code(f"{value.__name__}.{member}", part)
            yield from _text(inspect.getdoc(part) or "")


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that the class itself or one of ours defines and documents."""
    for member in sorted(dir(cls)):
        part = inspect.getattr_static(cls, member)
        ours = any(member in vars(base) for base in cls.__mro__ if base.__module__.startswith("ostinato"))
        if member.startswith("_") or not ours or not inspect.getdoc(part):
            continue
        if isinstance(part, classmethod | staticmethod):
            part = part.__func__
        if callable(part) or isinstance(part, property) or hasattr(part, "func"):
            yield member, part


def _code(name: str, value: Any) -> list[str]:
    """The signature as it is written, one argument a line where it is long; properties and exceptions have none."""
    if inspect.isclass(value):
        if issubclass(value, Exception):
            return []
        made = _fields(value) if dataclasses.is_dataclass(value) or issubclass(value, tuple) else _made(value)
        return _block(name, made, "")
    if not inspect.isfunction(value):
        return []
    (node,) = _parsed(value)
    return _block(name, _arguments(node.args), "" if node.returns is None else f" -> {_plain(node.returns)}")


def _made(cls: type) -> list[str]:
    """The arguments of `__init__`."""
    init = vars(cls).get("__init__")
    return _arguments(_parsed(init)[0].args) if inspect.isfunction(init) else []


def _fields(cls: type) -> list[str]:
    """Those of a dataclass or named tuple, in order."""
    (node,) = _parsed(cls)
    found = [entry for entry in node.body if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name)]
    only = ["*"] if getattr(getattr(cls, "__dataclass_params__", None), "kw_only", False) else []
    return only + [
        f"{entry.target.id}: {_plain(entry.annotation)}" + (f" = {ast.unparse(entry.value)}" if entry.value else "")
        for entry in found
        if not entry.target.id.startswith("_") and "ClassVar" not in ast.unparse(entry.annotation)
    ]


def _parsed(value: Any) -> list[Any]:
    """The syntax tree of a function or class."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body


def _arguments(arguments: ast.arguments) -> list[str]:
    """Each argument as it is written, without self and cls."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    shown = [_argument(a, d) for a, d in zip(positional, defaults, strict=True) if a.arg not in ("self", "cls")]
    if arguments.vararg is not None:
        shown.append(f"*{_argument(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += [_argument(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return shown + ([] if arguments.kwarg is None else [f"**{_argument(arguments.kwarg, None)}"])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = "" if argument.annotation is None else f": {_plain(argument.annotation)}"
    equals = " = " if kind else "="
    return f"{argument.arg}{kind}" + ("" if default is None else f"{equals}{ast.unparse(default)}")


def _plain(annotation: ast.expr) -> str:
    """An annotation without the quotes of one that is looked up late."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation).replace("'", "")


def _block(name: str, arguments: list[str], returned: str) -> list[str]:
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){returned}"
    return ["```python", line, "```", ""]


def _text(doc: str) -> list[str]:
    """A docstring as Markdown: indented lines are code; what Markdown would take for markup is escaped."""
    lines = [line if line.startswith("    ") else _escaped(line) for line in doc.splitlines()]
    return [*lines, ""]


def _escaped(line: str) -> str:
    """Underscores, stars and angle brackets outside of code spans."""
    parts = line.split("`")
    return "`".join(re.sub(r"([*_<>\[\]])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts))
