"""The particle filter against exact enumeration of a small model's lines."""

import itertools
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("pypinyin")

from ostinato.form.automaton import Free, Line
from ostinato.form.lexicon import Condition, Lexicon
from ostinato.form.search import Cursor, Draws, beam_lines, sample_lines
from ostinato.generation.sampling import Sampler
from ostinato.text.sounds import Sounds
from ostinato.text.tokenizers import build

CHARACTERS = "光长人心"
TOKENIZER = build("character", [CHARACTERS + "\n"], 1)
LEXICON = Lexicon(TOKENIZER, Sounds(), "zh")
RHYME = Condition(keys=frozenset(["江阳"]))


class Bigrams:
    """A model of pairs of tokens, with a strong wish for what does not rhyme."""

    vocabulary_size = TOKENIZER.vocabulary_size

    def __init__(self):
        self.table = np.random.default_rng(5).normal(0, 1.5, (self.vocabulary_size,) * 2)
        self.table[:, :257] -= 6
        self.table[:, TOKENIZER.encode("人心").astype(int)] += 1.5

    def initial_state(self, batch):
        return np.zeros(batch, int)

    def step(self, ids, state):
        return self.table[ids.astype(int)], ids.astype(int)

    def select(self, state, rows):
        return state[rows]

    def log_probability(self, text):
        ids = [0, *TOKENIZER.encode(text).tolist()]
        rows = self.table - np.log(np.exp(self.table).sum(axis=1, keepdims=True))
        return sum(rows[a, b] for a, b in itertools.pairwise(ids))


MODEL = Bigrams()
START = Cursor(MODEL.initial_state(1), (0,))
LINES = ["".join(c) for n in (2, 3) for c in itertools.product(CHARACTERS, repeat=n) if c[-1] in "光长"]


def text_of(candidate):
    return TOKENIZER.decode(np.array(candidate.ids)).rstrip("\n")


def test_weights_are_the_probability_of_the_lines_of_the_form():
    """The mean weight of the particles that wrote a line is, on average, that line's probability under the model."""
    exact = {line: np.exp(MODEL.log_probability(line + "\n")) for line in LINES}
    line = Line(LEXICON, (Free(2, 3, tail=RHYME),))
    found, runs, particles = Counter(), 150, 24
    for row in range(runs):
        for candidate in sample_lines(MODEL, START, [line] * particles, Sampler(), Draws(1, row), 10):
            found[text_of(candidate)] += np.exp(candidate.log_weight) / particles / runs
    assert set(found) <= set(exact)
    total = sum(exact.values())
    assert sum(found.values()) == pytest.approx(total, rel=0.05)
    difference = sum(abs(found[text] - exact[text]) for text in exact) / total / 2
    masks_alone = Counter(
        text_of(sample_lines(MODEL, START, [line], Sampler(), Draws(2, r), 10)[0]) for r in range(400)
    )
    assert difference < 0.05 < 0.1 < sum(abs(masks_alone[t] / 400 - exact[t] / total) for t in exact) / 2


def test_candidates_know_their_probability_and_where_the_text_goes_on():
    line = Line(LEXICON, (Free(2, 2),))
    for candidate in sample_lines(MODEL, START, [line] * 8, Sampler(temperature=0.5), Draws(4, 0), 10):
        assert candidate.log_probability == pytest.approx(MODEL.log_probability(text_of(candidate) + "\n"))
        logits, _ = candidate.cursor.read(MODEL)
        assert logits[0].tolist() == MODEL.table[TOKENIZER.encode("\n")[0]].tolist()


def test_beams_find_the_likeliest_line():
    line = Line(LEXICON, (Free(3, 3, tail=RHYME),))
    found = beam_lines(MODEL, START, [line] * 40, 40, 10)
    best = max(found, key=lambda c: c.log_probability)
    wanted = max((text for text in LINES if len(text) == 3), key=lambda text: MODEL.log_probability(text + "\n"))
    assert text_of(best) == wanted
    assert len({text_of(c) for c in found}) == len(found) > 5


def test_a_dead_end_gives_nothing_and_ends():
    line = Line(LEXICON, (Free(2, 2, tail=Condition(keys=frozenset(["姑苏"]))),))
    assert sample_lines(MODEL, START, [line] * 4, Sampler(), Draws(1, 1), 10) == []
    assert beam_lines(MODEL, START, [line] * 4, 4, 10) == []


def test_the_work_is_bounded_by_the_limit():
    line = Line(LEXICON, (Free(2, 3),))
    assert sample_lines(MODEL, START, [line] * 4, Sampler(), Draws(1, 1), 2) == []
