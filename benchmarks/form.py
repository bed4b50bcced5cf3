"""What form costs: likelihood and time of constrained couplets, beside free text and rejection sampling.

    python benchmarks/form.py MODEL [--texts 20] [--temperature 0.8] [--json]

A couplet is written under a title of its own (the same for every method and constraint). Bits per character are those
of the two lines, newlines included, under the model at temperature 1. Rejection sampling draws free next lines, 64 in a
batch, until one has the form, at most 512 for a line; texts for which it gives up are counted and left out.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ostinato.api import Model
from ostinato.errors import GenerationError
from ostinato.form import Form, compose
from ostinato.form.form import Group, fault, outline
from ostinato.form.lexicon import language_of_vocabulary
from ostinato.generation import Sampler, Stop, write

FORMS = {
    "zh": {
        "free": {},
        "length 7": {"length": 7},
        "rhyme AA": {"rhyme": "AA"},
        "rhyme ang": {"rhyme": "ang"},
        "acrostic": {"acrostic": "春风"},
        "last characters": {"acrostic_end": "人间"},
        "a word": {"include": ("桥",)},
        "length 7, rhyme AA": {"length": 7, "rhyme": "AA"},
        "length 7, rhyme AA, acrostic": {"length": 7, "rhyme": "AA", "acrostic": "春风"},
        "all of it": {"length": 7, "rhyme": "AA", "acrostic": "春风", "include": ("桥",)},
    },
    "en": {
        "free": {},
        "length 8": {"length": 8},
        "rhyme AA": {"rhyme": "AA"},
        "rhyme night": {"rhyme": "night"},
        "acrostic": {"acrostic": "WE"},
        "a word": {"include": ("bridge",)},
        "length 8, rhyme AA": {"length": 8, "rhyme": "AA"},
        "all of it": {"length": 8, "rhyme": "AA", "acrostic": "WE", "include": ("rain",)},
    },
}
MOST_DRAWS = 512
BATCH = 64


def rejection(model: Model, form: Form, title: str, sampler: Sampler, seed: int) -> tuple[list[str], int] | None:
    """A couplet by drawing free lines until they fit, and how many were drawn; None where that was too many."""
    language = language_of_vocabulary(model.tokenizer) or "zh"
    definite = outline(form, language)
    lines: list[str] = []
    groups: dict[str, Group] = {}
    drawn = 0
    for number, spec in enumerate(definite.lines):
        group = groups.get(spec.rhyme, Group(spec.keys)) if spec.rhyme else None
        include = form.include if number == 0 else ()
        found = None
        for batch in range(MOST_DRAWS // BATCH):
            texts = write(
                model.step_model, model.tokenizer, "".join(line + "\n" for line in lines), sampler=sampler,
                stop=Stop(lines=number + 1), count=BATCH, seed=seed * 1000 + batch, heading=model.heading, title=title,
            )  # fmt: skip
            drawn += BATCH
            candidates = [text.text.split("\n")[number] for text in texts if text.text.count("\n") >= number]
            found = next(
                (c for c in candidates
                 if fault(c, spec, definite, group=group, include=include, others=lines) is None), None,
            )  # fmt: skip
            if found is not None:
                break
        if found is None:
            return None
        lines.append(found)
        if group is not None:
            groups[spec.rhyme] = group.with_line(found, definite.sounds)
    return lines, drawn


def log_probability(model: Model, title: str, lines: Sequence[str]) -> float:
    """Of the lines after their title, newlines included, in nats."""
    before = model.tokenizer.encode(f"{model.heading}{title}\n")
    after = model.tokenizer.encode("".join(line + "\n" for line in lines))
    return float(model.step_model.score(np.concatenate([before, after]))[len(before) :].sum())


def measure(
    titles: list[str], method: Callable[[str, int], Sequence[str] | None], model: Model
) -> dict[str, float | int | None]:
    """Mean bits per character of what `method` writes under each title, and seconds a line."""
    nats, characters, lines, refused = 0.0, 0, 0, 0
    start = time.perf_counter()
    for seed, title in enumerate(titles):
        written = method(title, seed)
        if written is None:
            refused += 1
            continue
        nats -= log_probability(model, title, written)
        characters += sum(len(line) + 1 for line in written)
        lines += len(written)
    seconds = time.perf_counter() - start
    return {
        "bits_per_character": nats / characters / math.log(2) if characters else None,
        "seconds_per_line": seconds / (2 * len(titles)),
        "refused": refused,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--methods", default="sample,particles 1,beam,rejection", help="which of them to run")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model, sampler = Model(args.model), Sampler(temperature=args.temperature)
    language = language_of_vocabulary(model.tokenizer) or "zh"
    words = model.known_words
    titles = [
        write(model.step_model, model.tokenizer, sampler=sampler, stop=Stop(tokens=1), seed=s, heading=model.heading)[
            0
        ].title
        or ""
        for s in range(args.texts)
    ]

    def composed(form: Form, **options: object) -> Callable[[str, int], Sequence[str] | None]:
        def method(title: str, seed: int) -> Sequence[str] | None:
            try:
                return compose(
                    model.step_model, model.tokenizer, form, sampler=sampler, seed=seed, heading=model.heading,
                    title=title, words=words, **options,  # type: ignore[arg-type]
                ).lines  # fmt: skip
            except GenerationError:
                return None

        return method

    compose(
        model.step_model, model.tokenizer, Form(lines=1, rhyme="A"), heading=model.heading, words=words
    )  # dictionaries loaded
    rows = {}
    for name, options in FORMS[language].items():
        form = Form(lines=2, language=language, **options)  # type: ignore[arg-type]

        def rejected(title: str, seed: int, form: Form = form) -> Sequence[str] | None:
            found = rejection(model, form, title, sampler, seed)
            return None if found is None else found[0]

        methods = {
            "sample": composed(form),
            "particles 1": composed(form, particles=1),
            "beam": composed(form, search="beam"),
            "rejection": rejected,
        }
        rows[name] = {m: measure(titles, methods[m], model) for m in args.methods.split(",")}
        if not args.json:
            cells = (
                f"{m}: {r['bits_per_character'] or math.nan:5.2f} bits, "
                f"{1000 * float(r['seconds_per_line'] or 0):6.0f} ms, {r['refused']:2d} refused"
                for m, r in rows[name].items()
            )
            print(f"{name:30}", " | ".join(cells), flush=True)
    if args.json:
        print(
            json.dumps({"model": str(args.model), "temperature": args.temperature, "forms": rows}, ensure_ascii=False)
        )


if __name__ == "__main__":
    main()
