"""What form costs: likelihood and time of constrained couplets, beside free text and rejection sampling.

    python benchmarks/form.py MODEL [--texts 20] [--temperature 0.8] [--json]
    python benchmarks/form.py MODEL --requests 200

A couplet is written under a title of its own (the same for every method and constraint). Bits per character are those
of the two lines, newlines included, under the model at temperature 1. Rejection sampling draws free next lines, 64 in a
batch, until one has the form, at most 512 for a line; texts for which it gives up are counted and left out.

With `--requests`, random forms with rhyme are asked for instead, and the rhymes of each text are looked at: lines of
different letters that rhyme, function words that carry a rhyme, rhyme words that come twice, and whether the notes say
so.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ostinato.api import Model
from ostinato.errors import GenerationError, UsageError
from ostinato.form import Form, compose
from ostinato.form.bonds import Bonds
from ostinato.form.checking import fault
from ostinato.form.form import outline
from ostinato.form.lexicon import language_of_vocabulary
from ostinato.generation import Sampler, Stop, WriteRequest, write
from ostinato.text.sounds import LIGHT

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
    bonds = Bonds(definite, {})
    drawn = 0
    for number, spec in enumerate(definite.lines):
        bond = bonds.bond(number, dict(enumerate(lines)))
        include = form.include if number == 0 else ()
        found = None
        for batch in range(MOST_DRAWS // BATCH):
            request = WriteRequest(
                prompt="".join(line + "\n" for line in lines), sampler=sampler, stop=Stop(lines=number + 1),
                count=BATCH, seed=seed * 1000 + batch, title=title if model.heading else None,
            )  # fmt: skip
            texts = write(model.text_model, request)
            drawn += BATCH
            candidates = [text.text.split("\n")[number] for text in texts if text.text.count("\n") >= number]
            found = next(
                (c for c in candidates
                 if fault(c, spec, definite, bond=bond, include=include, others=lines) is None), None,
            )  # fmt: skip
            if found is not None:
                break
        if found is None:
            return None
        lines.append(found)
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


SCHEMES = ("AABB", "ABAB", "AABA", "ABBA", "XAXA", "AAXA", "AABCCB", "ABABCC", "ABCABC", "AAAA")


def random_form(rng: random.Random, language: str) -> Form:
    """Four or six lines that rhyme, half of them with more: a length, letters to begin with, a word."""
    scheme = rng.choice(SCHEMES)
    low = rng.randint(5, 8)
    letters = {"zh": "春夏秋冬风花雪月我你", "en": "tashwiobmn"}[language]
    return Form(
        rhyme=scheme,
        stanzas=rng.choice([1, 1, 2]),
        length=rng.choice([None, low, f"{low}-{low + 3}"]),
        acrostic="".join(rng.sample(letters, 4)) if rng.random() < 0.3 else "",
        include=(rng.choice({"zh": ["桥", "雨", "月光"], "en": ["bridge", "light", "rain"]}[language]),)
        if rng.random() < 0.3
        else (),
    )


def requests(model: Model, count: int, sampler: Sampler) -> None:
    """Write `count` random forms and report what their rhymes are like."""
    language = language_of_vocabulary(model.tokenizer) or "zh"
    rng, start = random.Random(1), time.perf_counter()
    found = dict.fromkeys(("texts", "lines", "refused", "rhyme across letters", "function words", "repeated words"), 0)
    unsaid = 0
    for seed in range(count):
        form = random_form(rng, language)
        try:
            (got,) = model.compose(form, sampler=sampler, seed=seed)
        except (GenerationError, UsageError):
            found["refused"] += 1
            continue
        definite = outline(form, language)
        sounds = definite.sounds
        words = [sounds.last_word(line) for line in got.lines]
        carrying = [n for n, spec in enumerate(definite.lines) if definite.group_sizes.get(spec.rhyme, 0) > 1]
        across = [
            (i, j) for j, b in enumerate(definite.lines) for i, a in enumerate(definite.lines[:j])
            if a.stanza == b.stanza and not (a.rhyme and a.rhyme == b.rhyme)
            and sounds.every_key(got.lines[i]) & sounds.every_key(got.lines[j])
        ]  # fmt: skip
        light = [n for n in carrying if words[n] in LIGHT[language]]
        twice = [n for n in carrying if words[n] in [words[m] for m in carrying if m < n]]
        found["texts"] += 1
        found["lines"] += len(got.lines)
        found["rhyme across letters"] += len(across)
        found["function words"] += len(light)
        found["repeated words"] += len(twice)
        unsaid += len(across) + len(light) + len(twice) > len(got.notes)
    seconds = (time.perf_counter() - start) / max(1, found["lines"])
    print(language, found, f"texts with more than their notes say: {unsaid}; {1000 * seconds:.0f} ms per line")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--methods", default="sample,particles 1,beam,rejection", help="which of them to run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, metavar="N")
    args = parser.parse_args()
    model, sampler = Model(args.model), Sampler(temperature=args.temperature)
    if args.requests:
        requests(model, args.requests, sampler)
        return
    language = language_of_vocabulary(model.tokenizer) or "zh"
    words = model.known_words
    made_up = (WriteRequest(sampler=sampler, stop=Stop(tokens=1), seed=s) for s in range(args.texts))
    titles = [write(model.text_model, request)[0].title or "" for request in made_up]

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
