"""Where texts without a prompt begin: models of one long novel, of songs, of one-line documents.

    python benchmarks/beginnings.py NOVEL [--songs FOLDER] [--lines FILE] [--steps 300] [--count 200] [--set K=V]

For each text and each recipe a model is trained and writes `count` short texts. A text begins at a beginning if the
training text has its first characters (`--letters`, 3) at the beginning of a line, or of a sentence. What does not is
shown. Without an opening in its bundle (`--without`), a model begins as those before 0.2 did.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import ostinato
from ostinato.generation import TextModel, WriteRequest, write
from ostinato.text import open_corpus
from ostinato.text.openings import Opening

RECIPES = ("kneser-ney", "context-mixing", "network", "mixture")


def beginnings(text: str, letters: int) -> set[str]:
    """The first characters of all lines and sentences."""
    starts = {0, *(match.end() for match in re.finditer(r"\n+|[.!?][\"'”’)]* +|[。！？][”’」』]*", text))}
    return {text[at : at + letters].split("\n")[0] for at in starts}


def trained(text: str, recipe: str, steps: int, out: Path, settings: dict[str, Any]) -> ostinato.Model:
    """A model of `text` by one of RECIPES."""
    counted = recipe in ("kneser-ney", "context-mixing")
    more = {} if counted else {"model.mixture": "best" if recipe == "mixture" else "none"}
    return ostinato.train(
        text, out=out, recipe=recipe if counted else None, settings={**settings, **more}, seed=1, progress=False,
        start=None, **({} if counted else {"steps": steps}),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("novel")
    parser.add_argument("--songs", help="a folder with a file for each")
    parser.add_argument("--lines", help="a file whose lines are documents")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--letters", type=int, default=3)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--set", action="append", default=[], metavar="K=V")
    parser.add_argument("--without", action="store_true")
    args = parser.parse_args()
    given = dict(one.split("=", 1) for one in args.set)
    texts = {"novel": (args.novel, {}), "songs": (args.songs, {}), "lines": (args.lines, {"text.documents": "lines"})}
    for name, (path, settings) in texts.items():
        if path is None:
            continue
        for recipe in args.recipes.split(","):
            with tempfile.TemporaryDirectory() as folder:
                model = trained(path, recipe, args.steps, Path(folder) / "run", {**settings, **given})
                corpus = open_corpus(Path(folder) / "run" / "text")
                known = beginnings("\n".join(corpus.texts("train")), args.letters)
                text_model: TextModel = model.text_model
                if args.without:
                    object.__setattr__(text_model, "opening", Opening())
                request = WriteRequest.of(tokens=30, count=args.count, seed=7)
                found = [written.text for written in write(text_model, request)]
            wrong = [text for text in found if text[: args.letters].split("\n")[0] not in known]
            shown = "; ".join(repr(text[:24]) for text in wrong[:5])
            right = f"{args.count - len(wrong)} of {args.count}"
            print(f"{name:6} {recipe:15} {model.kind:15} {right}  {shown}", flush=True)


if __name__ == "__main__":
    main()
