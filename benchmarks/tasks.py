"""What the task models reach on real data: `python benchmarks/tasks.py NAME...` prints and saves a JSON object each.

NAME is noise, vowels, translation, plain-translation, next-line, series, honest-forecasts, forecast-methods,
segmentation, books or hello. Data are read from --data (cmn-eng.txt, books, JapaneseVowels_*.ts, airline.csv,
sunspots.csv); `translation` needs sacrebleu.
"""

import argparse
import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato import runs
from ostinato.bundle import read_bundle
from ostinato.models.smoothing import LAST_VALUE, forecasts
from ostinato.runs import divide, load_task_model
from ostinato.runs.backtest import backtest, trial_origins
from ostinato.runs.record_data import Part
from ostinato.settings import Recipe, TaskSettings, apply_overrides
from ostinato.text.records import Records, read_labelled, read_next_lines, read_pairs, read_series


def trained(records: Records, out: Path, name: str, *settings: str) -> Any:
    """The best model of a run."""
    recipe = apply_overrides(Recipe(), [f"task.name={name}", *settings])
    runs.train(records, out=out, recipe=recipe, overwrite=True)
    return load_task_model(read_bundle(out))


def as_records(part: Part, name: str) -> Records:
    """A part of a split as records of its own; equal inputs stay together when it is divided again."""
    groups: dict[str, int] = {}
    keys = [str(value) for value in part.inputs]
    return Records(list(part.inputs), list(part.targets), [groups.setdefault(k, len(groups)) for k in keys], (name,))


def noise(data: Path, out: Path) -> dict[str, Any]:
    """Lesson 4 as printed: random labels of 100 steps x 10 random features, batch 64, last step, Adam 1e-3."""
    generator = np.random.default_rng(0)
    inputs = list(generator.standard_normal((22000, 100, 10), np.float32))
    targets = generator.integers(0, 2, len(inputs)).astype(str).tolist()
    records = Records(inputs[:2000], targets[:2000], list(range(2000)), ("noise",))
    settings = ["text.heldout=0", "task.pooling=last", "task.bidirectional=false", "training.optimizer=adam",
                "training.learning_rate=1e-3", "training.batch_size=64", "training.epochs=25",
                "training.schedule=constant", "model.hidden_size=64", "model.dropout=0", "model.cell=rnn"]  # fmt: skip
    model = trained(records, out, "classify", *settings)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    heldout = model.scores(model.predict(inputs[2000:]), targets[2000:])["accuracy"]
    return {"training": [row["training_accuracy"] for row in rows], "heldout": heldout, "heldout_sequences": 20000}


def vowels(data: Path, out: Path) -> dict[str, Any]:
    """JapaneseVowels, its own split, five seeds, nothing chosen on the test set."""
    train, test = (read_labelled([str(data / f"JapaneseVowels_{part}.ts")]) for part in ("TRAIN", "TEST"))
    found = []
    for seed in range(1, 6):
        model = trained(train, out, "classify", "text.heldout=0", f"training.seed={seed}")
        found.append(model.scores(model.predict(test.inputs), test.targets)["accuracy"])
    return {"accuracies": found, "mean": float(np.mean(found))}


def translation(data: Path, out: Path, *, attention: bool = True) -> dict[str, Any]:
    """English to Chinese words, a tenth of the English sentences held out."""
    from sacrebleu.metrics import BLEU, CHRF

    records = read_pairs([str(data / "cmn-eng.txt")])
    train, test = divide(records, 0.1)
    settings = ["text.heldout=0.03", "text.tokenizer=word", "model.hidden_size=192", "model.embedding_size=192",
                "model.tied=true", "training.batch_size=64", "training.epochs=12",
                f"task.attention={str(attention).lower()}"]  # fmt: skip
    model = trained(as_records(train, "cmn-eng"), out, "translate", *settings)
    result: dict[str, Any] = {"attention": attention, "pairs": [len(train), len(test)]}
    for beam in (1, 4):
        model.task = dataclasses.replace(model.task, beam=beam)
        started = time.perf_counter()
        said = model.predict(test.inputs)
        result[f"beam {beam}"] = {
            "bleu": BLEU(tokenize="zh").corpus_score(said, [list(test.targets)]).score,
            "chrf": CHRF().corpus_score(said, [list(test.targets)]).score,
            "seconds": round(time.perf_counter() - started, 1),
        }
    result["examples"] = list(zip(test.inputs[::200], said[::200], test.targets[::200], strict=True))
    return result


