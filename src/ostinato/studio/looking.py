"""The addresses of looking inside: surprisal, hidden units, gates, gradients, the embedding."""

import asyncio
import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from ostinato.bundle import RecurrentConfig, model_config
from ostinato.errors import OstinatoError
from ostinato.server.endpoint import Call, Endpoint, Json, unless_gone
from ostinato.server.problems import Problem
from ostinato.server.schema import integer, record, several, text
from ostinato.server.service import Served
from ostinato.server.writing import beside
from ostinato.studio.follows import correlations, features
from ostinato.studio.library import Library
from ostinato.studio.network import SHOWN, Network
from ostinato.studio.tokens import Shown, bits_of, read_text
from ostinato.studio.writing import check_length
from ostinato.text import TextStream, corpus_of
from ostinato.text.utf8 import FIRST_BYTE, FIRST_CHARACTER

HIDDEN_TOKENS, GATES_TOKENS, HIDDEN_NUMBERS = 4096, 2048, 8 << 20
_ROWS = 16
"""Places of the text that a gradient is the mean over."""
_CELLS = ("rnn", "gru", "lstm")
_MOST_FRESH = 256
"""Units of the new cells that stand beside a trained one."""
_ANY = {"type": "object"}
_MODEL, _TEXT = text("the run's name"), text("the text")
_LAYER = integer("the layer; -1: the last", -1, 63, default=-1)
Ids = npt.NDArray[Any]


class Looking:
    """The addresses of looking inside."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def _answer(self, call: Call, work: Any, *arguments: Any) -> Response:
        served = self._library.find(call.body["model"])
        return Json(await unless_gone(call.request, beside(call, served, work, served, *arguments)))

    async def surprisal(self, call: Call) -> Response:
        """Each token of a text."""
        return await self._answer(call, _surprisal, call.body["text"], call.body.get("title"), call.body["top"])

    async def hidden(self, call: Call) -> Response:
        """The units of a layer after each token, and what they follow."""
        return await self._answer(call, _hidden, call.body["text"], call.body["layer"], call.body.get("search", ""))

    async def gates(self, call: Call) -> Response:
        """The gates of one unit."""
        return await self._answer(call, _gates, call.body["text"], call.body["layer"], call.body["unit"])

    async def gradients(self, call: Call) -> Response:
        """How far the loss reaches back."""
        return await self._answer(call, _gradients, call.body["distance"], call.body.get("text"))

    async def difference(self, call: Call) -> Response:
        """Two models on one text, in bits per character."""
        names, given = call.body["models"], call.body["text"]
        both = [await self._library.model(name) for name in names]
        parts = [await beside(call, served, _spread, served, given) for served in both]
        totals = {key: sum(bits) / max(1, len(given)) for key, bits in zip("ab", parts, strict=True)}
        a, b = ([round(value, 4) for value in bits] for bits in parts)
        return Json({"text": given, "a": a, "b": b, "totals": totals})

    async def neighbours(self, call: Call) -> Response:
        """The tokens that lie nearest to one."""
        query = call.request.query_params
        served = await self._library.model(query.get("model", ""))
        k = _whole(query.get("k", "12"), "k", 200)
        return Json(await asyncio.to_thread(_neighbours, served, query.get("token", ""), k))

    async def map(self, call: Call) -> Response:
        """The most frequent tokens in the plane."""
        query = call.request.query_params
        served = await self._library.model(query.get("model", ""))
        return Json(await asyncio.to_thread(_map, served, _whole(query.get("most", "400"), "most", 5000)))

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where all this is."""
        base = "/studio/api/look"
        model_text = {"model": _MODEL, "text": _TEXT}
        return (
            Endpoint("POST", f"{base}/surprisal", self.surprisal, "Each token's surprisal", _ANY, record(
                {**model_text, "title": text("its title"),
                 "top": integer("alternatives told of each", 0, 50, default=0)}, ("model", "text"))),
            Endpoint("POST", f"{base}/hidden", self.hidden, "Hidden units over a text", _ANY, record(
                {**model_text, "layer": _LAYER, "search": text("a pattern that units may follow")},
                ("model", "text"))),
            Endpoint("POST", f"{base}/gates", self.gates, "The gates of one unit", _ANY, record(
                {**model_text, "layer": _LAYER, "unit": integer("the unit", 0, 1 << 16)}, ("model", "text", "unit"))),
            Endpoint("POST", f"{base}/gradients", self.gradients, "The gradient by distance", _ANY, record(
                {"model": _MODEL, "text": text("a text, in place of the run's own"),
                 "distance": integer("steps back", 1, 500, default=60)}, ("model",))),
            Endpoint("POST", f"{base}/difference", self.difference, "Two models on one text", _ANY, record(
                {"models": several(_MODEL, minItems=2, maxItems=2), "text": _TEXT}, ("models", "text"))),
            Endpoint("GET", f"{base}/neighbours", self.neighbours, "Near tokens (?model=&token=)", _ANY),
            Endpoint("GET", f"{base}/map", self.map, "The embedding in the plane (?model=)", _ANY),
        )  # fmt: skip


