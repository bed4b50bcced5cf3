"""What others do for the same tokens: torch.nn layers and cells, torch's dynamic int8, ONNX Runtime fp32 and int8.

Each peer is a class with `name`, and `run(count)` that writes `count` tokens for each of `rows` rows: embedding, one
step of the cell, head, softmax, one draw, with at most `threads` threads. Weights are those of our model (torch.nn
names), so that `logits(ids)` can be checked. A peer whose library is missing, or that cannot do a case, raises `Absent`
when it is made.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np

from ostinato.kernels.recurrent import Shape


class Absent(Exception):
    """This peer cannot be measured here; the text says why."""


class TorchLayer:
    """A loop over torch.nn.LSTM, GRU or RNN called with one time step, as the lessons do."""

    name = "torch.nn loop"

    def __init__(self, shape: Shape, weights: dict[str, np.ndarray], rows: int, threads: int) -> None:
        try:
            import torch
        except ImportError:
            raise Absent("torch is not installed") from None
        torch.set_num_threads(threads)
        self._torch, self._rows = torch, rows
        self._module = self._build(shape, weights).eval()

    def _build(self, shape, weights):
        torch = self._torch
        given = {name: torch.from_numpy(value) for name, value in weights.items()}

        class Language(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = torch.nn.Embedding(shape.vocabulary_size, shape.embedding_size)
                kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[shape.cell]
                self.recurrent = kind(shape.embedding_size, shape.hidden_size, shape.layers)
                self.head = torch.nn.Linear(shape.hidden_size, shape.vocabulary_size)

            def forward(self, ids, state):
                out, state = self.recurrent(self.embedding(ids)[None], state)
                return self.head(out[0]), state

        model = Language()
        model.load_state_dict(given)
        return model

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """After reading ids (T, rows)."""
        torch = self._torch
        with torch.inference_mode():
            state = None
            for row in ids:
                out, state = self._module(torch.from_numpy(row.astype(np.int64)), state)
        return out.numpy()

    def run(self, count: int) -> None:
        torch = self._torch
        with torch.inference_mode():
            ids, state = torch.zeros(self._rows, dtype=torch.int64), None
            for _ in range(count):
                logits, state = self._module(ids, state)
                ids = torch.multinomial(torch.softmax(logits / 0.9, -1), 1)[:, 0]


class TorchCells(TorchLayer):
    """A loop over torch.nn.LSTMCell, GRUCell or RNNCell."""

    name = "torch cells"

    def _build(self, shape, weights):
        torch = self._torch
        kind = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[shape.cell]
        layer = super()._build(shape, weights)

        class Language(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding, self.head = layer.embedding, layer.head
                self.cell = kind(shape.embedding_size, shape.hidden_size)
                self.cell.load_state_dict(
                    {name.removesuffix("_l0"): value for name, value in layer.recurrent.state_dict().items()}
                )

            def forward(self, ids, state):
                state = self.cell(self.embedding(ids), state)
                return self.head(state[0] if isinstance(state, tuple) else state), state

        return Language()


class TorchInt8(TorchLayer):
    """torch.ao's dynamic quantization of the recurrent layer and the head."""

    name = "torch dynamic int8"

    def _build(self, shape, weights):
        torch = self._torch
        model = super()._build(shape, weights)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kinds = {torch.nn.Linear, torch.nn.LSTM, torch.nn.GRU}
                return torch.ao.quantization.quantize_dynamic(model, kinds, torch.qint8)
        except (AttributeError, RuntimeError, NotImplementedError) as error:
            raise Absent(f"torch cannot: {str(error).splitlines()[0]}") from None


class OnnxRuntime:
    """One step as an ONNX graph (Gather, LSTM/GRU/RNN, MatMul) in ONNX Runtime; softmax and draw in NumPy."""

    name = "ONNX Runtime fp32"
    int8 = False

    def __init__(self, shape: Shape, weights: dict[str, np.ndarray], rows: int, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise Absent("onnxruntime is not installed") from None
        if self.int8 and shape.cell != "lstm":
            raise Absent("ONNX Runtime quantizes no such cell, and the rest alone is slower than fp32")
        self._names = ["h", "c"] if shape.cell == "lstm" else ["h"]
        self._zeros = [np.zeros((1, rows, shape.hidden_size), np.float32) for _ in self._names]
        self._rows, self._random = rows, np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            self._export(shape, weights, path)
            if self.int8:
                import logging

                from onnxruntime.quantization import QuantType, quantize_dynamic

                logging.disable(logging.WARNING)
                quantize_dynamic(path, path.with_name("int8.onnx"), weight_type=QuantType.QInt8)
                path = path.with_name("int8.onnx")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _export(self, shape, weights, path):
        try:
            import onnx
        except ImportError:
            raise Absent("onnx is not installed") from None
        from onnx import TensorProto, helper, numpy_helper

        order = {"lstm": [0, 3, 1, 2], "gru": [1, 0, 2], "rnn": [0]}[shape.cell]  # iofc and zrh of i f g o and r z n

        def gates(name):
            parts = np.split(weights[f"recurrent.{name}_l0"], shape.gates)
            return np.concatenate([parts[g] for g in order])[None]

        constants = {
            "embedding": weights["embedding.weight"],
            "W": gates("weight_ih"),
            "R": gates("weight_hh"),
            "B": np.concatenate([gates("bias_ih"), gates("bias_hh")], axis=1),
            "head": np.ascontiguousarray(weights["head.weight"].T),
            "bias": weights["head.bias"],
            "zero": np.array([0]),
        }
        states, size = self._names, shape.hidden_size
        attributes = {"hidden_size": size, **({"linear_before_reset": 1} if shape.cell == "gru" else {})}
        nodes = [
            helper.make_node("Gather", ["embedding", "ids"], ["flat"]),
            helper.make_node("Unsqueeze", ["flat", "zero"], ["x"]),
            helper.make_node(shape.cell.upper(), ["x", "W", "R", "B", "", *states],
                             ["", *(f"{s}_out" for s in states)], **attributes),
            helper.make_node("Squeeze", ["h_out", "zero"], ["last"]),
            helper.make_node("MatMul", ["last", "head"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logits"]),
        ]  # fmt: skip
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes, "step",
            [value("ids", TensorProto.INT64, ["n"]), *(value(s, TensorProto.FLOAT, [1, "n", size]) for s in states)],
            [value("logits", TensorProto.FLOAT, ["n", shape.vocabulary_size]),
             *(value(f"{s}_out", TensorProto.FLOAT, [1, "n", size]) for s in states)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, path)

    def _step(self, ids, state):
        logits, *state = self._session.run(None, {"ids": ids, **dict(zip(self._names, state, strict=True))})
        return logits, state

    def logits(self, ids: np.ndarray) -> np.ndarray:
        """After reading ids (T, rows)."""
        state = self._zeros
        for row in ids:
            out, state = self._step(row.astype(np.int64), state)
        return out

    def run(self, count: int) -> None:
        ids, state = np.zeros(self._rows, np.int64), self._zeros
        for _ in range(count):
            logits, state = self._step(ids, state)
            w = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(0.9))
            sums = w.cumsum(axis=1)
            ids = (sums > self._random.random((self._rows, 1)) * sums[:, -1:]).argmax(axis=1)


class OnnxRuntimeInt8(OnnxRuntime):
    """The same graph after ONNX Runtime's dynamic quantization."""

    name = "ONNX Runtime int8"
    int8 = True


PEERS = (TorchLayer, TorchCells, TorchInt8, OnnxRuntime, OnnxRuntimeInt8)
