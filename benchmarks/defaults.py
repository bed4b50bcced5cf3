"""What `ostinato train TEXT` gives with no options: texts of many sizes, beside the best n-gram model of each.

    python benchmarks/defaults.py --data DIR [--texts en-10k zh-50k ...] [--minutes 1 3] [--threads 1 2]
                                  [--steps N | --cpu-time] [--options "--set training.precision=fp32"] [--out FILE]
    python benchmarks/defaults.py --table defaults.json

Each row is a run of the command line on a text cut from --data (tinyshakespeare.txt, verse-en.txt, prose-en.txt,
novels-zh.txt, cmn-eng.txt) or from the bundled lyrics, and Kneser-Ney models of orders 3 to 10 of the same split. All
figures are bits per held-out character; nothing is lost in any vocabulary, so they can be compared. Rows that the file
has already are not made again. The networks of songs and sentences start from a base by themselves: neither base has
read what they hold out.

On a machine that does other work too, minutes of the clock give fewer steps than a quiet one would. With --cpu-time the
clock of a run counts the processor time that it got: the minutes are those of a core of its own.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ostinato.evaluation import evaluate
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.split import plan_split

ORDERS = range(3, 11)
CLOCK = (
    "import time; time.perf_counter = time.process_time; from ostinato.cli.main import main; raise SystemExit(main())"
)
"""The command line whose clock is the processor time of its one thread."""


@dataclass(frozen=True)
class Text:
    """What to cut it from, how many characters of it, and how a user would keep it.

    documents: of a folder of data. kept: `file` (one document), `folder` (a file each), `lines`.
    """

    documents: Callable[[Path], list[str]]
    characters: int
    kept: str = "file"


def paragraphs(name: str) -> Callable[[Path], list[str]]:
    """What stands between empty lines."""
    return lambda data: (data / name).read_text("utf-8").split("\n\n")


def sentences(column: int) -> Callable[[Path], list[str]]:
    """English (0) or Chinese (1) sentences, each once, in an order that does not sort them by length."""

    def read(data: Path) -> list[str]:
        lines = (data / "cmn-eng.txt").read_text("utf-8").splitlines()
        every = list(dict.fromkeys(line.split("\t")[column] for line in lines))
        return [every[n * 7919 % len(every)] for n in range(len(every))]

    return read


def bundled(language: str) -> str:
    """The lyrics in the package."""
    return resources.files("ostinato.corpora").joinpath(f"lyrics-{language}.txt").read_text("utf-8")


def every_song(text: str) -> list[str]:
    """The songs of a text with titles."""
    return ["# " + song.strip() for song in text.removeprefix("# ").split("\n# ")]


def songs(language: str) -> Callable[[Path], list[str]]:
    """The bundled lyrics; of the Chinese ones those that base-zh has not read."""

    def read(data: Path) -> list[str]:
        text = bundled(language)
        every = every_song(text)
        if language == "en":
            return every
        heldout = plan_split(len(every), len(text), 0.1).mask
        rest = [song for song, out in zip(every, heldout, strict=True) if not out]
        return [*cut(rest, 20_000), *(song for song, out in zip(every, heldout, strict=True) if out)]

    return read


def cut(documents: Sequence[str], characters: int) -> list[str]:
    """The first whole documents of no more than so many characters in all, but at least one."""
    found, length = [], 0
    for document in documents:
        length += len(document)
        if found and length > characters:
            break
        found.append(document)
    return found


NEVER = 1 << 60
TEXTS = {
    "en-10k": Text(songs("en"), 10_000, "folder"),
    "en-50k": Text(songs("en"), 50_000, "folder"),
    "en-200k": Text(paragraphs("tinyshakespeare.txt"), 200_000),
    "en-1M": Text(paragraphs("tinyshakespeare.txt"), 1_000_000),
    "en-3M": Text(paragraphs("verse-en.txt"), 3_000_000),
    "en-novels": Text(paragraphs("prose-en.txt"), NEVER),
    "en-lines": Text(sentences(0), NEVER, "lines"),
    "en-80-songs": Text(lambda data: songs("en")(data)[:80], NEVER, "folder"),
    "zh-10k": Text(songs("zh"), 10_000, "folder"),
    "zh-50k": Text(sentences(1), 50_000),
    # all of the bundled songs: what `train` holds out of them is what base-zh has not read
    "zh-200k": Text(lambda data: every_song(bundled("zh")), NEVER, "folder"),
    "zh-1M": Text(paragraphs("novels-zh.txt"), 1_000_000),
    "zh-3M": Text(paragraphs("novels-zh.txt"), 3_000_000),
    "zh-lines": Text(sentences(1), NEVER, "lines"),
    "zh-80-songs": Text(lambda data: songs("zh")(data)[:80], NEVER, "folder"),
}


def write(text: Text, data: Path, folder: Path) -> Path:
    """The text as a user would have it: one file, or a folder of them."""
    documents = cut(text.documents(data), text.characters)
    path = folder / "text"
    if text.kept != "folder":
        path = path.with_suffix(".txt")
        path.write_text(("\n" if text.kept == "lines" else "\n\n").join(documents) + "\n", "utf-8")
        return path
    path.mkdir()
    for n, document in enumerate(documents):
        (path / f"{n:04}.txt").write_text(document + "\n", "utf-8")
    return path


def ngrams(path: Path, kept: str, folder: Path) -> dict[str, Any]:
    """Bits per held-out character of Kneser-Ney models by their order, each on the split that `train` makes."""
    settings = TextSettings(documents="lines" if kept == "lines" else "auto")
    corpus = prepare([path], settings, folder)
    bits = {}
    for order in ORDERS:
        model = fit_ngram(corpus.train.ids, corpus.tokenizer.vocabulary_size, order=order)
        bits[str(order)] = evaluate(model, corpus.heldout.ids, corpus.heldout.characters).bits_per_character
        if order > min(ORDERS) and bits[str(order)] >= bits[str(order - 1)]:
            break  # higher orders are worse still
    return {"characters": corpus.train.characters + corpus.heldout.characters, "kneser_ney": bits}


def trained(
    path: Path, kept: str, out: Path, budget: Sequence[str], threads: int, options: str, cpu_time: bool
) -> dict[str, Any]:
    """What `ostinato train` chose, said and reached."""
    program = ["-c", CLOCK] if cpu_time else ["-m", "ostinato"]
    command = [sys.executable, *program, "train", str(path), "-o", str(out), *budget]
    command += ["--threads", str(threads), *shlex.split(options)]
    command += ["--set", "text.documents=lines"] if kept == "lines" else []
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "500"}, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\n{done.stderr}")
    seconds = time.perf_counter() - started
    model, network = (json.loads((out / where / "config.json").read_text()) for where in _folders(out))
    evaluation = model["evaluation"]
    own = evaluation.get("held-out, network", evaluation["held-out"])
    parts = {
        name.removeprefix("held-out, "): one["bits_per_character"]
        for name, one in evaluation.items()
        if name.startswith("held-out, ")
    }
    shape, said = network["model"], done.stderr + done.stdout
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][-1]["step"]
    return {
        "saved": evaluation["held-out"]["bits_per_character"],
        "network": own["bits_per_character"],
        "parts": parts,
        "cell": shape["cell"],
        "width": shape["hidden_size"],
        "precision": next(word for word in ("bf16", "fp32") if f", {word} on " in said),
        "start": network.get("start", {}).get("name", "fresh"),
        "mixture": _mixture(model),
        "steps": steps,
        "seconds": round(seconds, 1),
        "said": [line.strip() for line in said.splitlines() if _telling(line)],
    }


def _folders(out: Path) -> tuple[str, str]:
    return "model", "network/model" if (out / "network" / "model").is_dir() else "model"


def _mixture(config: dict[str, Any]) -> str:
    if config["kind"] != "mixture":
        return "none"
    parts = [name for name in config["evaluation"] if name.startswith(("held-out, Kneser", "held-out, context"))]
    return " + ".join(name.removeprefix("held-out, ") for name in parts)


def _telling(line: str) -> bool:
    """Whether the run says there what it chose."""
    return any(word in line for word in ("starts from", "afresh", "passes", "mixture", "not beat", "line to beat"))


def table(counted: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown, each beside the n-gram models of its text."""
    lines = [
        "| text | characters | budget | cores | options | network | saved | best n-gram | above it | start | chosen |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        text = counted[row["text"]]
        order, best = min(text["kneser_ney"].items(), key=lambda one: one[1])
        chosen = f"{row['cell'].upper()} {row['width']}, {row['precision']}, {row['steps']:,} steps; {row['mixture']}"
        lines.append(
            f"| {row['text']} | {text['characters']:,} | {row['budget']} | {row['threads']} | {row['options']} | "
            f"{row['network']:.3f} | **{row['saved']:.3f}** | {best:.3f} (order {order}) | "
            f"{row['saved'] - best:+.3f} | {row['start']} | {chosen} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--texts", nargs="+", choices=list(TEXTS), default=list(TEXTS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0])
    parser.add_argument("--steps", nargs="+", type=int, default=[], help="in place of minutes: what load cannot change")
    parser.add_argument("--cpu-time", action="store_true", help="minutes of processor time, on one thread")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--options", default="", help="more options of `ostinato train`, as one word")
    parser.add_argument("--out", type=Path, default=Path("defaults.json"))
    parser.add_argument("--table", type=Path, metavar="JSON", help="print the rows of this file as a table, no more")
    given = parser.parse_args()
    kept: dict[str, Any] = {"counted": {}, "rows": []}
    if (file := given.table or given.out).exists():
        kept = json.loads(file.read_text())
    counted, rows = kept["counted"], kept["rows"]
    if given.table:
        print(table(counted, rows))
        return
    if given.data is None:
        parser.error("--data names the folder of the texts")
    if given.cpu_time and (given.steps or given.threads != [1]):
        parser.error("--cpu-time counts minutes of one thread: leave out --steps and --threads")
    budgets = [("--steps", n) for n in given.steps] or [("--minutes", n) for n in given.minutes]
    for option, amount in budgets:
        for threads in given.threads:
            for name in given.texts:
                budget = f"{amount:g} {option[2:]}{' of processor time' if given.cpu_time else ''}"
                key = {"text": name, "budget": budget, "threads": threads, "options": given.options}
                if any(key.items() <= row.items() for row in rows):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    path, how = write(TEXTS[name], given.data, Path(folder)), TEXTS[name].kept
                    if name not in counted:
                        counted[name] = ngrams(path, how, Path(folder) / "corpus")
                    out, limit = Path(folder) / "run", [option, f"{amount:g}"]
                    rows.append(key | trained(path, how, out, limit, threads, given.options, given.cpu_time))
                part = given.out.with_suffix(".part")
                part.write_text(json.dumps(kept, indent=1, ensure_ascii=False))
                part.replace(given.out)
                print(table(counted, rows[-1:]).splitlines()[-1], flush=True)
    print(table(counted, rows))


if __name__ == "__main__":
    main()
