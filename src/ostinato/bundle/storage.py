"""Weights in fewer bytes than float32: 16 bits each, or 8 bits with a scale for each row. Readers get float32.

`storage` in config.json says which. With `int8`, a matrix W (R, ...) is stored as q (R, ...) int8 and `W.scale` (R,)
float32, so that W[r] is about scale[r] q[r], with scale[r] = max |W[r]| / 127. Vectors (biases) stay float32.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError

STORAGES = ("float32", "float16", "int8")
_SCALE = ".scale"

Array = npt.NDArray[Any]


def packed(tensors: Mapping[str, Array], storage: str) -> dict[str, Array]:
    """The arrays as they are stored; those that are not float32 stay as they are.

    Raises BundleError for a weight that has no finite value in this storage, ValueError for an unknown storage.
    """
    if storage not in STORAGES:
        raise ValueError(f"storage must be one of {', '.join(STORAGES)}, got {storage!r}")
    found: dict[str, Array] = {}
    for name, value in tensors.items():
        if storage == "float32" or value.dtype != np.float32 or value.ndim < 2:
            found[name] = value
            continue
        limit = float(np.finfo(np.float16 if storage == "float16" else np.float32).max)
        if value.size and not np.abs(value).max() <= limit:  # NaN, too
            raise BundleError(f"tensor {name} has weights that {storage} cannot hold: save the model as float32")
        if storage == "float16":
            found[name] = value.astype(np.float16)
        else:
            found[name], found[name + _SCALE] = _rows_as_int8(value)
    return found


def _rows_as_int8(value: Array) -> tuple[Array, Array]:
    """(R, ...) int8 and (R,) float32."""
    rows = value.reshape(len(value), -1)
    scale = (np.abs(rows).max(axis=1, initial=0.0) / 127).astype(np.float32)
    quotient = rows / np.where(scale, scale, 1.0)[:, None]
    return np.clip(np.rint(quotient), -127, 127).astype(np.int8).reshape(value.shape), scale


def unpacked(tensors: Mapping[str, Array], storage: object, path: Path) -> Mapping[str, Array]:
    """The arrays of a bundle whose config names `storage` (None: float32), read-only.

    Raises BundleError for an unknown storage, and for rows without their scales.
    """
    if storage in (None, "float32"):
        return tensors
    if storage not in STORAGES:
        raise BundleError(
            f"{path} stores its weights as {storage!r:.40}, this version reads {', '.join(STORAGES)}; "
            "use a newer ostinato"
        )
    found: dict[str, Array] = {}
    for name, value in tensors.items():
        if storage == "float16" and value.dtype == np.float16:
            found[name] = value.astype(np.float32)
        elif storage == "int8" and value.dtype == np.int8:
            found[name] = _scaled(name, value, tensors.get(name + _SCALE), path)
        elif not (storage == "int8" and _is_scale(name, tensors)):
            found[name] = value
    for value in found.values():
        value.flags.writeable = False
    return found


def _is_scale(name: str, tensors: Mapping[str, Array]) -> bool:
    of = name.removesuffix(_SCALE)
    return of != name and of in tensors and tensors[of].dtype == np.int8


def _scaled(name: str, value: Array, scale: Array | None, path: Path) -> Array:
    """(R, ...) float32. Raises BundleError where the scales are not (R,) finite float32."""
    fits = scale is not None and value.ndim > 1 and scale.shape == value.shape[:1] and scale.dtype == np.float32
    if scale is None or not fits or not np.isfinite(scale).all():
        raise BundleError(f"{path}: tensor {name} has no scale for each of its rows; copy or train the model again")
    result: Array = value * scale.reshape(-1, *[1] * (value.ndim - 1))
    return result
