"""The commands that are tried, what was there before each, and how its products are recognised."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.bundle import read_bundle
from ostinato.errors import OstinatoError
from ostinato.runtime import load

TEXT = "the wind and the rain\n風と雨\n" * 30
OTHER = "a song of the sea\n海の歌\n" * 30
THIRD = "the rain and the sea\n雨と海\n" * 10
CLASSES = "".join(f"{label},{text} {n}\n" for n in range(8) for label, text in (("a", "the wind"), ("b", "a song")))
SMALL = ["--quiet", "--set", "model.hidden_size=4", "--set", "model.embedding_size=2", "--set",
         "training.batch_size=2", "--set", "training.precision=fp32"]  # fmt: skip
TINY = [*SMALL, "--from", "none", "--set", "training.window=4", "--set", "model.dropout=0.2", "--set",
        "training.evaluate_every=0.2", "--set", "training.learning_rate=0.01"]  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One command line in the folder `work`, beside which the texts lie; the commands of `before` have been run.

    arguments, before: `{}` stands for the folder, `{texts}` for that of the texts. products: what it makes, as paths
    in the folder. kept: files that come back when the old model stays.
    """

    name: str
    arguments: str
    products: tuple[str, ...]
    before: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def line(self, work: Path, text: str | None = None) -> list[str]:
        """The command line."""
        line = (text or self.arguments).replace("{}", str(work)).replace("{texts}", str(work.parent))
        return [*line.split(), *self.options]


RUN = ("run/model", "run/checkpoint")
COMMANDS = [
    Command("train", "train {texts}/text.txt -o {}/run --steps 12", RUN, options=tuple(TINY)),
    Command("resume", "train {texts}/text.txt -o {}/run --resume --steps 24", RUN,
            ("train {texts}/text.txt -o {}/run --steps 12",), tuple(TINY)),
    Command("overwrite", "train {texts}/other.txt -o {}/run --overwrite --steps 12", RUN,
            ("train {texts}/text.txt -o {}/run --steps 12",), tuple(TINY),
            kept=("run/metrics.jsonl", "run/recipe.toml", "run/checkpoint/state.json", "run/text/train.ids")),
    Command("mixture", "train {texts}/text.txt -o {}/run --steps 12 --set model.mixture=linear",
            (*RUN, "run/network/model"), options=tuple(TINY)),
    Command("test-text",
            "train {texts}/text.txt --heldout {texts}/other.txt --test {texts}/third.txt -o {}/run --steps 12",
            RUN, options=tuple(TINY)),
    Command("ngram", "train {texts}/text.txt -o {}/run --recipe kneser-ney --quiet", ("run/model",)),
    Command("ngram-overwrite", "train {texts}/other.txt -o {}/run --recipe kneser-ney --quiet --overwrite",
            ("run/model",), ("train {texts}/text.txt -o {}/run --recipe kneser-ney --quiet",)),
    Command("context-mixing", "train {texts}/text.txt -o {}/run --recipe context-mixing --quiet", ("run/model",)),
    Command("classify", "train {texts}/classes.csv -o {}/run --task classify --steps 4", RUN, options=tuple(SMALL)),
    Command("compare", "compare {texts}/text.txt -o {}/cmp --order 2 --minutes 0 --no-dynamic --quiet",
            ("cmp/model", "cmp/compare.json")),
    Command("compare-overwrite",
            "compare {texts}/other.txt -o {}/cmp --order 2 --minutes 0 --no-dynamic --quiet --overwrite",
            ("cmp/model", "cmp/compare.json"),
            ("compare {texts}/text.txt -o {}/cmp --order 2 --minutes 0 --no-dynamic --quiet",)),
    Command("arpa", "export {}/run --to arpa -o {}/model.arpa --overwrite", ("model.arpa",),
            ("train {texts}/other.txt -o {}/run --recipe kneser-ney --quiet",
             "export {}/run --to arpa -o {}/model.arpa",
             "train {texts}/text.txt -o {}/run --recipe kneser-ney --quiet --overwrite")),
    Command("huggingface", "export {}/run --to huggingface -o {}/hf --overwrite", ("hf",),
            ("train {texts}/text.txt -o {}/run --steps 12 " + " ".join(TINY),
             "export {}/run --to huggingface -o {}/hf",
             "train {texts}/other.txt -o {}/run --steps 12 --overwrite " + " ".join(TINY))),
    Command("base", "base {texts}/text.txt -o {}/base --recipe default --steps 12", ("base", "base-run/model"),
            options=tuple(option for option in TINY if option not in ("--from", "none"))),
]  # fmt: skip


def write_texts(folder: Path) -> None:
    """What the commands learn from."""
    (folder / "text.txt").write_text(TEXT, "utf-8")
    (folder / "other.txt").write_text(OTHER, "utf-8")
    (folder / "third.txt").write_text(THIRD, "utf-8")
    (folder / "classes.csv").write_text("label,text\n" + CLASSES, "utf-8")


def digest(path: Path) -> str:
    """What tells a product from any other; "" where there is none. A time that was taken makes no difference.

    Raises OstinatoError for one that is there, but not whole.
    """
    if not path.exists():
        return ""
    if path.name == "checkpoint":
        return _of(_checkpoint(path))
    if path.name == "compare.json":
        (comparison,) = json.loads(path.read_text("utf-8"))["comparisons"]
        return _of([(row["model"], row["perplexity"]) for row in comparison["rows"]])
    if path.is_file():
        return _of(path.read_bytes())
    if not (path / "manifest.json").exists():
        return _of([(str(file.relative_to(path)), file.read_bytes()) for file in sorted(path.rglob("*"))
                    if file.is_file() and file.suffix in (".safetensors", ".py")])  # fmt: skip
    bundle = read_bundle(path)
    measured = [bundle.config.get(name) for name in ("evaluation", "int8")]
    parts: list[Any] = [
        bundle.kind, bundle.config["model"], bundle.tokenizer.to_json(), _tensors(bundle.tensors), measured
    ]  # fmt: skip
    if bundle.kind == "task":
        from ostinato.runs.record_task import load_task_model

        return _of([*parts, str(load_task_model(bundle).predict(["the wind"]))])
    model = load(bundle)
    return _of([*parts, model.score(np.arange(model.vocabulary_size, dtype=np.int64)).tobytes()])


def _checkpoint(path: Path) -> list[Any]:
    from ostinato.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    checkpoint.position.seconds = 0.0
    tensors = {name: tensor.numpy() for name, tensor in checkpoint.tensors.items()}
    return [checkpoint.position.to_json(), _tensors(tensors)]


def _tensors(tensors: Any) -> list[Any]:
    return [(name, np.asarray(tensors[name]).tobytes()) for name in sorted(tensors)]


def _of(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def digests(work: Path, products: tuple[str, ...]) -> dict[str, str]:
    """Every product's digest, or why it is broken."""
    found = {}
    for product in products:
        try:
            found[product] = digest(work / product)
        except (OstinatoError, ValueError, OSError) as error:
            found[product] = f"BROKEN {error}"
    return found


def copy(template: Path, work: Path) -> None:
    """The folder as it was before the command."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work, symlinks=True)