def next_line(data: Path, out: Path) -> dict[str, Any]:
    """The next line of a song, with the line before and, by the same network, without it."""
    records = read_next_lines(["lyrics-zh"], Recipe().text)
    train, test = divide(records, 0.1)
    settings = ["text.heldout=0.05", "training.epochs=10", "model.hidden_size=256", "model.dropout=0.5"]
    result: dict[str, Any] = {"pairs": [len(train), len(test)]}
    characters = sum(len(line) + 1 for line in test.targets)
    for name in ("with the line", "without"):
        known, asked = train.inputs, test.inputs
        if name == "without":
            known, asked = [""] * len(known), [""] * len(asked)
        groups = [g for g, inside in zip(records.groups, _in_train(records, train), strict=True) if inside]
        part = Records(list(known), list(train.targets), groups, ("lyrics-zh",))
        model = trained(part, out / name.replace(" ", "-"), "next-line", *settings)
        total, count = 0.0, 0
        with model.evaluating():
            for start in range(0, len(asked), 64):
                pairs = zip(asked[start : start + 64], test.targets[start : start + 64], strict=True)
                batch = model.batch([model.example(*pair) for pair in pairs])
                total -= float(model.network.log_probabilities(*model.tensors(batch)).sum())
                count += model.targets(batch)
        result[name] = {"perplexity": math.exp(total / count), "tokens": count,
                        "bits_per_character": total / math.log(2) / characters}  # fmt: skip
        if name != "without":
            result["examples"] = list(zip(asked[::150], model.predict(asked[::150]), strict=True))
    return result


def _in_train(records: Records, train: Part) -> list[bool]:
    """Which records `divide` left in the training part, which keeps their order and the very objects."""
    kept = iter([*train.inputs, None])
    wanted = next(kept)
    inside = []
    for value in records.inputs:
        inside.append(value is wanted)
        if value is wanted:
            wanted = next(kept)
    return inside


def series(data: Path, out: Path) -> dict[str, Any]:
    """The last values of two series, none of which was seen: forecasts in one go from the values before them."""
    from ostinato.runs.picture import picture

    result: dict[str, Any] = {}
    with picture(out / "forecasts", 9, 7) as figure:
        cases = {
            "airline": ("Passengers", 24, ["task.history=36", "task.season=12", "task.logarithm=true"]),
            "sunspots": ("SUNACTIVITY", 22, ["task.history=44", "task.season=11"]),
        }
        for place, (name, (column, held, settings)) in enumerate(cases.items()):
            values = read_series([str(data / f"{name}.csv")], column=column).inputs[0]
            known = Records([values[:-held]], [], [0], (name,))
            runs = []
            for seed in range(1, 6):
                model = trained(
                    known, out / name, "forecast", f"task.horizon={held}", f"training.seed={seed}",
                    "task.saved=network", *settings,
                )  # fmt: skip
                runs.append(model.predict([values[:-held]])[0])
            naive = model.network.naive(values[:-held])
            errors = [float(np.abs(run - values[-held:]).mean()) for run in runs]
            result[name] = {"seasonal_naive_mae": float(np.abs(naive - values[-held:]).mean()), "mae": errors,
                            "mean_mae": float(np.mean(errors))}  # fmt: skip
            axes = figure.add_subplot(2, 1, place + 1)
            at = np.arange(len(values))
            axes.plot(at[-5 * held :], values[-5 * held :], color="#333333", label=name)
            axes.plot(at[-held:], naive, color="#8a8a8a", linestyle="--", label="last season again")
            axes.plot(at[-held:], np.mean(runs, 0), color="#b5322f", label="forecast (mean of 5 seeds)")
            axes.legend(frameon=False)
    return result