def _whole(given: str, name: str, most: int) -> int:
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= most):
        raise Problem(400, f"{name} must be 1 to {most}, got {given[:20]!r}", param=name)
    return int(given)


# -- surprisal -------------------------------------------------------------------------------------------------------


def _surprisal(served: Served, given: str, title: str | None, top: int) -> dict[str, Any]:
    if not given:
        raise Problem(400, "text must not be empty", param="text")
    check_length(served.model.ids(given))
    tokens, end = read_text(served, given, title, top)
    bits = [token["bits"] for token in (*tokens, end)]
    known = None if any(value is None for value in bits) else sum(bits)
    return {
        "tokens": tokens, "end": end,
        "perplexity": None if known is None else 2 ** min(known / len(bits), 1000.0),
        "bits_per_character": None if known is None else known / len(given),
    }  # fmt: skip


def _spread(served: Served, given: str) -> list[float]:
    """Bits of each character of a text: those of its token, shared among the token's characters."""
    check_length(served.model.ids(given))
    tokens, _ = read_text(served, given)
    found = []
    for token in tokens:
        length = token["end"] - token["start"]
        found += [(99.0 if token["bits"] is None else token["bits"]) / length] * length
    return found


# -- hidden units ----------------------------------------------------------------------------------------------------


def network_of(served: Served) -> Network:
    """The network of a model, also that of a mixture. Raises Problem for models without one."""
    model = served.model.network
    if model is None:
        raise Problem(
            400, f"{served.name} is a model of kind {served.model.kind}: it has no hidden units", param="model",
            code="no_network",
        )  # fmt: skip
    try:
        shape = model_config(RecurrentConfig, model._bundle)
    except OstinatoError as error:
        raise Problem(409, str(error), code="damaged") from None
    return Network(shape.cell, shape.layers, shape.hidden_size, shape.embedding_size, model.tensors)


def _traceable(served: Served, network: Network) -> Network:
    """`network`, if its cell's equations are known here. Raises Problem for a cell of somebody's own."""
    if network.cell not in SHOWN:
        message = (
            f"the cell {network.cell} of {served.name} is one of its own: only its last layer's units can be shown"
        )
        raise Problem(400, message, param="model", code="own_cell")
    return network


def _layer(network: Network, layer: int) -> int:
    if layer >= network.layers:
        raise Problem(400, f"the network has {network.layers} layers, got layer {layer}", param="layer")
    return layer % network.layers


def _cut(served: Served, given: str, most: int) -> tuple[Ids, list[str], list[int]]:
    """Ids of a text in its order, the text of each ("" inside a character), where each begins."""
    if served.text_model.backward:
        raise Problem(400, f"{served.name} reads from right to left: look at another", param="model")
    ids = np.array(served.text_model.encode(given), np.int64)
    if not 1 <= len(ids) <= most:
        raise Problem(400, f"the text may have 1 to {most:,} tokens, got {len(ids):,}", param="text")
    stream, texts, starts, at = TextStream(served.model.tokenizer), [], [], 0
    for token_id in ids.tolist():
        piece = stream.push(token_id) if token_id or not served.text_model.line_documents else "\n"
        texts.append(piece)
        starts.append(at)
        at += len(piece)
    return ids, texts, starts


