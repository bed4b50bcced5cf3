"""The models of the studio's runs, loaded when they are asked for and anew when a run has saved a better one."""

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ostinato.api import Model
from ostinato.errors import BundleError, OstinatoError
from ostinato.server.metrics import Metrics
from ostinato.server.options import Options
from ostinato.server.problems import Problem
from ostinato.server.service import Served, Service
from ostinato.studio.place import Place, listed

_LOADED = 6
"""Models kept in memory; the one that was not asked for longest goes first."""
_OWN = ("texts", "comparisons", "writings")


def model_folder(folder: Path) -> Path | None:
    """The bundle in a run's folder (or the folder itself, a saved model); None where there is none (yet)."""
    for place in (folder / "model", folder):
        if (place / "manifest.json").is_file() and (place / "config.json").is_file():
            return place
    return None


def _identity(bundle: Path) -> tuple[Any, ...]:
    """What tells one saved model from the next at the same place."""
    found = os.stat(bundle / "manifest.json")
    return found.st_ino, found.st_mtime_ns, found.st_size


class Shelf(Mapping[str, Served]):
    """Models by the name of their run. Safe for several threads. A name is there as soon as its run has saved one."""

    def __init__(self, place: Place, options: Options, metrics: Metrics, told: Callable[[], None]) -> None:
        """told: see `engine.Engine`."""
        self._place, self._options, self._metrics, self._told = place, options, metrics, told
        self._loaded: OrderedDict[str, tuple[tuple[Any, ...], Served]] = OrderedDict()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        for entry in listed(self._place.root):
            if entry.name not in _OWN and entry.is_dir() and model_folder(entry) is not None:
                yield entry.name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and model_folder(self._place.run(name)) is not None
        except Problem:
            return False

    def __getitem__(self, name: str) -> Served:
        """Raises KeyError where there is no such model, and what loading it raises."""
        try:
            bundle = model_folder(self._place.run(name))
            identity = None if bundle is None else _identity(bundle)
        except (Problem, OSError):
            raise KeyError(name) from None
        if bundle is None:
            raise KeyError(name)
        with self._lock:
            known = self._loaded.get(name)
            if known is not None and known[0] == identity:
                self._loaded.move_to_end(name)
                return known[1]
            model = Model(bundle)
            _refuse_others(model, name)
            served = Served(name, model, self._options, self._told)
            self._metrics.watch({name: served.engine})
            self._drop(name)
            self._loaded[name] = (identity or (), served)
            while len(self._loaded) > _LOADED:
                self._drop(next(iter(self._loaded)))
            return served

    def forget(self, name: str) -> None:
        """Let go of a model that is about to go or to get another name."""
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        found = self._loaded.pop(name, None)
        if found is not None:  # what it writes just now is finished by its own thread
            threading.Thread(target=found[1].engine.stop, kwargs={"drain": True}, daemon=True).start()

    def stop(self, *, drain: bool, timeout: float | None) -> None:
        """Stop the engines of all loaded models."""
        for _, served in list(self._loaded.values()):
            served.engine.stop(drain=drain, timeout=timeout)


def _refuse_others(model: Model, name: str) -> None:
    """Raises Problem for what is no language model."""
    if model.kind == "task":
        task = model.config.get("task", {}).get("name")
        raise Problem(400, f"{name} is a model to {task}: it cannot write or score; use `ostinato predict`",
                      param="model")  # fmt: skip
    model.step_model  # noqa: B018  loaded once, before anybody waits for its first token


class Library(Service):
    """The service of the studio: its models come and go."""

    def __init__(self, place: Place, options: Options) -> None:
        metrics = Metrics()
        super().__init__({}, options, metrics)
        self.place = place
        self.shelf = Shelf(place, options, metrics, self.told)
        self.served = self.shelf

    async def prepare(self, name: str) -> None:
        """Load the model in a thread, so that others do not wait for it. Raises OstinatoError."""
        if name in self.shelf:
            await asyncio.to_thread(self.find, name)

    def find(self, name: str | None) -> Served:
        """As `Service.find`. Raises Problem, also for a model that cannot be read."""
        try:
            return super().find(name)
        except BundleError as error:
            raise Problem(409, str(error), param="model", code="damaged") from None

    async def model(self, name: str) -> Served:
        """The model of this name, loaded in a thread. Raises Problem, OstinatoError."""
        return await asyncio.to_thread(self.find, name)

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return not self.stopping

    def without_paths(self, message: str) -> str:
        """A message that names things as the page does."""
        return self.place.shown(message)

    def stop(self, *, drain: bool, timeout: float | None = None) -> None:
        """Stop the engines."""
        self.stopping = True
        self.shelf.stop(drain=drain, timeout=timeout)


def readable(folder: Path) -> Model | None:
    """The model in a folder, without loading it to be run; None where there is none that can be read."""
    bundle = model_folder(folder)
    if bundle is None:
        return None
    try:
        return Model(bundle)
    except OstinatoError:
        return None
