"""What general compressors need for the last tenth of a text once they have read the rest, beside context mixing.

    python benchmarks/compressors.py [TEXT]

A compressor adapts while it reads: the figure to compare is that of the context-mixing model while it adapts. Its bits
per character are the size of the whole text compressed, less that of its first nine tenths, over the last tenth.
Compressors that are not installed (zpaq, xz) are left out, and said so.
"""

import math
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ostinato.errors import OstinatoError
from ostinato.mixing import fit_mixing
from ostinato.settings import TextSettings
from ostinato.text import prepare

DATA = Path(__file__).parents[2] / "shared" / "data"
COMPRESSORS = {
    "zpaq -m5": ("zpaq", "add", "{out}", "{text}", "-method", "5", "-threads", "1"),
    "xz -9e": ("xz", "-9e", "-k", "-c", "{text}"),
}


def size(command: tuple[str, ...], text: bytes, folder: Path) -> int:
    """Bytes of `text` compressed."""
    source, out = folder / "text", folder / "out.zpaq"
    source.write_bytes(text)
    out.unlink(missing_ok=True)
    filled = [part.format(text=source, out=out) for part in command]
    printed = subprocess.run(filled, check=True, capture_output=True).stdout
    return out.stat().st_size if "{out}" in command else len(printed)


def row(name: str, nats: float, seconds: float) -> None:
    """One line of the table."""
    print(f"| {name} | {nats / math.log(2):.3f} | {nats:.4f} | {seconds:.1f} |", flush=True)


def main(path: Path) -> int:
    """Measure and print."""
    if not path.is_file():
        print(f"skipped: {path} is not here")
        return 0
    text = path.read_text("utf-8")
    cut = len(text) * 9 // 10
    print("| last tenth, adapting | bits per character | nats per character | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, command in COMPRESSORS.items():
            if shutil.which(command[0]) is None:
                print(f"{label}: {command[0]} is not installed", file=sys.stderr)
                continue
            started = time.perf_counter()
            sizes = [size(command, part.encode(), folder) for part in (text, text[:cut])]
            row(label, 8 * math.log(2) * (sizes[0] - sizes[1]) / (len(text) - cut), time.perf_counter() - started)
        try:
            corpus = prepare([str(path)], TextSettings(documents="files"), folder / "ids")
            started = time.perf_counter()
            model = fit_mixing(corpus.train.ids, corpus.tokenizer)
            for label, score in (("adapting", model.score_adapting), ("static", model.score)):
                nats = -float(score(corpus.heldout.ids).sum()) / corpus.heldout.characters
                row(f"context mixing, {label}", nats, time.perf_counter() - started)
        except OstinatoError as error:
            print(f"no context mixing: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "tinyshakespeare.txt"))
