"""`ostinato predict MODEL [INPUT...]`"""

import argparse
from pathlib import Path

import numpy as np

from ostinato.errors import needs
from ostinato.settings import TextSettings, from_mapping, recorded_settings
from ostinato.terminal import activity, note, say, say_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `predict`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model made by `ostinato train --task ...`")
    parser.add_argument(
        "input",
        nargs="*",
        default=["-"],
        metavar="INPUT",
        help="files in the format of the training files (default: standard input, one record per line)",
    )
    parser.add_argument("--beam", type=int, metavar="N", help="hypotheses kept in beam search (1: greedy)")
    parser.add_argument("--encoding", metavar="E", help="encoding of the input (default: UTF-8, otherwise guessed)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print one prediction per line; if the input includes the answers, print the scores on standard error."""
    from ostinato.bundle import read_bundle

    with activity("starting"), needs("train", "predicting"):
        from ostinato.runs.finding import named_task
        from ostinato.runs.record_task import load_task_model
    with activity("loading the model"):
        bundle = read_bundle(args.model)
        model = load_task_model(bundle)
    if args.beam is not None:
        model.task = from_mapping("task", {"beam": args.beam}, model.task, "--beam")
    text = recorded_settings(TextSettings, bundle.config, str(bundle.path))
    task = named_task(model.task.name, "predicting")
    with activity("reading the input"):
        records = task.records(args.input, model.task, text, answers=False, encoding=args.encoding)
    for remark in records.notes:
        note(remark)
    with activity("predicting"):
        predictions = model.predict(records.inputs)
        scores = model.scores(predictions, records.targets) if records.targets else {}
    if args.json:
        plain = [p.tolist() if isinstance(p, np.ndarray) else p for p in predictions]
        say_json({"task": model.task.name, "predictions": plain, "scores": scores})
        return 0
    lines = map(model.line, predictions)
    for filled in records.filled or [True] * len(predictions):  # a blank line for each blank line of the input
        say(_one_line(next(lines)) if filled else "")
    if scores:
        found = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scores.items())
        note(f"{found} (on the given {len(predictions):,} records)")
    return 0


def _one_line(text: str) -> str:
    r"""`text` with a newline in it as the two characters `\n`, so that predictions stay beside their inputs."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
