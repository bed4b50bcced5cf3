"""Comparisons: n-grams, networks and mixtures on one held-out text, in a process of their own."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from starlette.responses import Response

from ostinato.bundle import RUN_LOCK
from ostinato.files import holder
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import flag, integer, number, record, several, text
from ostinato.studio.jobs import Jobs
from ostinato.studio.library import Library, model_folder
from ostinato.studio.place import Place, check_name, clean_name, listed, modified, read_own
from ostinato.studio.texts import Texts

_ANY = {"type": "object"}
_ASK = record(
    {
        "text": text("the text's name"),
        "name": text("the comparison's name"),
        "models": several(text("a run's name"), maxItems=6),
        "minutes": number("minutes to train a network of its own; 0: none", 0, 1e5, default=0.0),
        "order": integer("the longest n-grams", 1, 10, default=5),
        "window": integer("a network that sees so many tokens; 0: none", 0, 1024, default=0),
        "dynamic": flag("dynamic evaluation, too, which is slow"),
    },
    required=("text",),
)


_SEVERAL = "ostinato.studio.several"


class Comparisons:
    """The comparisons in the studio's folder. One with several models is a command per model, one after the other."""

    def __init__(self, place: Place, library: Library, texts: Texts) -> None:
        self._place, self._library, self._texts = place, library, texts
        self.jobs = Jobs(place.jobs / "comparisons")
        texts.renamed.append(self.jobs.retext)

    def list(self) -> list[dict[str, Any]]:
        """All comparisons, the newest first."""
        names = {entry.name for entry in listed(self._place.comparisons) if entry.is_dir()}
        found = [self.describe(name) for name in sorted(names | set(self.jobs.names()))]
        return sorted(found, key=lambda one: -(one["created"] or 0))

    def describe(self, name: str) -> dict[str, Any]:
        """One comparison. Raises Problem (404)."""
        folder, record_ = self._place.comparison(name), self.jobs.record(name)
        if not folder.is_dir() and not record_:
            raise Problem(404, f"no comparison is called {name}", code="not_found")
        table = self._table(name)
        state, message = self._state(name, table)
        created = record_.get("created") or modified(folder)
        return {
            "name": name, "state": state, "text": record_.get("text"), "models": record_.get("models", []),
            "created": created, "message": message, "log": self.jobs.log(name, 5), "table": table,
            "picture": _picture(folder) is not None,
        }  # fmt: skip

    def _table(self, name: str) -> Any:
        folder = self._place.comparison(name)
        found = _comparisons(folder)
        if found is None and (models := self.jobs.record(name).get("models")):
            parts = [_comparisons(folder / str(number)) for number in range(1, len(models) + 1)]
            found = joined([part or [] for part in parts], models)
        return found or None

    def _state(self, name: str, table: Any) -> tuple[str, str | None]:
        if self.jobs.alive(name) or holder(self._place.comparison(name) / RUN_LOCK) is not None:
            return ("stopping" if self.jobs.stopping(name) else "running"), None
        if (failure := self.jobs.failure(name)) is not None and table is None:
            return "failed", failure
        notes = [note for one in table or () for note in one.get("notes", ())]
        return ("interrupted" if table is None or any(n.startswith("interrupted") for n in notes) else "finished"), None

    async def start(self, call: Call) -> Response:
        """Begin a comparison."""
        body = call.body
        path = self._texts.find(body["text"])
        models = body.get("models", [])
        folders = []
        for model in models:
            folder = model_folder(self._place.run(model))
            if folder is None:
                raise Problem(404, f"{model} has no model", param="models", code="not_found")
            folders.append(folder)
        wanted = check_name(body["name"]) if "name" in body else clean_name(os.path.splitext(body["text"])[0])
        name = self._place.free(self._place.comparisons, wanted, self.jobs.alive)
        options = ["--json", "--order", str(body["order"]), *([] if body["dynamic"] else ["--no-dynamic"])]
        facts = {"text": body["text"], "models": models, "created": time.time()}
        out = self._place.comparison(name)
        if folders:
            commands = [["compare", path, "-o", str(out / str(number)), "--model", str(folder), *options]
                        for number, folder in enumerate(folders, 1)]  # fmt: skip
            await asyncio.to_thread(self.jobs.start, name, [str(out), json.dumps(commands)], facts, module=_SEVERAL)
        else:
            own = ["--minutes", f"{body['minutes']}", "--window", f"{body['window']}"]
            await asyncio.to_thread(self.jobs.start, name, ["compare", path, "-o", str(out), *own, *options], facts)
        return Json(self.describe(name), status_code=201)

    async def show(self, call: Call) -> Response:
        """One comparison."""
        return Json(await asyncio.to_thread(self.describe, call.request.path_params["name"]))

    async def stop(self, call: Call) -> Response:
        """End it; what was measured is kept."""
        name = self.describe(call.request.path_params["name"])["name"]
        self.jobs.stop(name, holder(self._place.comparison(name) / RUN_LOCK))
        return Json(self.describe(name))

    async def delete(self, call: Call) -> Response:
        """Remove it."""
        one = self.describe(call.request.path_params["name"])
        if one["state"] in ("running", "stopping"):
            raise Problem(409, f"{one['name']} is at work: stop it first", code="busy")
        folder = self._place.comparison(one["name"])
        if folder.exists():
            with self._place.upload() as bin_:
                folder.rename(bin_ / "comparison")
        self.jobs.forget(one["name"])
        return Json({"deleted": one["name"]})

    async def picture(self, call: Call) -> Response:
        """Its picture."""
        content = _picture(self._place.comparison(call.request.path_params["name"]))
        if content is None:
            raise Problem(404, "there is no picture yet", code="not_found")
        return Response(content, media_type="image/svg+xml")

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses."""
        base = "/studio/api/comparisons"
        one = f"{base}/{{name}}"
        return (
            Endpoint("POST", base, self.start, "Begin a comparison", _ANY, _ASK),
            Endpoint("GET", one, self.show, "A comparison", _ANY),
            Endpoint("POST", f"{one}/stop", self.stop, "End a comparison", _ANY),
            Endpoint("DELETE", one, self.delete, "Delete a comparison", _ANY),
            Endpoint("GET", f"{one}/picture.svg", self.picture, "Its picture", {"type": "string"},
                     media_type="image/svg+xml"),
        )  # fmt: skip


def _comparisons(folder: Path) -> list[dict[str, Any]] | None:
    """The tables that `compare -o` saved; None where there are none (yet)."""
    content = read_own(folder / "compare.json")
    try:
        found = json.loads(content).get("comparisons") if content else None
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def joined(parts: list[list[dict[str, Any]]], models: list[str]) -> list[dict[str, Any]]:
    """One table for all models that cut the text alike: what all of their tables have stands in it once, the rest with
    the name of its run before it."""
    by_text: dict[Any, list[tuple[dict[str, Any], str]]] = {}
    for part, model in zip(parts, models, strict=True):
        for table in part:
            by_text.setdefault(tuple(table.get(name) for name in _KEY), []).append((table, model))
    return [_one_table(tables) for tables in by_text.values()]


_KEY = ("tokenizer", "vocabulary", "tokens", "characters")
_ORDER = ("baseline", "n-gram", "window", "network", "mixture", "adapting")


def _one_table(tables: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
    def figure(row: dict[str, Any]) -> tuple[Any, Any]:
        return row["model"], row["bits_per_character"]

    everywhere = set.intersection(*({figure(row) for row in table["rows"]} for table, _ in tables))
    rows: dict[str, dict[str, Any]] = {}
    for table, model in tables:
        for row in table["rows"]:
            own = row["group"] in ("network", "mixture") or figure(row) not in everywhere
            name = f"{model}: {row['model']}" if own else row["model"]
            rows.setdefault(name, {**row, "model": name})
    notes = dict.fromkeys(note for table, _ in tables for note in table["notes"])
    in_order = sorted(rows.values(), key=lambda row: (*_ORDER, row["group"]).index(row["group"]))
    return {**tables[0][0], "rows": in_order, "notes": list(notes)}


def _picture(folder: Path) -> bytes | None:
    """The picture of a comparison, or of its first model."""
    return read_own(folder / "compare.svg") or read_own(folder / "1" / "compare.svg")
