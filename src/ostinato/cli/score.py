"""`ostinato score MODEL [TEXT...]`"""

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.terminal import activity, is_terminal, note, say, say_json

if TYPE_CHECKING:
    from ostinato.api import Model
    from ostinato.text import Split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `score`."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="saved model, or the output folder of a run")
    parser.add_argument(
        "text", nargs="*", default=["-"], metavar="TEXT", help="texts to score (default: standard input)"
    )
    parser.add_argument("--encoding", metavar="E", help="encoding of the text (default: UTF-8, otherwise guessed)")
    parser.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="precision of the weights (default: fp32)"
    )
    parser.add_argument(
        "--per-token",
        action="store_true",
        help="show the surprisal of each token by colour; as JSON (--json or in a pipe), bits and rank per token",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print perplexity per token and bits per character of the text, divided into documents as the model's own was."""
    from ostinato.api import Model
    from ostinato.cli.texts import settings_of, whole_text
    from ostinato.evaluation import evaluate

    with activity("loading the model"):
        model = Model(args.model, precision=args.precision)
        _ = model.step_model  # what it cannot do is said before the text is read
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
        with activity("reading the text"):
            given, corpus = whole_text(
                args.text, settings_of(model.config), Path(folder), tokenizer=model.tokenizer, encoding=args.encoding
            )
        for remark in corpus.notes:
            note(remark)
        if args.per_token:
            return _per_token(model, given, as_json=args.json or not is_terminal(sys.stdout))
        with activity(f"scoring {given.tokens:,} tokens"):
            evaluation = evaluate(model.step_model, given.ids, given.characters, split="given")
    if args.json:
        say_json(evaluation.to_json())
    else:
        say(evaluation)
    return 0


def _per_token(model: "Model", given: "Split", *, as_json: bool) -> int:
    """Every token: coloured by its surprisal in a terminal, otherwise one JSON object."""
    from ostinato.evaluation import from_log_probabilities
    from ostinato.evaluation.surprisal import coloured, surprisals

    with activity(f"scoring {given.tokens:,} tokens"):
        bits, ranks = surprisals(model.step_model, given.ids)
    evaluation = from_log_probabilities(-bits * math.log(2), given.characters, split="given")
    if as_json:
        rows = zip(given.ids.tolist(), bits.tolist(), ranks.tolist(), strict=True)
        tokens = [
            {"id": i, "token": model.tokenizer.token(i), "bits": b if math.isfinite(b) else None, "rank": r}
            for i, b, r in rows
        ]
        say_json({**evaluation.to_json(), "per_token": tokens})
    else:
        say(coloured(given.ids, bits, model.tokenizer), styled=True)
        say(evaluation)
    return 0
