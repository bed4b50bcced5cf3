"""Models as the page computes with them: of each kind a description (JSON) and arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import BundleError
from ostinato.export.packing import ascending, mostly_ones, varints
from ostinato.kernels.mixing import frequencies
from ostinato.kernels.shape import Shape, check_tensor
from ostinato.kernels.twin import quantize
from ostinato.mixing import from_tensors
from ostinato.ngram import NgramModel, from_arrays

Array = npt.NDArray[Any]
Described = tuple[dict[str, Any], dict[str, Array]]

_BRANCHING = 0x8000
"""In a record of a context-mixing model: several tokens have followed, so that none of them is kept."""


def describe(kind: str, config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Described:
    """What the page needs of a model of this kind, `config["model"]` and tensors: see the scripts that read it.

    Raises BundleError where these do not belong together.
    """
    return _KINDS[kind](config, tensors)


def _mixture(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Described:
    """The parts' arrays have `k.` before their names, as in a bundle."""
    parts: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for k, part in enumerate(config["parts"]):
        own = {name.removeprefix(f"{k}."): tensors[name] for name in tensors if name.startswith(f"{k}.")}
        model, its = describe(part["kind"], part["model"], own)
        parts.append({"kind": part["kind"], "model": model})
        arrays |= {f"{k}.{name}": array for name, array in its.items()}
    how = {name: config[name] for name in ("weights", "gate", "newline") if name in config}
    return {"parts": parts, **how}, arrays


def _ngram(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Described:
    """The counts, of which the page computes shares and weights; of a model without counts, these as float32."""
    model = from_arrays(dict(config), tensors)
    described: dict[str, Any] = {name: getattr(model, name) for name in ("order", "vocabulary_size", "restart")}
    described["sizes"] = list(model.sizes)
    arrays: dict[str, Array] = {}
    for n, starts in enumerate(model.children, 1):
        runs = np.diff(starts)
        arrays[f"runs_{n}"] = mostly_ones(runs)
        arrays[f"words_{n}"] = ascending(model.words[n], runs)
    if "counts.1" not in model.arrays:
        for n, level in enumerate(model.levels):
            arrays |= {f"share_{n}": level.share.astype(np.float32), f"weight_{n}": level.weight.astype(np.float32)}
        return described, arrays
    for name, values in model.arrays.items():
        table, _, order = name.partition(".")
        if table in ("counts", "dropped"):
            arrays[f"{table}_{int(order) - (table == 'counts')}"] = mostly_ones(values)
    return {**described, **_smoothing(model)}, arrays


def _smoothing(model: NgramModel) -> dict[str, Any]:
    """How shares and weights follow from counts: what is taken off a count, by order and min(count, 3); the mass that
    is added to a total; whether the shorter context takes what was taken off; whether n-grams were dropped."""
    smoothing = model.settings["smoothing"]
    discounts, mass = [[0.0] * 4] * model.order, 0.0
    if smoothing == "kneser-ney":
        discounts = [[0.0, *of_order] for of_order in model.settings["discounts"]]
    elif smoothing == "add-k":
        mass = float(model.settings["k"]) * model.vocabulary_size
    pruned = any(name.startswith("dropped.") for name in model.arrays)
    return {"discounts": discounts, "mass": mass, "takes": smoothing == "kneser-ney", "pruned": pruned}


def _context_mixing(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Described:
    """The tables without their empty places and what only learning needs. Numbers of two bytes are their low and high
    bytes, and what slots say is the rank of a pair of p and history: this deflates best."""
    model = from_tensors(config, tensors)
    a = model.arrays
    records, slots = np.array(tensors["records"]), np.asarray(tensors["slots"])
    records[records[:, 1] >= _BRANCHING] = records[records[:, 1] >= _BRANCHING] & (0xFFF0, _BRANCHING) | (1, 0)
    pairs, ranks = _ranked((slots[:, 1] >> 4).astype(np.uint32) << 8 | (slots[:, 2] & 255))
    arrays: dict[str, Array] = {
        "tree": a.tree.children.ravel(), "folded": a.folded, "classes": a.classes, "ranks": a.ranks,
        "maps": (a.maps >> 20).astype(np.uint16), "weights": a.weights, "final_weights": a.final_weights, "apm": a.apm,
        "apm_last": np.asarray(tensors["apm_last"]), "frequent": frequencies(a), "pairs": pairs, "said": varints(ranks),
    }  # fmt: skip
    columns = {"heads": records[:, 0], "tails": records[:, 1], "checks": slots[:, 0]}
    for name, column in columns.items():
        arrays |= {f"{name}.low": (column & 255).astype(np.uint8), f"{name}.high": (column >> 8).astype(np.uint8)}
    for name in ("records", "slots", "apm_last"):
        bits = np.packbits(np.unpackbits(np.asarray(tensors[f"{name}.used"])), bitorder="little")
        arrays[f"{name}.used"] = np.concatenate([bits, np.zeros(-len(bits) % 4, np.uint8)])
    described = {name: int(model.settings[name]) for name in ("vocabulary_size", "records", "slots")}
    return described, arrays


def _ranked(values: Array) -> tuple[Array, Array]:
    """The distinct values, the most frequent first, and the place of each value among them."""
    distinct, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return distinct[order], places[which]


def _recurrent(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Described:
    """int8 matrices with a scale per row, biases as the kernels add them.

    A matrix and its scales are NAME and NAME.scale. With one-hot input the first layer's weights stay float32,
    (V, G H), as `--precision int8` has them.
    """
    shape = Shape(**{name: config[name] for name in Shape.__dataclass_fields__})
    for name, size in shape.tensors().items():
        if name not in tensors:
            raise BundleError(f"the model lacks {name}; train or copy it again")
        check_tensor(name, tensors[name], size)
    rows, hidden = shape.gates * shape.hidden_size, shape.hidden_size
    arrays: dict[str, Array] = {}
    for k in range(shape.layers):
        bias = tensors[f"recurrent.bias_ih_l{k}"].astype(np.float32)
        other = tensors[f"recurrent.bias_hh_l{k}"].astype(np.float32)
        if shape.cell == "gru":
            arrays[f"candidate_l{k}"] = other[2 * hidden :]
            other = np.where(np.arange(rows) < 2 * hidden, other, np.float32(0))
        arrays[f"bias_l{k}"] = bias + other
    arrays["head.bias"] = tensors["head.bias"].astype(np.float32)
    for name in shape.tensors():
        if "bias" in name:
            continue
        weights = tensors[name].astype(np.float32)
        if name == "recurrent.weight_ih_l0" and shape.embedding_size == 0:
            arrays[name] = weights.T
            continue
        whole, scale = quantize(weights)
        arrays |= {name: whole.astype(np.int8), f"{name}.scale": scale.astype(np.float32)}
    return {name: config[name] for name in Shape.__dataclass_fields__}, arrays


_KINDS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Array]], Described]] = {
    "recurrent": _recurrent,
    "ngram": _ngram,
    "context-mixing": _context_mixing,
    "mixture": _mixture,
}
