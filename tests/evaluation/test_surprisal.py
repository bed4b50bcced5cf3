import numpy as np
import pytest

from ostinato.evaluation.surprisal import coloured, surprisals
from ostinato.ngram import fit_ngram
from ostinato.text import build

TEXT = "abcabcabx\n你好"


@pytest.fixture
def tokenizer():
    return build("character", [TEXT], 1)


def test_surprisals_are_the_model_s_scores_and_ranks_its_order(tokenizer):
    ids = tokenizer.encode_documents([TEXT])
    model = fit_ngram(ids, tokenizer.vocabulary_size, order=2)
    bits, ranks = surprisals(model, ids)
    np.testing.assert_allclose(bits, -model.score(ids) / np.log(2))
    logits, _ = model.step(np.array([0]), model.initial_state(1))
    assert ranks[0] == 1 + (logits[0] > logits[0, ids[0]]).sum()
    assert ranks.min() >= 1


def test_an_impossible_token_is_infinitely_surprising(tokenizer):
    model = fit_ngram(tokenizer.encode("abab"), tokenizer.vocabulary_size, order=2, smoothing="maximum-likelihood")
    bits, ranks = surprisals(model, tokenizer.encode("ax"))
    assert bits.tolist() == [0, np.inf]
    assert ranks.tolist() == [1, 2]


def test_colours_keep_the_text_and_join_spelled_characters(tokenizer):
    ids = tokenizer.encode_documents(["aé\n"])
    shown = coloured(ids, np.array([0.5, 3.0, 3.0, 9.0, 99.0]), tokenizer)
    assert shown.startswith("a\x1b[30;48;5;216mé\x1b[0m")
    assert "⏎\x1b[0m\n" in shown
    assert shown.endswith("⏹\x1b[0m\n")
    assert coloured(tokenizer.encode("ab"), np.zeros(2), tokenizer) == "ab"
