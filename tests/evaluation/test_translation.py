"""BLEU and chrF against sacreBLEU 2.6's figures (tokenize 13a, or zh for the Chinese pair), and by hand."""

import math

import pytest

from ostinato.errors import UsageError
from ostinato.evaluation.translation import bleu, chrf

ENGLISH = (
    ["The cat sat on the mat.", "Hello, world! It costs 3.50 dollars"],
    ["The cat sat on a mat.", "Hello world, it costs 3.50 dollars."],
)
CHINESE = (["我们今天去学校", "他很高兴。"], ["我们今天去了学校", "他非常高兴。"])


@pytest.mark.parametrize(
    ("pair", "expected_bleu", "expected_chrf"), [(ENGLISH, 32.523403, 70.842059), (CHINESE, 48.406886, 37.871287)]
)
def test_figures_of_sacrebleu(pair, expected_bleu, expected_chrf):
    assert bleu(*pair) == pytest.approx(expected_bleu, abs=1e-6)
    assert chrf(*pair) == pytest.approx(expected_chrf, abs=1e-6)


def test_by_hand():
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; as long as the reference
    assert bleu(["a b c d x"], ["a b c d e"]) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # shorter by one of five words: all n-grams are right
    assert bleu(["a b c d"], ["a b c d e"]) == pytest.approx(100 * math.exp(1 - 5 / 4))
    # characters: 1 of 2 and 1 of 1 right... order 1: 1/2, order 2: 0/1
    assert chrf(["ab"], ["ac"]) == pytest.approx(100 * 0.25)


def test_the_same_and_nothing():
    assert bleu(["a b c d"], ["a b c d"]) == pytest.approx(100)
    assert chrf(["ab"], ["ab"]) == pytest.approx(100)
    assert bleu(["a"], ["b"]) == chrf(["a"], ["b"]) == bleu([""], ["a"]) == chrf([""], ["a"]) == bleu([], []) == 0
    with pytest.raises(UsageError, match="a reference for each text"):
        bleu(["a"], [])
    with pytest.raises(UsageError, match="a reference for each text"):
        chrf([], ["a"])
