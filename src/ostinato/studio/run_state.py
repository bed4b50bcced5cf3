"""What a run's folder says of it, whoever began it: read anew each time, so that nothing has to be remembered."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.bundle import RUN_LOCK
from ostinato.errors import OstinatoError
from ostinato.files import holder
from ostinato.runs.folder_names import MARK
from ostinato.runs.line_to_beat import line_of
from ostinato.settings import Recipe, load_recipe
from ostinato.studio.jobs import Jobs
from ostinato.studio.library import model_folder
from ostinato.studio.place import Place, listed, modified, read_own, size_of
from ostinato.text import CORPORA
from ostinato.training.metrics import read_metrics

_BUDGET = ("minutes", "epochs", "steps")
_LATER = 5.0
"""Seconds after the last word of a job of the studio's, from which on what is written in its folder is another's."""
_KEPT: dict[Path, tuple[Any, Any]] = {}
"""What was read of a file, with what tells this content from another."""


@dataclass(frozen=True)
class RunFiles:
    """The files of a run as they are now."""

    folder: Path
    config: dict[str, Any] | None
    recipe: Recipe | None
    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "RunFiles":
        """Read them; what is missing or damaged is None, or empty."""
        bundle = model_folder(folder)
        config = None if bundle is None else _kept(bundle / "config.json", _config)
        return cls(
            folder, config, _kept(folder / "recipe.toml", _recipe), _kept(folder / "metrics.jsonl", read_metrics) or []
        )


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, or a saved model."""
    if folder.is_symlink() or not folder.is_dir() or (folder / ".comparison").exists():
        return False
    signs = (MARK, "metrics.jsonl", "checkpoint", RUN_LOCK)
    return any((folder / sign).exists() for sign in signs) or model_folder(folder) is not None


def run_names(place: Place, jobs: Jobs) -> list[str]:
    """Every run, also those that ended before they had a folder."""
    own = {place.texts, place.comparisons, place.writings, place.own}
    names = {entry.name for entry in listed(place.root) if entry not in own and is_run(entry)}
    return sorted(names | set(jobs.names()))


def describe_run(place: Place, jobs: Jobs, name: str) -> dict[str, Any]:
    """A run as JSON."""
    folder = place.root / name
    files = RunFiles.read(folder)
    record = jobs.record(name)
    state, message = _state(files, jobs, name)
    config, last = files.config or {}, files.rows[-1] if files.rows else {}
    text = config.get("text") if isinstance(config.get("text"), dict) else {}
    names = [str(each) for each in (text or {}).get("names", [])]
    return {
        "name": name,
        "state": state,
        "task": files.recipe.task.name if files.recipe else (config.get("task") or {}).get("name", "language"),
        "kind": config.get("kind"),
        "what": _what(config, files.recipe),
        "text": _text(place, record, names),
        "names": names,
        "bytes": size_of(folder)[0] if folder.exists() else 0,
        "model_bytes": size_of(model_folder(folder) or folder)[0] if files.config else None,
        "created": record.get("created") or _created(folder) or record.get("started"),
        "modified": _modified(folder) or record.get("started"),
        "seconds": last.get("seconds"), "steps": last.get("step"), "epochs": last.get("epoch"),
        "tokens_per_second": last.get("tokens_per_second"),
        **_how_far(files, state, record),
        **_quality(files),
        "writes": bool(config) and config.get("kind") != "task",
        "resumable": state in ("finished", "interrupted", "failed") and (folder / "checkpoint").is_dir(),
        "has_model": files.config is not None,
        "message": message,
    }  # fmt: skip


def _kept(path: Path, read: Any) -> Any:
    """read(path), not twice for the same content; None where it cannot be read."""
    try:
        found = path.lstat()
        key = found.st_mtime_ns, found.st_size, found.st_ino
    except OSError:
        _KEPT.pop(path, None)
        return None
    known = _KEPT.get(path)
    if known is None or known[0] != key:
        known = _KEPT[path] = (key, read(path))
        if len(_KEPT) > 3000:
            _KEPT.pop(next(iter(_KEPT)))
    return known[1]


def _config(path: Path) -> dict[str, Any] | None:
    content = read_own(path)
    try:
        found = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _recipe(path: Path) -> Recipe | None:
    try:
        return None if path.is_symlink() else load_recipe(str(path))
    except OstinatoError:
        return None


def _state(files: RunFiles, jobs: Jobs, name: str) -> tuple[str, str | None]:
    """What it is doing, and why it failed if it did."""
    alive = jobs.alive(name)
    if holder(files.folder / RUN_LOCK) is not None:
        jobs.begun.add(name)
        return ("stopping" if jobs.stopping(name) else "running"), None
    if alive:
        waiting = "running" if name in jobs.begun else "starting"  # a process that has ended its work is still there
        return ("stopping" if jobs.stopping(name) else waiting), None
    if (_modified(files.folder) or 0.0) > jobs.last_word(name) + _LATER:  # somebody else trained here since
        return ("interrupted" if _unfinished(files) else "finished"), None
    result = jobs.result(name)
    if (failure := jobs.failure(name)) is not None:
        interrupted = files.config is not None and failure.startswith("its process")
        return ("interrupted" if interrupted else "failed"), failure
    if result is not None and "reason" in result:
        return ("interrupted" if result["reason"] == "interrupted" else "finished"), None
    return ("interrupted" if _unfinished(files) else "finished"), None


