"""Every file operation of whole commands fails once, or from then on; and they are killed at many of them.

    python tests/faults [--every N] [--first K] [--kills N] [COMMAND...]

For each command: every operation x ENOSPC, EIO, EACCES x once, for good. With --every, only every N-th of these cases
(0: none), from case K on: with N 5, K from 0 to 4 make the whole set, and each of these five has every operation. Then
SIGKILL at so many operations, spread evenly (--kills, default 50), of commands that replace something or can go on. The
exit code is 1 if anything was found: a product that is neither old nor new, a message that is not true, a traceback, a
run that does not go on.
"""

import argparse
import contextlib
import errno
import io
import itertools
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import Fault, preloaded, start_again

KILLED = (
    "train", "resume", "overwrite", "ngram-overwrite", "classify", "mixture", "test-text", "compare-overwrite", "arpa",
    "huggingface", "base",
)  # fmt: skip
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)


def main() -> int:
    """Run what was asked for."""
    if not preloaded():
        start_again()
    from commands import COMMANDS
    from judge import Trial, trial

    parser = argparse.ArgumentParser(prog="python tests/faults", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="COMMAND", help=", ".join(command.name for command in COMMANDS))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th case only; 0: no faults")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="with --every: begin with case K (from 0)")
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="points of SIGKILL per command")
    args = parser.parse_args()
    chosen = [command for command in COMMANDS if not args.names or command.name in args.names]
    _prepare(chosen)
    step = next(n for n in itertools.count(args.every) if math.gcd(n, 6) == 1) if args.every else 0
    code = cases = 0
    for command in chosen:
        started = time.monotonic()
        one: Trial = trial(command)
        count = len(one.operations)
        if args.every:
            every = [Fault(at, c, good) for at in range(1, count + 1) for good in (False, True) for c in CODES]
            for fault in every[args.first :: step]:
                one.fail(fault)
        if command.name in KILLED and args.kills:
            for point in range(args.kills):
                one.kill(1 + point * count // args.kills)
        print(f"{one.report}, {time.monotonic() - started:.0f} s", flush=True)
        for finding in one.report.findings[:40]:
            print(f"  {finding}", flush=True)
        code, cases = max(code, bool(one.report.findings)), cases + one.report.cases
    print(f"{cases:,} cases in all")
    return code


def _prepare(chosen: list[Any]) -> None:
    """Import what the commands do, so that their processes start at once; pictures and samples take too long."""
    from commands import write_texts
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    from ostinato.cli.main import main as ostinato
    from ostinato.runs import picture
    from ostinato.runs.tasks import language

    def draw(self: object, file: io.BytesIO, **options: object) -> None:
        file.write(b"x" * 100)

    FigureCanvasSVG.print_svg = draw
    FigureCanvasAgg.print_png = draw
    picture._draw_losses = picture._without_mathematics = lambda *given: None
    language.sample_text = lambda model, corpus: "a sample"
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        work = Path(name) / "work"
        work.mkdir()
        write_texts(work.parent)
        for command in chosen:
            for line in (*command.before, command.arguments):
                ostinato(command.line(work, line))
            shutil.rmtree(work)
            work.mkdir()


if __name__ == "__main__":
    sys.exit(main())