def honest_forecasts(data: Path, out: Path) -> dict[str, Any]:
    """What the card promises beside the error on a final part that no run has seen, forecast from each place in it.

    Five seeds of training for the two real series; twenty series of 100 values of each synthetic kind.
    """
    airline, sunspots = (read_series([str(data / f"{n}.csv")]).inputs[0] for n in ("airline", "sunspots"))
    cases = {
        "airline, season and logarithm": (lambda seed: airline, 36, 5, ["task.season=12", "task.logarithm=true"]),
        "airline, no settings": (lambda seed: airline, 36, 5, []),
        "sunspots, no settings": (lambda seed: sunspots, 60, 5, []),
        "random walk": (_walk, 24, 20, []),
        "trend with noise": (_trend, 24, 20, []),
    }
    return {name: _promised(out, *case) for name, case in cases.items()}


def forecast_methods(data: Path, out: Path) -> dict[str, Any]:
    """As `honest_forecasts`, in seconds, for the methods without a network: default settings, 200 series of each
    synthetic kind."""
    airline, sunspots = (read_series([str(data / f"{n}.csv")]).inputs[0] for n in ("airline", "sunspots"))
    cases = {
        "airline, last 36": ([airline], 36),
        "sunspots, last 60": ([sunspots], 60),
        "random walk, last 24": ([_walk(seed) for seed in range(1, 201)], 24),
        "trend with noise, last 24": ([_trend(seed) for seed in range(1, 201)], 24),
    }
    task, result = TaskSettings(name="forecast"), {}
    for name, (made, final) in cases.items():
        rows = np.array([_kept(values, final, task) for values in made])
        promised, error, last = rows.mean(0).tolist()
        gains = rows[:, 2] - rows[:, 1]
        result[name] = {"promised": promised, "error": error, "last_value": last, "ratio": error / promised,
                        "standard_error_of_gain": float(gains.std() / math.sqrt(len(gains)))}  # fmt: skip
    return result


def _kept(values: Any, final: int, task: TaskSettings) -> tuple[float, float, float]:
    """What is promised without the final part, and the errors there of what is chosen and of the last value."""
    known = values[:-final]
    trials = trial_origins(len(known), task, lambda length: max(task.horizon, round(0.1 * length)))
    never = [np.full(task.horizon, np.inf)]
    found = backtest(known, task, trials, lambda _: lambda histories: never * len(histories))
    origins = list(range(len(known), len(values) - task.horizon + 1))
    targets = np.stack([values[o : o + task.horizon] for o in origins])
    error, last = (
        float(np.abs(forecasts(method, values, origins, task.horizon, season=found.season)[0] - targets).mean())
        for method in (found.chosen, LAST_VALUE)
    )
    return found.figure["mean_absolute_error"] or math.nan, error, last


def _walk(seed: int) -> Any:
    return np.cumsum(np.random.default_rng(seed).normal(size=100))


def _trend(seed: int) -> Any:
    return 0.5 * np.arange(100) + np.random.default_rng(seed).normal(size=100) * 5


def _promised(out: Path, make: Any, final: int, seeds: int, settings: list[str]) -> dict[str, Any]:
    """Means over the seeds: the card's figure, the error of the saved model, of the last value and of the network."""
    rows: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        values = make(seed)
        known = Records([values[:-final]], [], [0], ("series",))
        model = trained(known, out / "run", "forecast", f"training.seed={seed}", *settings)
        config = read_bundle(out / "run").config
        origins = range(len(values) - final, len(values) - model.task.horizon + 1)
        targets = np.stack([values[o : o + model.task.horizon] for o in origins])
        said = np.stack(model.predict([values[:o] for o in origins]))
        last = np.stack([np.repeat(values[o - 1], targets.shape[1]) for o in origins])
        rows.append({
            "saved": config["task"]["method"],
            "promised": config["evaluation"]["earlier forecasts"]["mean_absolute_error"],
            "error": float(np.abs(said - targets).mean()),
            "last_value": float(np.abs(last - targets).mean()),
        })  # fmt: skip
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("promised", "error", "last_value")}
    gains = np.array([row["last_value"] - row["error"] for row in rows])
    return means | {
        "ratio": means["error"] / means["promised"],
        "gain_over_last_value": float(gains.mean()),
        "standard_error_of_gain": float(gains.std(ddof=1) / math.sqrt(seeds)),
        "runs": rows,
    }


