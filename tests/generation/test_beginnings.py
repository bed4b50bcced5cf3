"""Texts without a prompt begin where the training text's lines and sentences do."""

import numpy as np
import pytest

from ostinato.generation import Batch, Piece, Stop, TextModel, WriteRequest, Written, write
from ostinato.mixing import fit_mixing
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.openings import Opening, learn_opening

STORY = (
    "Past the harbour the old woman counted her nets. Every evening she sang, and\nnobody listened. "
    "Then the boats came home, one by one.\n\nUnder the bridge a boy had lost his hat. He asked the river\n"
    "where it was. Rivers never answer."
)


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("novel")
    rng = np.random.default_rng(5)
    sentences = STORY.replace("\n\n", " ").replace("\n", " ").rstrip(".").split(". ")
    paragraphs = (". ".join(rng.permutation(sentences)[:4]) + "." for _ in range(80))
    (folder / "novel.txt").write_text("\n\n".join(paragraphs))
    return folder / "novel.txt"


def model_of(path, folder, kind="character", direction="forward", fit="ngram"):
    corpus = prepare([path], TextSettings(tokenizer=kind, direction=direction), folder)
    ids, backward = np.asarray(corpus.train.ids), direction == "backward"
    if fit == "ngram":
        model = fit_ngram(ids, corpus.tokenizer.vocabulary_size, order=4)
    elif fit == "mixing":
        model = fit_mixing(ids, corpus.tokenizer)
    else:
        model = Blind(corpus.tokenizer.vocabulary_size)
    opening = learn_opening(ids, corpus.tokenizer, backward=backward)
    return TextModel(model, corpus.tokenizer, backward=backward, opening=opening)


class Blind:
    """Holds every token as likely as any other."""

    def __init__(self, size):
        self.vocabulary_size = size

    def initial_state(self, batch):
        return np.zeros(batch)

    def step(self, ids, state):
        return np.zeros((len(ids), self.vocabulary_size)), state

    def select(self, state, rows):
        return state[rows]


BEGINNINGS = {"Pas", "Eve", "The", "Und", "He ", "Riv"}


@pytest.mark.parametrize("fit", ["ngram", "mixing", "blind"])
@pytest.mark.parametrize("kind", ["character", "word"])
def test_a_text_of_one_long_document_begins_at_a_beginning(novel, tmp_path, kind, fit):
    model = model_of(novel, tmp_path, kind, fit=fit)
    texts = [written.text for written in write(model, WriteRequest(stop=Stop(tokens=12), seed=3, count=200))]
    assert {text[:3] for text in texts} <= BEGINNINGS
    assert len({text[:3] for text in texts}) > 3
    without = TextModel(model.step_model, model.tokenizer)
    before = [written.text for written in write(without, WriteRequest(stop=Stop(tokens=12), seed=3, count=200))]
    assert fit == "mixing" or {text[:3] for text in before} - BEGINNINGS


def test_a_prompt_is_read_as_before(novel, tmp_path):
    model = model_of(novel, tmp_path)
    plain = TextModel(model.step_model, model.tokenizer)
    request = WriteRequest(prompt="He", stop=Stop(tokens=30), seed=3, count=4)
    assert [w.text for w in write(model, request)] == [w.text for w in write(plain, request)]


def test_pieces_are_the_text_and_blocks_change_nothing(novel, tmp_path):
    model = model_of(novel, tmp_path, "word")
    for whole_blocks in (False, True):
        batch = Batch(model)
        batch.admit(WriteRequest(stop=Stop(tokens=20), seed=4), whole_blocks=whole_blocks)
        events = []
        while batch:
            events += batch.advance()
        (written,) = [event for event in events if isinstance(event, Written)]
        assert "".join(event.text for event in events if isinstance(event, Piece)) == written.text
        assert written.text[:3] in BEGINNINGS
        assert written.tokens == 20


def test_a_blank_that_a_word_brings_along_is_left_out(novel, tmp_path):
    (novel.parent / "line.txt").write_text(novel.read_text().replace("\n", " "))
    model = model_of(novel.parent / "line.txt", tmp_path, "word")
    assert model.opening.trim
    texts = [written.text for written in write(model, WriteRequest(stop=Stop(tokens=12), seed=3, count=50))]
    assert {text[:3] for text in texts} <= BEGINNINGS


def test_a_text_from_right_to_left_ends_where_a_line_ends(novel, tmp_path):
    model = model_of(novel, tmp_path, direction="backward")
    texts = [written.text for written in write(model, WriteRequest(stop=Stop(lines=1), seed=3, count=50))]
    assert {text[-1] for text in texts} == {"."}


def test_where_no_beginning_is_possible_anything_is():
    class Same:
        span = 1

        def forbidden(self, last):
            return np.arange(256 + 1 + 3) != 258

    from ostinato.text.tokenizers import build

    tokenizer = build("character", ["abc"], 1)
    model = TextModel(
        Blind(tokenizer.vocabulary_size), tokenizer, opening=Opening(first=("a",)), restrict=lambda n: Same()
    )
    (written,) = write(model, WriteRequest(stop=Stop(tokens=3), max_copy=1, seed=1))
    assert written.text == "bbb"
