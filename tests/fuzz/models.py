"""Fuzzers of saved models: the folder's files with true checksums, the tensor file, the tokenizer."""

import hashlib
import json
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
from kit import spoil, spoil_json, spoilt_document

from ostinato.bundle import MANIFEST, TensorFile, read_bundle, write_bundle
from ostinato.mixing import fit_mixing, to_tensors
from ostinato.runtime import load
from ostinato.text import build
from ostinato.text.tokenizers import from_json

OLD = Path(__file__).parents[1] / "old"
MODELS = ("lstm", "gru-words", "rnn-bytes", "window", "kneser-ney", "mixture", "classify")
LARGEST = 300_000


def _context_mixing() -> dict[str, bytes]:
    """The files of a small model of that kind, with tables that have few places left."""
    text = "the wind and the rain\n風と雨\n" * 3
    tokenizer = build("character", [text])
    model = fit_mixing(np.append(tokenizer.encode(text), 0), tokenizer)
    with tempfile.TemporaryDirectory(prefix="ostinato-fuzz-") as name:
        folder = Path(name) / "model"
        config = {"kind": "context-mixing", "model": dict(model.settings), "text": {"documents": "files"}}
        write_bundle(folder, config=config, tokenizer=tokenizer, tensors=to_tensors(model), card="a model\n")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Models:
    """Bundles of every kind, one file of each spoilt, and the manifest made to fit, most of the time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ostinato-fuzz-"))
        self.files = {
            name: {path.name: path.read_bytes() for path in sorted((OLD / name / "model").iterdir()) if path.is_file()}
            for name in MODELS
            if (OLD / name / "model").is_dir()
        }
        self.files["context-mixing"] = _context_mixing()

    def make(self, chance: random.Random) -> bytes:
        """A JSON object: which model, which file, and its new bytes in hexadecimal."""
        name = chance.choice(list(self.files))
        file = chance.choice(list(self.files[name]))
        data = self.files[name][file]
        new = spoilt_document(data, chance) if file.endswith(".json") else spoil(data, chance)
        return json.dumps({"model": name, "file": file, "true": chance.random() < 0.9, "data": new.hex()}).encode()

    def read(self, case: bytes) -> None:
        """Write the folder, load the model, take one step with it."""
        told = json.loads(case)
        files = {**self.files[told["model"]], told["file"]: bytes.fromhex(told["data"])}
        if told["true"] and told["file"] != MANIFEST:
            manifest = json.loads(files[MANIFEST])
            entry = manifest["files"].get(told["file"])
            if entry is not None:
                entry["sha256"], entry["bytes"] = (
                    hashlib.sha256(files[told["file"]]).hexdigest(),
                    len(files[told["file"]]),
                )
                files[MANIFEST] = json.dumps(manifest).encode()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)
        bundle = read_bundle(self.folder)
        bundle.tokenizer.decode(bundle.tokenizer.encode("風 in the night\n"))
        if bundle.kind == "task":
            from ostinato.runs.record_task import load_task_model

            load_task_model(bundle).predict(["風 in the night"])
            return
        model = load(bundle)
        ids = np.array([0, model.vocabulary_size - 1], np.int64)
        model.step(ids, model.initial_state(2))
        model.score(ids)
        if bundle.kind == "context-mixing":
            model.score_adapting(ids)


def tensors(folder: Path) -> tuple[object, object]:
    """The tensor file: its header spoilt as JSON with a true length, or any of its bytes."""
    original = (OLD / "lstm" / "model" / "model.safetensors").read_bytes()
    size = int.from_bytes(original[:8], "little")
    header, body = json.loads(original[8 : 8 + size]), original[8 + size :]

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return spoil(original, chance)
        new = json.dumps(spoil_json(header, chance)).encode()
        return len(new).to_bytes(8, "little") + new + (spoil(body, chance) if chance.random() < 0.2 else body)

    def read(data: bytes) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(data)
        file = TensorFile(path)
        for name in file:
            file[name].tobytes()

    return make, read


def tokenizers() -> tuple[object, object]:
    """Descriptions of tokenizers; what is accepted encodes and decodes without loss."""
    originals = [
        json.loads((OLD / name / "model" / "tokenizer.json").read_bytes())
        for name in ("lstm", "gru-words", "rnn-bytes")
    ]

    def make(chance: random.Random) -> bytes:
        return json.dumps(spoil_json(chance.choice(originals), chance)).encode()

    def read(data: bytes) -> None:
        value = json.loads(data)
        if not isinstance(value, dict):
            return
        tokenizer = from_json(value)
        text = "風 in  the\tnight\n\n🎵x"
        assert tokenizer.decode(tokenizer.encode(text)) == text or value.get("kind") == "whitespace"
        assert from_json(tokenizer.to_json()).to_json() == tokenizer.to_json()

    return make, read
