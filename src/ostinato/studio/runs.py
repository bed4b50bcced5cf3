"""Runs: start, stop, go on, and what is done with their folders."""

import asyncio
import json
import os
import shutil
import types
import typing
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from ostinato.bases import BASES
from ostinato.bundle import MANIFEST, RUN_LOCK, read_snapshot
from ostinato.errors import MissingExtraError
from ostinato.files import holder
from ostinato.runs.finding import find_task
from ostinato.runs.folder import foreign
from ostinato.runs.sample_file import read_samples
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import either, integer, number, record, text
from ostinato.settings import SECTIONS, Recipe, load_recipe, recipe_from_mapping, recipe_names, to_mapping, with_budget
from ostinato.studio.jobs import Jobs
from ostinato.studio.library import Library, model_folder, readable
from ostinato.studio.place import Place, check_name, clean_name, remove
from ostinato.studio.run_state import RunFiles, describe_run, finite, is_run, run_names, trained_seconds
from ostinato.studio.texts import Texts

_ANY = {"type": "object"}
_MINUTES = number("minutes of training", 0.01, 1e5)
_VALUE = either(text("a text"), number("a number", -1e30, 1e30), {"type": "boolean"}, help_="a value")
_START = record(
    {
        "text": text("the text's name"),
        "name": text("the run's name (by default the text's)"),
        "recipe": text("a recipe's name", default="default"),
        "minutes": _MINUTES,
        "epochs": number("passes over the text", 0.001, 1e9),
        "steps": integer("minibatches", 1, 2**31 - 1),
        "settings": {"type": "object", "additionalProperties": _VALUE, "description": "what differs from the recipe"},
        "start": text("auto, none, a base's name or another run's", default="auto"),
        "seed": integer("seed", 0, 2**63 - 1),
        "encoding": text("the text's encoding"),
    },
    required=("text",),
)
_LOG_LINES = 200


