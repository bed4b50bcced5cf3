"""A recurrent language model as ONNX: a graph over whole texts, and one that reads a single token.

    model.onnx   ids (B, T) int64, state (S, B, H) float32 -> logits (B, T, V), new_state (S, B, H)
    step.onnx    ids (B,)   int64, state (S, B, H) float32 -> logits (B, V),    new_state (S, B, H)

A state is h of every layer, then, for an LSTM, c of every layer; a text starts from zeros and the id 0. A text without
a prompt reads the ids in the metadata's `beginning` instead, as `ostinato write` does. The nodes are written one by one
from the saved weights, nothing is traced. Gates are reordered: ONNX has i, o, f, c for an LSTM and
z, r, h for a GRU (with `linear_before_reset`, which is torch's equation), where torch has i, f, g, o and r, z, n.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.bundle import Bundle
from ostinato.errors import needs
from ostinato.export.beginning import beginning
from ostinato.export.formats import copy_file

OPSET = 17
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,), "rnn-relu": (0,)}
"""Where torch's gates stand in ONNX's order."""
_NODE = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN", "rnn-relu": "RNN"}

Array = npt.NDArray[Any]


def write(bundle: Bundle, path: Path) -> None:
    """Write the folder `path`: model.onnx, step.onnx, tokenizer.json, card.md, and write.py, which needs onnxruntime
    alone. Raises MissingExtraError where onnx is not installed."""
    with needs("onnx", "exporting to ONNX"):
        import onnx
    path.mkdir()
    for name, single in (("model.onnx", False), ("step.onnx", True)):
        onnx.save(_Graph(bundle, single=single).model(), path / name)
    for name in ("tokenizer.json", "card.md"):
        copy_file(bundle, name, path)
    example = (Path(__file__).parent / "files" / "write_with_onnxruntime.py").read_text("utf-8")
    (path / "write.py").write_text(example, "utf-8")


class _Graph:
    """One graph as it grows: nodes, and the weights they name."""

    def __init__(self, bundle: Bundle, *, single: bool) -> None:
        self.bundle, self.single = bundle, single
        self.config: dict[str, Any] = bundle.config["model"]
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, value: Array) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def model(self) -> Any:
        from onnx import TensorProto, checker, helper

        c, lstm = self.config, self.config["cell"] == "lstm"
        vocabulary, hidden, layers = c["vocabulary_size"], c["hidden_size"], c["layers"]
        states = layers * (2 if lstm else 1)
        axis = self.weight("axis", np.array([1], np.int64))
        ids = self.node("Unsqueeze", ["ids", axis], "columns") if self.single else "ids"
        x = self._input(self.node("Transpose", [ids], "time_first", perm=[1, 0]))
        parts = [f"state_{k}" for k in range(states)]
        self._split(parts)
        after_h, after_c = [], []
        for k in range(layers):
            x, h, cell = self._layer(k, x, parts[k], parts[layers + k] if lstm else "", axis)
            after_h.append(h)
            after_c += [cell] if lstm else []
        self.node("Concat", [*after_h, *after_c], "new_state", axis=0)
        logits = self._head(self.node("Transpose", [x], "features", perm=[1, 0, 2]))
        self.node("Squeeze", [logits, axis], "logits") if self.single else self.node("Identity", [logits], "logits")
        time = [] if self.single else ["time"]
        shape = ["states", "batch", hidden]
        graph = helper.make_graph(
            self.nodes, "ostinato",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", *time]),
             helper.make_tensor_value_info("state", TensorProto.FLOAT, [states, *shape[1:]])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", *time, vocabulary]),
             helper.make_tensor_value_info("new_state", TensorProto.FLOAT, [states, *shape[1:]])],
            self.weights,
        )  # fmt: skip
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ostinato", ir_version=8
        )
        helper.set_model_props(model, self._metadata(states, hidden))
        checker.check_model(model, full_check=True)
        return model

    def _metadata(self, states: int, hidden: int) -> dict[str, str]:
        text = self.bundle.config.get("text", {})
        return {
            "tokenizer": json.dumps(self.bundle.tokenizer.to_json(), ensure_ascii=False),
            "sampling": json.dumps({"temperature": 0.8, "start": [0], "end_of_document": 0}),
            "beginning": json.dumps(dataclasses.asdict(beginning(self.bundle))),
            "state": json.dumps([states, "batch", hidden]),
            "direction": str(text.get("direction", "forward")),
            "heading": str(text.get("heading", "")),
            "evaluation": json.dumps(self.bundle.config.get("evaluation", {}), ensure_ascii=False),
        }

    def _input(self, ids: str) -> str:
        """Vectors (T, B, E), or one-hot rows (T, B, V)."""
        if self.config["embedding_size"]:
            table = self.weight("embedding.weight", self.bundle.tensors["embedding.weight"])
            return self.node("Gather", [table, ids], "vectors", axis=0)
        depth = self.weight("depth", np.array(self.config["vocabulary_size"], np.int64))
        values = self.weight("off_on", np.array([0, 1], np.float32))
        return self.node("OneHot", [ids, depth, values], "vectors", axis=-1)

    def _split(self, parts: list[str]) -> None:
        from onnx import helper

        sizes = self.weight("ones", np.ones(len(parts), np.int64))
        self.nodes.append(helper.make_node("Split", ["state", sizes], parts, axis=0))

    def _layer(self, k: int, x: str, h: str, cell: str, axis: str) -> tuple[str, str, str]:
        """Layer `k`: its outputs (T, B, H), and the names of h and c (1, B, H) after the last step."""
        from onnx import helper

        kind = self.config["cell"]

        def reordered(name: str) -> Array:
            gates = np.split(np.asarray(self.bundle.tensors[f"recurrent.{name}_l{k}"]), len(_ORDER[kind]))
            return np.concatenate([gates[at] for at in _ORDER[kind]])[None]

        w, r = self.weight(f"W{k}", reordered("weight_ih")), self.weight(f"R{k}", reordered("weight_hh"))
        b = self.weight(f"B{k}", np.concatenate([reordered("bias_ih"), reordered("bias_hh")], axis=1))
        inputs, outputs = [x, w, r, b, "", h], [f"y{k}", f"h{k}"]
        options: dict[str, Any] = {"hidden_size": self.config["hidden_size"]}
        if kind == "lstm":
            inputs, outputs = [*inputs, cell], [*outputs, f"c{k}"]
        elif kind == "gru":
            options["linear_before_reset"] = 1
        else:
            options["activations"] = ["Relu" if kind == "rnn-relu" else "Tanh"]
        self.nodes.append(helper.make_node(_NODE[kind], inputs, outputs, **options))
        return self.node("Squeeze", [f"y{k}", axis], f"x{k + 1}"), f"h{k}", f"c{k}"

    def _head(self, x: str) -> str:
        """Logits (B, T, V) from the last layer's outputs (B, T, H)."""
        tensors = self.bundle.tensors
        if "projection.weight" in tensors:
            x = self.node("MatMul", [x, self.weight("projection", np.asarray(tensors["projection.weight"]).T)], "f")
        if self.config["tied"]:
            matrix = self.node("Transpose", ["embedding.weight"], "output", perm=[1, 0])
        else:
            matrix = self.weight("output", np.asarray(tensors["head.weight"]).T)
        product = self.node("MatMul", [x, matrix], "product")
        return self.node("Add", [product, self.weight("head.bias", tensors["head.bias"])], "all_logits")