def _hidden(served: Served, given: str, layer: int, search: str) -> dict[str, Any]:
    network = network_of(served)
    at = _layer(network, layer)
    ids, texts, starts = _cut(served, given, HIDDEN_TOKENS)
    if len(ids) * network.hidden_size > HIDDEN_NUMBERS:
        most = HIDDEN_NUMBERS // network.hidden_size
        raise Problem(400, f"of {network.hidden_size} units at most {most:,} tokens are shown, got {len(ids):,}",
                      param="text")  # fmt: skip
    units, bits = _units(served, network, ids, at)
    scale = max(1.0, float(np.abs(units).max()))
    ends = [start + len(piece) for start, piece in zip(starts, texts, strict=True)]
    follows = {}
    for name, feature in features(given, starts, ends, search).items():
        found = correlations(units, feature)
        order = np.argsort(-np.abs(found), kind="stable")
        follows[name] = {"correlation": [round(v, 3) for v in found.tolist()], "order": order.tolist()}
    numbers = np.clip(np.rint(units / scale * 127), -127, 127).astype(np.int8)
    return {
        "tokens": texts, "starts": starts, "bits": bits, "layer": at, "layers": network.layers,
        "size": network.hidden_size, "hidden": base64.b64encode(numbers.tobytes()).decode(), "scale": scale,
        "follows": follows,
    }  # fmt: skip


def _units(served: Served, network: Network, ids: Ids, layer: int) -> tuple[npt.NDArray[np.float32], list[Any]]:
    """h of a layer after each id, (T, H), and the bits of each by the model itself."""
    model: Any = served.model
    read = ids.astype(np.uint32)
    if layer < network.layers - 1:
        return _traceable(served, network).trace(ids, layer)["h"], [
            bits_of(p) for p in model.step_model.score(read).tolist()
        ]
    scores, hidden = model.network.step_model.read(np.append(read, np.uint32(0)))  # the kernels know the last layer
    if model.network is not model:
        scores = model.step_model.score(np.append(read, np.uint32(0)))
    return hidden[1:], [bits_of(p) for p in scores[:-1].tolist()]


def _gates(served: Served, given: str, layer: int, unit: int) -> dict[str, Any]:
    network = _traceable(served, network_of(served))
    at = _layer(network, layer)
    if unit >= network.hidden_size:
        raise Problem(400, f"units are 0 to {network.hidden_size - 1}, got {unit}", param="unit")
    ids, texts, starts = _cut(served, given, GATES_TOKENS)
    traced = network.trace(ids, at)
    series = {name: [round(v, 4) for v in traced[name][:, unit].tolist()] for name in SHOWN[network.cell]}
    return {"cell": network.cell, "unit": unit, "layer": at, "tokens": texts, "starts": starts, "series": series}


# -- gradients -------------------------------------------------------------------------------------------------------


def _gradients(served: Served, distance: int, given: str | None) -> dict[str, Any]:
    network = _traceable(served, network_of(served))
    windows, targets = _windows(served, distance + 1, given)
    shape = {"hidden_size": min(network.hidden_size, _MOST_FRESH), "embedding_size": min(
        network.embedding_size or network.hidden_size, _MOST_FRESH)}  # fmt: skip
    curves = [_curve(served.name, network, windows, targets, trained=True)]
    known, which = np.unique(np.append(windows, targets), return_inverse=True)  # new cells need only these tokens
    small, small_targets = which[:-_ROWS].reshape(windows.shape), which[-_ROWS:]
    for cell in _CELLS:
        fresh = Network.fresh(cell, vocabulary_size=len(known), seed=1, **shape)
        curves.append(_curve(cell, fresh, small, small_targets, trained=False))
    return {"distances": list(range(distance + 1)), "curves": curves}