def _unfinished(files: RunFiles) -> bool:
    """Whether a run that nobody says anything of ended before its time."""
    if files.config is None:
        return True
    if not (files.folder / "checkpoint").is_dir() or not files.rows or files.recipe is None:
        return False
    done = _done(files, 0.0)
    return done is not None and done < 0.97 and not files.recipe.training.patience


def _done(files: RunFiles, since: float) -> float | None:
    """The share of the budget that is used, so many seconds after the last evaluation."""
    if files.recipe is None or files.recipe.ngram.smoothing != "none":
        return None
    last, training = files.rows[-1] if files.rows else {}, files.recipe.training
    shares = []
    if training.minutes:
        shares.append((float(last.get("seconds") or 0.0) + since) / (60 * training.minutes))
    if last and training.epochs:
        shares.append(float(last["epoch"]) / training.epochs)
    if last and training.steps:
        shares.append(float(last["step"]) / training.steps)
    return min(1.0, max(shares)) if shares else None


def _how_far(files: RunFiles, state: str, record: dict[str, Any]) -> dict[str, Any]:
    training = files.recipe.training if files.recipe is not None else None
    budget = {key: getattr(training, key) if training else record.get(key) for key in _BUDGET}
    progress = left = None
    if state in ("running", "stopping"):
        since = max(0.0, time.time() - _begun(files, record))
        progress = _done(files, since)
        used = float(files.rows[-1]["seconds"]) + since if files.rows else since
        if training is not None and training.minutes:
            left = max(0.0, 60 * training.minutes - used)
        elif progress:
            left = used * (1 - progress) / progress
    elif state == "finished":
        progress = 1.0
    elif state != "starting":
        progress = _done(files, 0.0)
    return {"budget": budget, "progress": progress, "left": left}


def _begun(files: RunFiles, record: dict[str, Any]) -> float:
    """When the last evaluation was; before the first one, when the recipe was settled."""
    for name in ("metrics.jsonl", "recipe.toml"):
        try:
            return max((files.folder / name).stat().st_mtime, float(record.get("started") or 0.0))
        except OSError:
            continue
    return time.time()


def _quality(files: RunFiles) -> dict[str, Any]:
    evaluation = (files.config or {}).get("evaluation")
    evaluation = evaluation if isinstance(evaluation, dict) else {}
    losses = [row["heldout_loss"] for row in files.rows if isinstance(row.get("heldout_loss"), int | float)]
    held = evaluation.get("held-out") or {}
    loss = held.get("nats_per_token", min(losses, default=None))
    name, figures = line_of(evaluation) or ("", None)
    lines = {"ngram": _line(name, figures),
             "unigram": _line("unigram", evaluation.get("held-out, unigram"))}  # fmt: skip
    return {"heldout_loss": loss, "bits": held.get("bits_per_character"), "lines": lines}


def trained_seconds(folder: Path) -> float:
    """How long the run in `folder` has been trained, by its checkpoint; the last row of the metrics may be older."""
    content = read_own(folder / "checkpoint" / "state.json")
    try:
        return float(json.loads(content or b"")["position"]["seconds"])
    except (ValueError, KeyError, TypeError, RecursionError):
        rows = read_metrics(folder / "metrics.jsonl")
        return float(rows[-1]["seconds"]) if rows else 0.0


def _line(name: str, measured: Any) -> dict[str, Any] | None:
    if not isinstance(measured, dict) or not measured.get("tokens") or measured.get("nats") is None:
        return None
    return {"name": name, "loss": measured["nats"] / measured["tokens"], "bits": measured.get("bits_per_character")}


def _what(config: dict[str, Any], recipe: Recipe | None) -> str | None:
    """The model in a few words."""
    kind, model = config.get("kind"), config.get("model")
    if isinstance(model, dict) and kind in ("recurrent", "task"):
        return f"{model.get('cell')}, {model.get('layers')} × {model.get('hidden_size')}"
    if isinstance(model, dict) and kind == "window":
        return f"window of {model.get('context')} tokens, {model.get('hidden_size')}"
    if isinstance(model, dict) and kind == "ngram":
        return f"{model.get('smoothing')} {model.get('order')}"
    if isinstance(model, dict) and kind == "mixture":
        parts = [part for part in model.get("parts", []) if isinstance(part, dict)]
        return " + ".join(filter(None, (_what(part, None) or str(part.get("kind")) for part in parts)))
    if kind is not None:
        return str(kind)
    if recipe is None:
        return None
    if recipe.ngram.smoothing != "none":
        return f"{recipe.ngram.smoothing} {recipe.ngram.order}"
    return recipe.model.shape if recipe.model.hidden_size else recipe.model.cell


def _text(place: Place, record: dict[str, Any], names: list[str]) -> str | None:
    """The text's name in the studio, where it is still there under it."""
    known = record.get("text") if isinstance(record.get("text"), str) else names[0] if len(names) == 1 else None
    if known is None:
        return None
    here = known in CORPORA or ("/" not in known and (place.texts / known).exists())
    return known if here else None


def _created(folder: Path) -> float | None:
    times = (modified(path) for path in (folder / MARK, folder / "text"))
    return next((time for time in times if time is not None), None)


def _modified(folder: Path) -> float | None:
    places = (folder / "metrics.jsonl", folder / "model", folder / "manifest.json", folder / "checkpoint")
    return max((time for time in map(modified, places) if time is not None), default=None)


def finite(value: Any) -> Any:
    """`value` as JSON can have it: numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
