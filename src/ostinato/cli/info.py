"""`ostinato info [MODEL|TEXT...]`"""

import argparse
from pathlib import Path
from typing import Any

from ostinato.errors import BundleError, counted
from ostinato.terminal import activity, note, quoted, say, say_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `info`."""
    parser.add_argument("what", nargs="*", metavar="MODEL|TEXT", help="model or texts (default: this machine)")
    parser.add_argument(
        "--tokenizer", default="character", metavar="T", help="tokenizer for a text (default: character)"
    )
    parser.add_argument(
        "--documents",
        default="auto",
        metavar="D",
        help="where documents begin: files, lines, paragraphs, auto or a regular expression",
    )
    parser.add_argument("--encoding", metavar="E", help="encoding of the text (default: UTF-8, otherwise guessed)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Describe what was given: a model by its card, texts by their numbers, otherwise this machine's kernels."""
    if not args.what:
        return _machine(args)
    if len(args.what) == 1 and (Path(args.what[0]).is_dir() or _is_base(args.what[0])):
        from ostinato.bundle import find_bundle

        try:
            folder = find_bundle(Path(args.what[0]))
        except BundleError:
            from ostinato.sweeps import finished_runs, read_table

            table = read_table(sweep := Path(args.what[0]))
            return _text(args) if table is None else _sweep(sweep, table.get("best"), finished_runs(sweep), args)
        return _model(folder, args)
    return _text(args)


def _is_base(name: str) -> bool:
    """Whether a bundled base is meant, and no file of that name."""
    from ostinato.bases import BASES

    return name in BASES and not Path(name).exists()


def _sweep(folder: Path, best: dict[str, Any] | None, done: list[str], args: argparse.Namespace) -> int:
    table = folder / "sweep.csv"
    if args.json:
        say_json({"path": str(folder), "kind": "sweep", "table": str(table), "finished": done, "best": best})
        return 0
    where = f"its table is {quoted(table)}" if table.is_file() else "it has no table yet"
    one, which = (best["folder"], "the best") if best else ("".join(done[:1]), "one")
    run = f"; for {which} run: ostinato info {quoted(folder / one)}" if one else ""
    say(f"{folder} is a sweep with {counted(len(done), 'finished run')}; {where}{run}")
    return 0


def _model(folder: Path, args: argparse.Namespace) -> int:
    from ostinato.bundle import read_bundle

    with activity("reading the model"):
        bundle = read_bundle(folder)
    if args.json:
        say_json({"path": str(bundle.path), **bundle.config})
    else:
        say(f"{bundle.card.rstrip()}\n\n({bundle.path}, every file matches its checksum)")
    return 0


def _text(args: argparse.Namespace) -> int:
    from ostinato.settings import TextSettings, from_mapping
    from ostinato.text.report import report_texts

    settings = from_mapping(
        "text", {"tokenizer": args.tokenizer, "documents": args.documents}, TextSettings(), "ostinato info"
    )
    found = report_texts(args.what, settings, args.encoding, doing=activity)
    report = found.figures
    for remark in found.notes:
        note(remark)
    if args.json:
        say_json(report)
        return 0
    say(", ".join(report["names"]))
    say(f"  tokenizer {report['tokenizer']}: vocabulary of {report['vocabulary']:,} tokens, from the training part")
    say(f"  documents divided by {report['documents']}")
    for name, label in (("train", "training"), ("heldout", "held out")):
        s = report[name]
        say(
            f"  {label}: {counted(s['documents'], 'document')}, "
            f"{counted(s['characters'], 'character')}, {counted(s['tokens'], 'token')}"
        )
    if rhyme := report.get("rhyme"):
        say(
            f"  rhyme: {rhyme['rhyming']:.0%} of {rhyme['lines']:,} lines rhyme with a line nearby "
            f"({rhyme['couplets']:.0%} with a neighbour, {rhyme['alternate']:.0%} with the one after or before that)"
        )
    return 0


def _machine(args: argparse.Namespace) -> int:
    import os
    import platform

    from ostinato import __version__
    from ostinato.kernels import choose_isa

    kernels = choose_isa()
    report = {
        "ostinato": __version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "kernels": {"isa": kernels.isa, "why": kernels.why, "available": list(kernels.available)},
    }
    if args.json:
        say_json(report)
        return 0
    say(f"ostinato {report['ostinato']}, Python {report['python']}, {report['cores']} cores")
    say(f"  kernels: {kernels.isa} ({kernels.why}); available: {', '.join(kernels.available)}")
    return 0