def segmentation(data: Path, out: Path) -> dict[str, Any]:
    """Chinese word boundaries (B, M, E, S) as a dictionary segmenter gives them for song lines."""
    import rjieba

    lines = sorted(set(read_next_lines(["lyrics-zh"], Recipe().text).inputs))[:12000]
    inputs, targets = [], []
    for line in lines:
        words = rjieba.cut(line)
        inputs.append([c for word in words for c in word])
        targets.append([t for w in words for t in ("S" if len(w) == 1 else "B" + "M" * (len(w) - 2) + "E")])
    records = Records(inputs, targets, list(range(len(inputs))), ("lyrics-zh",))
    trained(records, out, "tag", "training.epochs=4")
    return json.loads((out / "model" / "config.json").read_text())["evaluation"]  # type: ignore[no-any-return]


def books(data: Path, out: Path) -> dict[str, Any]:
    """Which of four books a line is from: 200 and 2,000 lines of each, a quarter of them to test on."""
    result: dict[str, Any] = {}
    for count in (200, 2000):
        inputs, targets = [], []
        for book in ("verse-en", "prose-en", "timemachine", "tinyshakespeare"):
            lines = sorted({line.strip() for line in (data / f"{book}.txt").read_text("utf-8").split("\n")} - {""})
            chosen = np.random.default_rng(1).permutation(len(lines))[:count]
            inputs += [lines[k] for k in chosen]
            targets += [book] * count
        train, test = divide(Records(inputs, targets, list(range(len(inputs))), ("books",)), 0.25)
        model = trained(as_records(train, "books"), out, "classify")
        saved = read_bundle(out).config
        result[f"{count} lines each"] = {
            "saved": saved["task"]["method"],
            "test_accuracy": model.scores(model.predict(test.inputs), test.targets)["accuracy"],
            "evaluation": saved["evaluation"],
        }
    return result


def hello(data: Path, out: Path) -> dict[str, Any]:
    """hello -> ohlol in 15 epochs of Adam 0.1 with 4 hidden units, by the cell's loop and by torch's layer; hello ->
    elloh in 1,000 epochs of Adam 0.01 with 8."""
    result: dict[str, Any] = {}
    for backend in ("reference", "torch"):
        solved = 0
        for seed in range(1, 21):
            model = _hello(out, "ohlol", seed, backend, hidden=4, rate=0.1, epochs=15)
            solved += "".join(model.predict([list("hello")])[0]) == "ohlol"
        result[f"ohlol, {backend}: solved of 20"] = solved
    _hello(out, "elloh", 1, "torch", hidden=8, rate=0.01, epochs=1000)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return result | {"elloh: loss after 1000 epochs": rows[-1]["train_loss"]}


def _hello(out: Path, target: str, seed: int, backend: str, *, hidden: int, rate: float, epochs: int) -> Any:
    records = Records([list("hello")], [list(target)], [0], ("hello",))
    settings = ["text.heldout=0", "text.min_count=1", "task.bidirectional=false", "model.cell=rnn", "model.dropout=0",
                f"model.hidden_size={hidden}", "model.embedding_size=0", f"model.backend={backend}",
                "training.optimizer=adam", f"training.learning_rate={rate}", "training.schedule=constant",
                "training.clip=0", f"training.epochs={epochs}", f"training.seed={seed}",
                f"training.evaluate_every={epochs // 5}"]  # fmt: skip
    return trained(records, out, "tag", *settings)


def plain_translation(data: Path, out: Path) -> dict[str, Any]:
    """`translation` without attention."""
    return translation(data, out, attention=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        found = globals()[name.replace("-", "_")](args.data, args.out / name)
        args.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: found}, ensure_ascii=False, indent=1)
        (args.out / f"{name}.json").write_text(text + "\n", "utf-8")
        print(text)


if __name__ == "__main__":
    main()
