"""`ostinato export MODEL --to FORMAT`"""

import argparse
from pathlib import Path

from ostinato.errors import UsageError
from ostinato.terminal import activity, note, say

RESTORE = "ostinato"
"""The way back: a Hugging Face folder that ostinato exported becomes a model again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    from ostinato.export import FORMATS

    parser.add_argument("model", type=Path, metavar="MODEL", help="saved model, or the output folder of a run")
    formats = "; ".join(f"{name}: {entry.what}" for name, entry in FORMATS.items())
    parser.add_argument(
        "--to", required=True, choices=[*FORMATS, RESTORE], metavar="FORMAT",
        help=f"{formats}; {RESTORE}: an ostinato model again, from a Hugging Face folder that ostinato exported",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", type=Path, metavar="PATH", help="where to write the result (default: next to the model)"
    )
    parser.add_argument("--network", action="store_true", help="export only the network of a mixture: a smaller file")
    parser.add_argument("--overwrite", action="store_true", help="replace PATH if it exists")


def run(args: argparse.Namespace) -> int:
    """Export, then print where the result is."""
    if args.to == RESTORE:
        from ostinato.export.huggingface import restore

        if args.out is None:
            raise UsageError(f"--to {RESTORE} needs -o: name the folder of the new model")
        with activity("restoring"):
            restore(args.model, args.out)
        say(str(args.out))
        return 0
    from ostinato.export import export

    with activity("exporting"):
        path = export(args.model, args.to, args.out, overwrite=args.overwrite, network=args.network, noted=note)
    say(str(path))
    return 0
