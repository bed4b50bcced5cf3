"""The models that a server serves, by name, each with its engine."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.engine import Engine
from ostinato.errors import UsageError
from ostinato.server.options import Options
from ostinato.server.outbox import Outbox
from ostinato.server.problems import Problem
from ostinato.server.tokens import TokenNames

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.server.metrics import Metrics


class Served:
    """One model: its name, and the engine that writes with it."""

    def __init__(self, name: str, model: "Model", options: Options, told: Callable[[], None]) -> None:
        """told: see `Engine`."""
        self.name, self.model = name, model
        self.text_model = model.text_model
        self.engine = Engine(self.text_model, options.limits, fault, told)

    @cached_property
    def names(self) -> TokenNames:
        """The names of the model's tokens, for answers."""
        return TokenNames(self.model.tokenizer)


class Service:
    """The models, and what clients may request of them."""

    def __init__(self, models: "dict[str, Model]", options: Options, metrics: "Metrics") -> None:
        self.options, self.metrics = options, metrics
        self.served: Mapping[str, Served] = {
            name: Served(name, model, options, self.told) for name, model in models.items()
        }
        self.stopping = False
        self._paths = sorted(
            ((str(path), name) for name, model in models.items() for path in _paths(model.path)),
            key=lambda p: -len(p[0]),
        )

    async def prepare(self, name: str) -> None:
        """Called before a request that names a model is answered, so that `find` is fast."""

    def told(self) -> None:
        """Hand over the events of a block; see `Engine`."""
        self.outbox.send()

    @cached_property
    def outbox(self) -> Outbox:
        """The path from the engines' threads into the event loop in which it is first requested."""
        return Outbox()

    def find(self, name: str | None) -> Served:
        """The model with this name, or the only model if no name is given. Raises Problem."""
        if name is None and len(self.served) == 1:
            return next(iter(self.served.values()))
        known = ", ".join(self.served)
        if name is None:
            raise Problem(400, f"model is missing: name one of {known}", param="model")
        found = self.served.get(name)
        if found is None:
            message = f"the model {name[:80]!r} is not served here; available: {known}"
            raise Problem(404, message, param="model", code="model_not_found")
        return found

    @property
    def ready(self) -> bool:
        """Whether the server accepts requests."""
        return not self.stopping and all(one.engine.alive for one in self.served.values())

    def without_paths(self, message: str) -> str:
        """An error message for a client, without the local paths of models."""
        for path, name in self._paths:
            message = message.replace(path, name)
        return message

    def stop(self, *, drain: bool, timeout: float | None = None) -> None:
        """Stop the engines; see `Engine.stop`."""
        self.stopping = True
        for one in self.served.values():
            one.engine.stop(drain=drain, timeout=timeout)


def _paths(path: Path) -> set[Path]:
    return {p for one in (path, path.resolve()) for p in (one, one.parent) if len(p.parts) > 1}


def fault(error: Exception) -> None:
    """Report an internal error on standard error, without the texts that it concerned."""
    import traceback

    from ostinato.terminal import note

    place = traceback.extract_tb(error.__traceback__)[-1:] if error.__traceback__ else []
    where = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in place)
    note(f"ostinato: a fault of ostinato itself: {type(error).__name__}{where}")
    if sys.flags.dev_mode:
        note("".join(traceback.format_exception(error)))


def named(arguments: Sequence[str]) -> dict[str, Path]:
    """Models by name, from `NAME=PATH` or `PATH` (named after its folder). Raises UsageError."""
    found: dict[str, Path] = {}
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        if not (equals and re.fullmatch(r"[\w.:-]+", name)):
            name, rest = "", argument
        path = Path(rest)
        folder = path.resolve()
        name = name or (folder.parent.name if folder.name == "model" and folder.parent.name else folder.name)
        if name in found:
            raise UsageError(f"two models are called {name}: name them yourself, NAME={rest}")
        found[name] = path
    return found
