"""The inside of a recurrent network, in NumPy: every gate at every step, and the loss's gradient back through time.

The equations are those of `cells/`, the weights as `kernels/shape.py` lays them out. It is for looking, not for speed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT

Array = npt.NDArray[np.float32]
Step = dict[str, Array]
"""The parts of one layer at one step, (B, H) each: what the cell's equations name, and `before`, the h before it."""
SHOWN = {"rnn": ("h",), "rnn-relu": ("h",), "gru": ("r", "z", "n", "h"), "lstm": ("i", "f", "g", "o", "c", "h")}
_GATES = {"rnn": 1, "rnn-relu": 1, "gru": 3, "lstm": 4}


def _sigmoid(x: Array) -> Array:
    found: Array = 0.5 * (np.tanh(0.5 * x) + 1)
    return found


@dataclass(frozen=True)
class Network:
    """A network: its cell, sizes and weights. tensors: by the names of a bundle."""

    cell: str
    layers: int
    hidden_size: int
    embedding_size: int
    tensors: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def fresh(cls, cell: str, *, hidden_size: int, embedding_size: int, vocabulary_size: int, seed: int) -> "Network":
        """One layer that has learnt nothing, with torch.nn's first weights: uniform in ±1/√H, embeddings normal."""
        random = np.random.default_rng(seed)
        bound, rows = hidden_size**-0.5, _GATES[cell] * hidden_size

        def uniform(*shape: int) -> Array:
            return random.uniform(-bound, bound, shape).astype(np.float32)

        return cls(
            cell, 1, hidden_size, embedding_size,
            {
                "embedding.weight": random.standard_normal((vocabulary_size, embedding_size), np.float32),
                "recurrent.weight_ih_l0": uniform(rows, embedding_size),
                "recurrent.weight_hh_l0": uniform(rows, hidden_size),
                "recurrent.bias_ih_l0": uniform(rows), "recurrent.bias_hh_l0": uniform(rows),
                "head.weight": uniform(vocabulary_size, hidden_size), "head.bias": uniform(vocabulary_size),
            },
        )  # fmt: skip

    def _weights(self, layer: int) -> tuple[Array, Array, Array, Array]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (np.asarray(self.tensors[f"recurrent.{name}_l{layer}"]) for name in names)
        return w_ih, w_hh, b_ih, b_hh

    def _inputs(self, ids: npt.NDArray[Any]) -> Array:
        """What the first layer's weights give for ids (B, T): W_ih x + b_ih, (B, T, G·H)."""
        w_ih, _, b_ih, _ = self._weights(0)
        if not self.embedding_size:
            columns: Array = w_ih.T[ids] + b_ih
            return columns
        known, which = np.unique(ids, return_inverse=True)
        product: Array = np.asarray(self.tensors["embedding.weight"])[known] @ w_ih.T + b_ih
        return product[which.reshape(ids.shape)]

    def run(self, ids: npt.NDArray[Any]) -> list[list[Step]]:
        """The parts of every layer at every step, [layer][t], of ids (B, T) read from the zero state."""
        inputs, found = self._inputs(ids), []
        for layer in range(self.layers):
            _, w_hh, _, b_hh = self._weights(layer)
            steps: list[Step] = []
            h = np.zeros((ids.shape[0], self.hidden_size), np.float32)
            c = h
            for t in range(ids.shape[1]):
                step = self._step(inputs[:, t], h @ w_hh.T + b_hh, h, c)
                steps.append(step)
                h, c = step["h"], step.get("c", h)
            found.append(steps)
            if layer + 1 < self.layers:
                w_ih, _, b_ih, _ = self._weights(layer + 1)
                inputs = np.stack([step["h"] for step in steps], axis=1) @ w_ih.T + b_ih
        return found

    def _step(self, x: Array, r: Array, h: Array, c: Array) -> Step:
        """One step from W_ih x + b_ih and W_hh h + b_hh, (B, G·H) each."""
        if self.cell in ("rnn", "rnn-relu"):
            a = x + r
            return {"h": np.tanh(a) if self.cell == "rnn" else np.maximum(a, 0), "before": h}
        if self.cell == "gru":
            xr, xz, xn = np.split(x, 3, axis=1)
            hr, hz, hn = np.split(r, 3, axis=1)
            reset, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
            n = np.tanh(xn + reset * hn)
            return {"r": reset, "z": z, "n": n, "hn": hn, "h": (1 - z) * n + z * h, "before": h}
        i, f, g, o = np.split(x + r, 4, axis=1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        new = f * c + i * g
        return {"i": i, "f": f, "g": g, "o": o, "c": new, "h": o * np.tanh(new), "before": h, "c_before": c}

    def trace(self, ids: npt.NDArray[Any], layer: int) -> dict[str, Array]:
        """The parts of a layer after each of ids (T,), which are read after END_OF_DOCUMENT: (T, H) each."""
        row = np.concatenate([[END_OF_DOCUMENT], ids]).astype(np.int64)[None]
        steps = self.run(row)[layer][1:]
        return {name: np.stack([step[name][0] for step in steps]) for name in SHOWN[self.cell]}

    # -- back through time ------------------------------------------------------------------------------------------

    def gradient_norms(self, ids: npt.NDArray[Any], targets: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """‖∂L/∂h_{T-k}‖ for k = 0 .. T-1, (T,): how much the loss L of the last prediction says to the first layer's
        hidden state k steps before. ids (B, T), targets (B,): the mean over the rows."""
        steps = self.run(ids)
        dh = [np.zeros((ids.shape[0], self.hidden_size), np.float32) for _ in range(self.layers)]
        dc = [np.zeros_like(part) for part in dh]
        dh[-1] = dh[-1] + self._loss_gradient(steps[-1][-1]["h"], targets)
        norms = []
        for t in reversed(range(ids.shape[1])):
            from_above: Array | float = 0.0
            for layer in reversed(range(self.layers)):
                d = dh[layer] + from_above
                if layer == 0:
                    norms.append(float(np.linalg.norm(d.astype(np.float64), axis=1).mean()))
                w_ih, w_hh, _, _ = self._weights(layer)
                dx, dr, kept, dc[layer] = self._back(steps[layer][t], d, dc[layer])
                dh[layer] = dr @ w_hh + kept
                from_above = dx @ w_ih if layer else 0.0
        return np.array(norms)

    def _loss_gradient(self, h: Array, targets: npt.NDArray[Any]) -> Array:
        """∂L/∂h, (B, H), of L = -ln softmax(W h + b)[target]; tied heads use the embedding."""
        head = self.tensors.get("head.weight", self.tensors.get("embedding.weight"))
        weight, bias = np.asarray(head), np.asarray(self.tensors["head.bias"])
        projection = self.tensors.get("projection.weight")
        features = h if projection is None else h @ np.asarray(projection).T
        z = features @ weight.T + bias
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(targets)), targets] -= 1
        d: Array = p @ weight
        return d if projection is None else d @ np.asarray(projection)

    def _back(self, s: Step, dh: Array, dc: Array) -> tuple[Array, Array, Array | float, Array]:
        """One step back from ∂L/∂h' (and ∂L/∂c'): the gradients of W_ih x + b_ih, of W_hh h + b_hh, of h beside that
        product, and of c."""
        if self.cell in ("rnn", "rnn-relu"):
            da = dh * (1 - s["h"] ** 2) if self.cell == "rnn" else dh * (s["h"] > 0)
            return da, da, 0.0, dc
        if self.cell == "gru":
            dn = dh * (1 - s["z"]) * (1 - s["n"] ** 2)
            dz = dh * (s["before"] - s["n"]) * s["z"] * (1 - s["z"])
            dr = dn * s["hn"] * s["r"] * (1 - s["r"])
            return np.hstack([dr, dz, dn]), np.hstack([dr, dz, dn * s["r"]]), dh * s["z"], dc
        tanh_c = np.tanh(s["c"])
        dc = dc + dh * s["o"] * (1 - tanh_c**2)
        da = np.hstack(
            [
                dc * s["g"] * s["i"] * (1 - s["i"]), dc * s["c_before"] * s["f"] * (1 - s["f"]),
                dc * s["i"] * (1 - s["g"] ** 2), dh * tanh_c * s["o"] * (1 - s["o"]),
            ]
        )  # fmt: skip
        return da, da, 0.0, dc * s["f"]