def _curve(name: str, network: Network, windows: Ids, targets: Ids, *, trained: bool) -> dict[str, Any]:
    norms = network.gradient_norms(windows, targets)
    relative = [value if math.isfinite(value) else None for value in (norms / max(norms[0], 1e-30)).tolist()]
    return {"name": name, "cell": network.cell, "trained": trained, "norms": relative}


def _windows(served: Served, length: int, given: str | None) -> tuple[Ids, Ids]:
    """_ROWS places of a text: the ids before each, (_ROWS, length), and the id there."""
    if given is not None:
        ids = served.model.ids(given)
    else:
        corpus = corpus_of(served.model.path, served.model.config)
        if corpus is None:
            raise Problem(404, f"the text of {served.name} is not there any more: give one", code="no_text")
        ids = corpus.heldout.ids if corpus.heldout.tokens > length + _ROWS else corpus.train.ids
    if len(ids) < length + 1:
        raise Problem(400, f"the text has {len(ids)} tokens: a smaller distance is needed", param="distance")
    ends = np.linspace(length, len(ids) - 1, _ROWS).astype(int)
    return np.stack([np.asarray(ids[end - length : end]) for end in ends]).astype(np.int64), np.asarray(
        ids[ends]
    ).astype(np.int64)


# -- the embedding ---------------------------------------------------------------------------------------------------


def _vectors(served: Served) -> tuple[npt.NDArray[np.float32], str]:
    """A vector for each token, (V, E), and whose it is: the embedding's, or with one-hot input the head's."""
    tensors = network_of(served).tensors
    name = "embedding" if "embedding.weight" in tensors else "head"
    return np.asarray(tensors[f"{name}.weight"], np.float32), name


def _neighbours(served: Served, given: str, k: int) -> dict[str, Any]:
    vectors, of = _vectors(served)
    ids = served.model.tokenizer.encode(given)
    if len(ids) != 1:
        raise Problem(404, f"{given[:40]!r} is {len(ids)} tokens of {served.name}: name one token", param="token",
                      code="no_token")  # fmt: skip
    token_id = int(ids[0])
    length = np.linalg.norm(vectors, axis=1)
    similar = vectors @ vectors[token_id] / np.maximum(length * length[token_id], 1e-12)
    show = Shown(served)
    found = [i for i in np.argsort(-similar, kind="stable").tolist() if i != token_id and _readable(i)][:k]
    return {
        "token": given, "id": token_id, "of": of,
        "neighbours": [{**show(i), "similarity": round(float(similar[i]), 4)} for i in found],
    }  # fmt: skip


def _readable(token_id: int) -> bool:
    """Whether a token is text by itself: no byte of a longer character, no end."""
    return token_id >= FIRST_CHARACTER or FIRST_BYTE + 0x20 <= token_id < FIRST_BYTE + 0x7F


def _map(served: Served, most: int) -> dict[str, Any]:
    vectors, of = _vectors(served)
    counts = _counts(served, len(vectors))
    ids = [i for i in np.argsort(-counts, kind="stable").tolist() if _readable(i) and counts[i]][:most]
    if len(ids) < 3:
        raise Problem(400, f"{served.name} knows too few tokens for a map", param="model")
    centred = vectors[ids] - vectors[ids].mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.where(axes[:2].sum(axis=1) < 0, -1, 1)[:, None]  # of the two signs always the same one
    places = centred @ axes.T
    places /= np.abs(places).max()
    show = Shown(served)
    shares = (sizes**2 / max((sizes**2).sum(), 1e-12))[:2]
    return {
        "of": of, "explained": [round(float(share), 4) for share in shares],
        "points": [
            {**show(i), "x": round(float(x), 4), "y": round(float(y), 4), "count": int(counts[i])}
            for i, (x, y) in zip(ids, places.tolist(), strict=True)
        ],
    }  # fmt: skip


def _counts(served: Served, size: int) -> npt.NDArray[np.int64]:
    """How often the training text has each token; where it is gone, by the order of ids: the most frequent first."""
    corpus = corpus_of(served.model.path, served.model.config)
    found: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    if corpus is not None:
        found = np.bincount(np.asarray(corpus.train.ids), minlength=size)
    return found if len(found) == size else np.arange(size, 0, -1)
