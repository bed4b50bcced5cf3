"""Schemas of JSON bodies: the same description checks bodies and appears in the OpenAPI document.

A schema is the part of JSON Schema that is needed here. As in OpenAI's API, fields that a schema does not name are
ignored, and null is the same as leaving a field out. `closed` makes a schema that refuses unknown fields.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.errors import did_you_mean
from ostinato.server.problems import Problem

Schema = dict[str, Any]

_WORDS = {
    "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip


def text(help_: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": help_, **more}


def integer(help_: str, low: int, high: int, **more: Any) -> Schema:
    """An integer from low to high."""
    return {"type": "integer", "minimum": low, "maximum": high, "description": help_, **more}


def number(help_: str, low: float, high: float, **more: Any) -> Schema:
    """A number from low to high."""
    return {"type": "number", "minimum": low, "maximum": high, "description": help_, **more}


def flag(help_: str) -> Schema:
    """True or false; false by default."""
    return {"type": "boolean", "description": help_, "default": False}


def several(items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **more}


def record(properties: Mapping[str, Schema], required: Sequence[str] = (), help_: str = "") -> Schema:
    """An object with these fields; others are ignored."""
    found: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        found["required"] = list(required)
    if help_:
        found["description"] = help_
    return found


def closed(schema: Schema) -> Schema:
    """The same schema, but unknown fields are refused, also in nested objects, unless an object says which other fields
    it allows."""
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: closed(inner) for name, inner in schema["properties"].items()}
        found.setdefault("additionalProperties", False)
    if "items" in schema:
        found["items"] = closed(schema["items"])
    if "anyOf" in schema:
        found["anyOf"] = [closed(inner) for inner in schema["anyOf"]]
    return found


def either(*schemas: Schema, help_: str = "") -> Schema:
    """A value that matches any of several schemas."""
    return {"anyOf": list(schemas), "description": help_}


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def shown(schema: Schema) -> Schema:
    """A body's schema as the OpenAPI document shows it: every optional field may be null."""
    properties = schema.get("properties")
    if properties is None:
        return schema
    required = schema.get("required", ())
    return {
        **schema,
        "properties": {
            name: shown(inner) if name in required else or_null(shown(inner)) for name, inner in properties.items()
        },
    }


def check(value: Any, schema: Schema, name: str) -> Any:
    """Returns `value` with the defaults of `schema` filled in. Raises Problem (400) that names the wrong field."""
    if "anyOf" in schema:
        return _any(value, schema, name)
    kind = schema.get("type")
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.0 is an integer in JSON Schema, as in JavaScript
    if kind is not None and not _is(value, kind):
        raise _wrong(name, _WORDS[kind], value)
    if "enum" in schema and value not in schema["enum"]:
        raise _wrong(name, f"one of {', '.join(schema['enum'])}", value)
    if kind in ("integer", "number"):
        _check_number(value, schema, name)
    if kind == "array":
        _check_size(value, schema, name)
        items = schema["items"]
        return [check(item, items, f"{name}[{at}]") for at, item in enumerate(value)]
    if kind == "object":
        return _record(value, schema, name)
    return value


def _any(value: Any, schema: Schema, name: str) -> Any:
    """Returns the value under the first schema that accepts it; otherwise reports the error under the best-fitting
    schema."""
    problems = []
    for inner in schema["anyOf"]:
        try:
            return check(value, inner, name)
        except Problem as problem:
            problems.append(problem)
    fitting = [p for p, inner in zip(problems, schema["anyOf"], strict=True) if _is(value, inner.get("type", ""))]
    if fitting:
        raise fitting[-1]
    words = " or ".join(dict.fromkeys(_WORDS[inner["type"]] for inner in schema["anyOf"]))
    raise _wrong(name, words, value)


def _is(value: Any, kind: str) -> bool:
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)
    }  # fmt: skip
    return isinstance(value, kinds.get(kind, ()))


def _check_number(value: float, schema: Schema, name: str) -> None:
    low, high = schema["minimum"], schema["maximum"]
    if not low <= value <= high or (isinstance(value, float) and not math.isfinite(value)):
        raise _wrong(name, f"{low:,} to {high:,}", value)


def _check_size(value: list[Any], schema: Schema, name: str) -> None:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < low:
        raise Problem(400, f"{name} must have at least {low} entries, got {len(value)}", param=_top(name))
    if high is not None and len(value) > high:
        raise Problem(400, f"{name} must have at most {high} entries, got {len(value)}", param=_top(name))


def _record(value: dict[str, Any], schema: Schema, name: str) -> dict[str, Any]:
    found = {}
    others = schema.get("additionalProperties")
    if others is False:
        _refuse_unknown(value, schema["properties"], name)
    for key, inner in schema.get("properties", {}).items():
        given = value.get(key)
        where = f"{name}.{key}" if name else key
        if given is not None:
            found[key] = check(given, inner, where)
        elif key in schema.get("required", ()):
            raise Problem(400, f"{where} is missing", param=_top(where))
        elif "default" in inner:
            found[key] = inner["default"]
    if isinstance(others, dict):
        found |= {key: check(item, others, f"{name}[{key!r}]") for key, item in value.items()}
    return found


def _refuse_unknown(value: dict[str, Any], known: Mapping[str, Schema], name: str) -> None:
    unknown = next((key for key in value if key not in known), None)
    if unknown is None:
        return
    what = f"unknown field {_shortened(unknown)}" + (f" of {name}" if name else "")
    hint = did_you_mean(unknown, known) or f": the fields are {', '.join(known)}"
    raise Problem(400, f"{what}{hint}", param=_top(name) or unknown[:60])


def _wrong(name: str, allowed: str, value: Any) -> Problem:
    return Problem(400, f"{name or 'the body'} must be {allowed}, got {_shortened(value)}", param=_top(name))


def _shortened(value: Any) -> str:
    given = json.dumps(value, ensure_ascii=False, default=str)
    return given if len(given) <= 60 else given[:60] + "…"


def _top(name: str) -> str | None:
    return name.partition(".")[0].partition("[")[0] or None
