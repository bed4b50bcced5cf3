"""The n-gram model that a network has to beat, and the warning where it learns by heart."""

import math

import pytest

from ostinato.bundle import read_bundle
from ostinato.evaluation import evaluate
from ostinato.ngram import fit_ngram
from ostinato.runs import line_to_beat
from ostinato.runs import run as running
from ostinato.runs.overfitting import Overfitting
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.text import open_corpus
from ostinato.training.observers import Observer, Observers, Row

SMALL = ["model.hidden_size=8", "model.embedding_size=4", "training.batch_size=4", "training.window=16",
         "training.precision=fp32"]  # fmt: skip
SPLIT = "held-out, Kneser-Ney 5"


class Heard(Observer):
    def __init__(self):
        self.notes = []

    def noted(self, text):
        self.notes.append(text)


def train(verses, out, *more, steps=2, **options):
    recipe = with_budget(
        apply_overrides(load_recipe("default"), [*SMALL, "model.mixture=none", *more]),
        minutes=None,
        epochs=None,
        steps=steps,
        seed=None,
    )
    heard = Heard()
    result = running.train([str(verses)], out=out, recipe=recipe, progress=False, observers=[heard], **options)
    return result, heard.notes


def test_the_line_is_measured_said_before_training_and_on_the_card(verses, tmp_path):
    result, notes = train(verses, tmp_path)
    corpus = open_corpus(tmp_path / "text")
    model = fit_ngram(corpus.train.ids, corpus.tokenizer.vocabulary_size, order=5)
    line = evaluate(model, corpus.heldout.ids, corpus.heldout.characters)
    assert result.evaluation[SPLIT] == line.to_json()
    said = f"a Kneser-Ney 5-gram has {line.bits_per_character:.2f} bits per held-out character: the line to beat"
    headline = next(k for k, note in enumerate(notes) if "parameters" in note)
    assert any(note.startswith(said) for note in notes[:headline])
    assert f"| {SPLIT} |" in read_bundle(tmp_path).card


def test_a_network_that_stays_above_the_line_is_told_so(verses, tmp_path):
    result, _ = train(verses, tmp_path)
    assert result.evaluation["held-out"]["nats"] > result.evaluation[SPLIT]["nats"]
    assert "the network did not beat the n-gram model" in result.summary().splitlines()[-1]


@pytest.mark.parametrize(
    ("evaluation", "said"),
    [
        ({"held-out": {"bits_per_character": 2.0}, SPLIT: {"bits_per_character": 2.5}}, False),
        ({"held-out": {"bits_per_character": None}, SPLIT: {"bits_per_character": 2.5}}, True),
        ({"held-out": {"bits_per_character": 2.5}, SPLIT: {"bits_per_character": 2.5}}, True),
        ({"held-out": {"bits_per_character": 2.5}}, False),
        ({"training": {"perplexity": 2.5}}, False),
    ],
)
def test_verdicts(evaluation, said):
    assert (line_to_beat.verdict(evaluation) is not None) == said


def test_a_resumed_run_counts_nothing(verses, tmp_path, monkeypatch):
    first, _ = train(verses, tmp_path)
    monkeypatch.setattr(line_to_beat, "fit_ngram", lambda *a, **k: pytest.fail("counted again"))
    again, notes = train(verses, tmp_path, steps=4, resume=True)
    assert again.evaluation[SPLIT] == first.evaluation[SPLIT]
    assert any(note.endswith("the line to beat") for note in notes)


def test_nothing_is_counted_without_a_held_out_text_or_for_a_long_one(verses, tmp_path, monkeypatch):
    monkeypatch.setattr(line_to_beat, "fit_ngram", lambda *a, **k: pytest.fail("counted"))
    result, _ = train(verses, tmp_path / "all", "text.heldout=0")
    assert SPLIT not in result.evaluation
    monkeypatch.setattr(line_to_beat, "MOST_TOKENS", 10)
    result, notes = train(verses, tmp_path / "long")
    assert SPLIT not in result.evaluation
    assert not any("line to beat" in note for note in notes)


def test_a_mixture_counts_once(verses, tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(line_to_beat, "fit_ngram", lambda *a, **k: counted.append(1) or fit_ngram(*a, **k))
    result, notes = train(verses, tmp_path, "model.mixture=linear")
    assert len(counted) == 1
    assert any("the line to beat (counted in" in note for note in notes)
    assert result.evaluation["held-out"]["nats"] <= result.evaluation[SPLIT]["nats"]


def test_a_long_text_has_the_order_that_predicts_it_better(verses, tmp_path, monkeypatch):
    monkeypatch.setattr(line_to_beat, "_LONG", 10)
    higher, notes = train(verses, tmp_path / "higher", steps=1)
    corpus = open_corpus(tmp_path / "higher" / "text")
    best, bits = 0, math.inf
    for order in (5, 7, 9, 10):
        model = fit_ngram(corpus.train.ids, corpus.tokenizer.vocabulary_size, order=order)
        theirs = evaluate(model, corpus.heldout.ids, corpus.heldout.characters).bits_per_character
        if theirs >= 0.997 * bits:
            break
        best, bits = order, theirs
    assert line_to_beat.line_of(higher.evaluation)[0] == f"Kneser-Ney {best}"
    assert any(note.startswith(f"a Kneser-Ney {best}-gram has {bits:.2f} bits") for note in notes)
    monkeypatch.setattr(line_to_beat, "_ENOUGH", 1.0)  # no order is so much better
    lower, _ = train(verses, tmp_path / "lower", steps=1)
    assert line_to_beat.line_of(lower.evaluation)[0] == "Kneser-Ney 5"
    monkeypatch.setattr(line_to_beat, "_ENOUGH", -1.0)  # each is
    mixed, _ = train(verses, tmp_path / "mixed", "model.mixture=linear")
    assert line_to_beat.line_of(mixed.evaluation)[0] == "Kneser-Ney 10"
    assert "Kneser-Ney 10" in read_bundle(tmp_path / "mixed").card
    resumed, _ = train(verses, tmp_path / "mixed", "model.mixture=linear", steps=3, resume=True)
    assert resumed.evaluation["held-out, Kneser-Ney 10"] == mixed.evaluation["held-out, Kneser-Ney 10"]


def told(training, heldout):
    heard = Heard()
    observer = Overfitting(Observers([heard]))
    best = math.inf
    for step, (a, b) in enumerate(zip(training, heldout, strict=True), 1):
        observer.evaluated(Row(step, 0.0, 0.0, 0, a, b, 0.0, 0.0), b is not None and b < best)
        best = best if b is None else min(best, b)
    return heard.notes


def test_overfitting_is_said_once():
    (note,) = told([4, 3.5, 3, 2.5, 2, 1.5, 1], [4, 3.8, 3.9, 4.0, 4.1, 4.2, 4.3])
    assert note == (
        "overfitting: the held-out loss rose 3 times in a row, from 3.800 to 4.100, while the training loss fell; "
        "the best model so far (step 2) is kept"
    )


@pytest.mark.parametrize(
    ("training", "heldout"),
    [
        ([4, 3, 2, 1, 0.5], [4, 4.1, 4.2, 4.1, 4.2]),
        ([4, 4.1, 4.2, 4.3], [4, 4.1, 4.2, 4.3]),
        ([4, 3, 2, 1], [None] * 4),
        ([math.nan, 3, 2, 1], [4, 4.1, 4.2, 4.3]),
    ],
)
def test_what_is_no_overfitting(training, heldout):
    assert not told(training, heldout)
