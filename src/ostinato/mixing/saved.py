"""A context-mixing model in a bundle: tables without their empty places."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError
from ostinato.kernels.mixing_tables import MixingArrays, Tree
from ostinato.mixing.model import MixingModel

Array = npt.NDArray[Any]

_TABLES = ("records", "slots")
_WHOLE = ("folded", "classes", "ranks", "maps", "weights", "final_weights", "apm")


def to_tensors(model: MixingModel) -> dict[str, Array]:
    """What `from_tensors` needs besides the settings. Of the tables, and of the final probabilities by the last tokens,
    only the rows in use, with one bit per row for where they are."""
    a = model.arrays
    tensors = {"tree": a.tree.children, **{name: getattr(a, name) for name in _WHOLE}}
    used = {"records": a.records[:, 0] & 15 > 0, "slots": a.slots[:, 0] > 0}
    used["apm_last"] = (a.apm_last != MixingArrays.straight_apm()).any(axis=1)
    for name, rows in used.items():
        tensors[name] = np.ascontiguousarray(getattr(a, name)[rows])
        tensors[f"{name}.used"] = np.packbits(rows)
    return tensors


def from_tensors(settings: Mapping[str, Any], tensors: Mapping[str, Array]) -> MixingModel:
    """The model. Raises BundleError where settings and tensors do not belong together."""
    try:
        arrays: dict[str, Array] = {name: np.ascontiguousarray(tensors[name]) for name in _WHOLE}
        for name in _TABLES:
            empty = np.zeros((int(settings[name]), tensors[name].shape[1]), np.uint16)
            arrays[name] = _spread(tensors, name, empty)
        arrays["apm_last"] = _spread(tensors, "apm_last", MixingArrays.straight_apm())
        model = MixingModel(MixingArrays(Tree.of(np.asarray(tensors["tree"])), **arrays), dict(settings))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(
            f"this is not a complete context-mixing model ({error}); train or copy the model again"
        ) from None
    if model.vocabulary_size != settings["vocabulary_size"]:
        raise BundleError(
            f"the context-mixing model has {model.vocabulary_size} tokens, its config says "
            f"{settings['vocabulary_size']}; train or copy the model again"
        )
    return model


def _spread(tensors: Mapping[str, Array], name: str, empty: Array) -> Array:
    rows = np.unpackbits(tensors[f"{name}.used"], count=len(empty)).astype(bool)
    empty[rows] = tensors[name]
    return empty