class Runs:
    """The runs in the studio's folder."""

    def __init__(self, place: Place, library: Library, texts: Texts) -> None:
        self._place, self._library, self._texts = place, library, texts
        self.jobs = Jobs(place.jobs / "runs")
        texts.renamed.append(self.jobs.retext)

    def names(self) -> list[str]:
        """The runs' names."""
        return run_names(self._place, self.jobs)

    def list(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        found = [self.describe(name) for name in self.names()]
        return sorted(found, key=lambda run: -(run["modified"] or run["created"] or 0))

    def describe(self, name: str) -> dict[str, Any]:
        """One run. Raises Problem (404)."""
        return finite(describe_run(self._place, self.jobs, self.known(name)))  # type: ignore[no-any-return]

    def known(self, name: str) -> str:
        """`name`, if there is such a run. Raises Problem (404)."""
        folder = self._place.run(name)
        if not is_run(folder) and not self.jobs.record(folder.name):
            raise Problem(404, f"no run is called {name}", code="not_found")
        return folder.name

    def folder(self, name: str) -> Path:
        """Where it lies."""
        return self._place.run(name)

    # -- looking ---------------------------------------------------------------------------------------------------

    async def show(self, call: Call) -> Response:
        """One run with all of its rows."""
        return Json(await asyncio.to_thread(self._whole, call.request.path_params["name"]))

    def _whole(self, name: str) -> dict[str, Any]:
        run = self.describe(name)
        folder = self._place.run(name)
        files = RunFiles.read(folder)
        model = readable(folder)
        return {
            **run,
            "recipe": None if files.recipe is None else flat(files.recipe),
            "card": None if model is None else model.card,
            "rows": finite(files.rows),
            "samples": read_samples(folder),
            "log": self.jobs.log(run["name"], _LOG_LINES),
        }

    async def bundle(self, call: Call) -> Response:
        """The model as a zip."""
        name = self.known(call.request.path_params["name"])
        folder = model_folder(self._place.run(name))
        if folder is None:
            raise Problem(404, f"{name} has no model yet", code="no_model")
        place = self._place.uploads / f"{os.getpid()}-{id(call)}.zip"
        await asyncio.to_thread(_zip, folder, place, name)
        return FileResponse(
            place, media_type="application/zip", filename=f"{name}.zip", background=BackgroundTask(remove, place)
        )

    # -- training --------------------------------------------------------------------------------------------------

    async def start(self, call: Call) -> Response:
        """Begin a run in a process of its own. Raises Problem, SettingsError."""
        body = call.body
        path = self._texts.find(body["text"])
        recipe, arguments = _asked(body)
        _refuse_what_is_missing(recipe)
        if "name" in body:
            self._place.run(check_name(body["name"]))  # refuses what cannot be one
        wanted = check_name(body["name"]) if "name" in body else clean_name(os.path.splitext(body["text"])[0])
        name = self._place.free(self._place.root, wanted, self.jobs.alive)
        arguments += ["--from", self._start(body["start"])]
        if "encoding" in body:
            arguments.append(f"--encoding={body['encoding']}")
        command = ["train", path, "-o", str(self._place.run(name)), "--json", *arguments]
        facts = {"text": body["text"], "created": _now(), **{k: body.get(k) for k in ("minutes", "epochs", "steps")}}
        await asyncio.to_thread(self.jobs.start, name, command, facts)
        return Json(self.describe(name), status_code=201)

    def _start(self, name: str) -> str:
        """What `--from` is given."""
        if name in ("auto", "none") or (name in BASES and not self._place.run(name).exists()):
            return name
        folder = self._place.run(self.known(name))
        if model_folder(folder) is None:
            raise Problem(400, f"{name} has no model to start from", param="start")
        return str(folder)

    async def stop(self, call: Call) -> Response:
        """Save and end."""
        name = self.known(call.request.path_params["name"])
        self.jobs.stop(name, holder(self._place.run(name) / RUN_LOCK))
        return Json(self.describe(name))

    async def resume(self, call: Call) -> Response:
        """Go on, to the end of the budget or for some minutes more."""
        name = self.known(call.request.path_params["name"])
        run = self.describe(name)
        if not run["resumable"]:
            raise Problem(409, f"{name} cannot be continued: it is {run['state']}, or has no checkpoint", code="busy")
        chosen = call.body.get("text") or run["text"]
        if chosen is None:
            raise Problem(400, "the text of this run is not known here: name it with text", param="text")
        arguments = ["train", self._texts.find(chosen), "-o", str(self._place.run(name)), "--json", "--resume"]
        if more := call.body.get("more_minutes"):
            arguments += ["--minutes", f"{trained_seconds(self._place.run(name)) / 60 + more:.4f}"]
        before = self.jobs.record(name)
        facts = {"text": chosen, "created": before.get("created") or run["created"]}
        await asyncio.to_thread(self.jobs.start, name, arguments, facts)
        return Json(self.describe(name))

    # -- folders ---------------------------------------------------------------------------------------------------

    async def rename(self, call: Call) -> Response:
        """Another name."""
        name, new = self._idle(call), check_name(call.body["name"])
        folder, target = self._place.run(name), self._place.run(new)
        if os.path.lexists(target) or self.jobs.record(new):
            raise Problem(409, f"{new} is there already: choose another name", param="name")
        self._library.shelf.forget(name)
        if folder.exists():
            folder.rename(target)
        self.jobs.rename(name, new)
        return Json(self.describe(new))

    async def duplicate(self, call: Call) -> Response:
        """A copy, to try something else with."""
        name = self._idle(call)
        wanted = check_name(call.body["name"]) if "name" in call.body else name
        new = self._place.free(self._place.root, wanted)
        folder = self._place.run(name)
        if not folder.exists():
            raise Problem(409, f"{name} has nothing to copy", code="busy")
        target = self._place.run(new)
        with self._place.upload() as place:  # half a run would be taken for one
            await asyncio.to_thread(_copy, folder, place / "run")
            (place / "run").rename(target)
        if text_name := self.jobs.record(name).get("text"):
            self.jobs.note(new, {"text": text_name, "created": _now(), "copied": True})
        return Json(self.describe(new), status_code=201)

    async def delete(self, call: Call) -> Response:
        """Remove it. Raises Problem (409) where the folder holds what no run made."""
        name = self._idle(call)
        folder = self._place.run(name)
        if folder.exists():
            if model_folder(folder) != folder and (stranger := foreign(folder)) is not None:
                message = f"{name} holds {stranger}, which no run made: move it away first"
                raise Problem(409, message, code="foreign")
            self._library.shelf.forget(name)
            with self._place.upload() as bin_:
                folder.rename(bin_ / "run")  # gone at once, whatever happens to what is in it
        self.jobs.forget(name)
        return Json({"deleted": name})

    def _idle(self, call: Call) -> str:
        name = self.known(call.request.path_params["name"])
        if self.describe(name)["state"] in ("starting", "running", "stopping"):
            raise Problem(409, f"{name} is at work: stop it first", code="busy")
        return name

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of all this."""
        base = "/studio/api/runs"
        one = f"{base}/{{name}}"
        name = text("a name")
        on = record({"more_minutes": _MINUTES, "text": text("the text's name, where it is not known")})
        return (
            Endpoint("POST", base, self.start, "Begin a run", _ANY, _START),
            Endpoint("GET", one, self.show, "A run with its rows, samples and log", _ANY),
            Endpoint("PATCH", one, self.rename, "Rename a run", _ANY, record({"name": name}, ("name",))),
            Endpoint("DELETE", one, self.delete, "Delete a run", _ANY),
            Endpoint("POST", f"{one}/stop", self.stop, "Save and end a run", _ANY),
            Endpoint("POST", f"{one}/resume", self.resume, "Go on with a run", _ANY, on),
            Endpoint("POST", f"{one}/duplicate", self.duplicate, "Copy a run", _ANY, record({"name": name})),
            Endpoint("GET", f"{one}/bundle.zip", self.bundle, "The model as a zip", {"type": "string"},
                     media_type="application/zip"),
        )  # fmt: skip


def _now() -> float:
    import time

    return time.time()


def flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe by `section.key`."""
    tables = to_mapping(recipe)
    return {f"{section}.{key}": value for section, table in tables.items() for key, value in table.items()}


def _asked(body: dict[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe, checked, and the options of `train` that ask for it. Raises SettingsError, Problem."""
    if body["recipe"] not in recipe_names():
        raise Problem(400, f"no recipe is called {body['recipe']!r}: {', '.join(recipe_names())}", param="recipe")
    recipe, arguments = load_recipe(body["recipe"]), []
    if body["recipe"] != "default":
        arguments += ["--recipe", body["recipe"]]
    for key, value in body.get("settings", {}).items():
        section, _, name = key.partition(".")
        if key not in settable() and key in flat(recipe):
            message = f"{key} names files of this machine, which a page may not: train in the terminal for that"
            raise Problem(400, message, param="settings")
        if isinstance(value, float) and value == int(value) and abs(value) < 2**53:  # JSON has no whole numbers
            value = _whole_if_wanted(recipe, section, name, int(value), value)
        recipe = recipe_from_mapping({section: {name: value}}, "settings", recipe)
        arguments += ["--set", f"{key}={_toml(value)}"]
    if recipe.task.name != "language":
        raise Problem(400, "the studio trains language models: leave task.name alone", param="settings")
    budget: dict[str, Any] = {key: body.get(key) for key in ("minutes", "epochs", "steps")}
    if sum(value is not None for value in budget.values()) > 1:
        raise Problem(400, "give minutes, epochs or steps, one of them", param="minutes")
    arguments += [part for key, value in budget.items() if value is not None for part in (f"--{key}", f"{value}")]
    if "seed" in body:
        arguments += ["--seed", f"{body['seed']}"]
    return with_budget(recipe, seed=body.get("seed"), **budget), arguments


KINDS = {bool: "boolean", int: "integer", float: "number", str: "text"}
"""The kinds of values that a page may set."""


def kinds_of(hint: Any) -> tuple[type, ...]:
    """The types that a setting's annotation allows."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


@cache
def settable() -> frozenset[str]:
    """The settings that a page may change, `section.key`: numbers, words and choices, no files of this machine."""
    return frozenset(
        f"{section}.{name}"
        for section, kind in SECTIONS.items()
        for name, hint in typing.get_type_hints(kind).items()
        if set(kinds_of(hint)) & set(KINDS)
    )


def _whole_if_wanted(recipe: Recipe, section: str, name: str, whole: int, value: float) -> float:
    try:
        recipe_from_mapping({section: {name: whole}}, "settings", recipe)
    except ValueError:
        return value
    return whole


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _refuse_what_is_missing(recipe: Recipe) -> None:
    """Raises Problem (501) where torch is needed and not installed, without importing it."""
    from importlib.util import find_spec

    if recipe.ngram.smoothing == "none" and find_spec("torch") is None:
        try:
            find_task(recipe)
        except MissingExtraError as error:
            raise Problem(501, str(error), code="missing_extra") from None


def _zip(folder: Path, place: Path, name: str) -> None:
    """The model as it is at one moment. Raises BundleError; OSError, where nothing is left at `place`."""
    snapshot = read_snapshot(folder)
    try:
        with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(f"{name}/{MANIFEST}"), snapshot.manifest)
            for file, content in snapshot.files.items():
                with archive.open(zipfile.ZipInfo(f"{name}/{file}"), "w", force_zip64=True) as member:
                    member.write(content.data)
    except BaseException:
        remove(place)
        raise


def _copy(folder: Path, target: Path) -> None:
    def ignored(place: str, names: list[str]) -> list[str]:
        return [name for name in names if name == RUN_LOCK or os.path.islink(os.path.join(place, name))]

    try:
        shutil.copytree(folder, target, ignore=ignored)
    except shutil.Error as error:  # of several files
        raise Problem(507, f"it cannot be copied: {error.args[0][0][2]}") from None
