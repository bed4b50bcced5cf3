"""Mandarin: the rhyme class of a character, read in its phrase.

Rhymes are those of spoken Mandarin, in one of two schemes: the thirteen tracks (十三辙) that songs and operas rhyme by,
or the eighteen rhymes (十八韵, Zhonghua Xinyun 1941), which part what the tracks join. The finals are Hanyu Pinyin in
full spelling (`uei` for -ui, `v` for ü); `-i` is the vowel of zhi, chi, shi, ri, zi, ci, si.
"""

import re
from functools import lru_cache
from typing import Any

from ostinato.errors import UsageError, needs

SCHEMES = {
    "13": {
        "发花": "a ia ua", "梭波": "o e uo", "乜斜": "ê ie ve", "姑苏": "u", "一七": "i v -i er", "怀来": "ai uai",
        "灰堆": "ei uei", "遥条": "ao iao", "油求": "ou iou", "言前": "an ian uan van", "人辰": "en in uen vn",
        "江阳": "ang iang uang", "中东": "eng ing ueng ong iong",
    },
    "18": {
        "麻": "a ia ua", "波": "o uo", "歌": "e", "皆": "ê ie ve", "支": "-i", "儿": "er", "齐": "i", "微": "ei uei",
        "开": "ai uai", "模": "u", "鱼": "v", "侯": "ou iou", "豪": "ao iao", "寒": "an ian uan van",
        "痕": "en in uen vn", "唐": "ang iang uang", "庚": "eng ing ueng", "东": "ong iong",
    },
}  # fmt: skip
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
PARTICLES = frozenset("的了着得呢")
"""Characters that carry no rhyme if it can be helped; decision 207 says how they were found."""
_LONGEST_PHRASE = 8
_HAN_RUN = re.compile(f"{HAN.pattern}+")
# finals as they are written after an initial, without one, or in full
_WRITTEN = {"ui": "uei", "iu": "iou", "un": "uen", "ue": "ve", "ü": "v", "üe": "ve", "üan": "van", "ün": "vn"}


@lru_cache(maxsize=1)
def _tone_convert() -> Any:
    with needs("form", "Chinese rhyme"):
        from pypinyin.contrib import tone_convert  # costs 0.2 s: only when Chinese is rhymed
    return tone_convert


@lru_cache(maxsize=1)
def _readings() -> tuple[dict[str, list[list[str]]], dict[int, str]]:
    """Readings of phrases, one list per character; readings of characters, with commas between, the usual one first."""
    _tone_convert()
    from pypinyin.phrases_dict import phrases_dict
    from pypinyin.pinyin_dict import pinyin_dict

    return phrases_dict, pinyin_dict


class ChineseSounds:
    """Rhyme keys of Chinese text: the name of the class, with the tone after it if `tones` (`江阳`, `江阳1`).

    `scheme` is "13" or "18". Raises UsageError for another, MissingExtraError without pypinyin.
    """

    def __init__(self, scheme: str = "13", *, tones: bool = False) -> None:
        if scheme not in SCHEMES:
            raise UsageError(f"the rhyme scheme of Chinese must be one of {', '.join(SCHEMES)}, got {scheme!r}")
        self.scheme = scheme
        self.tones = tones
        self._class_of = {final: name for name, finals in SCHEMES[scheme].items() for final in finals.split()}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the rhyme classes."""
        return tuple(SCHEMES[self.scheme])

    def line_keys(self, text: str) -> frozenset[str]:
        """Keys of the last Chinese character of `text`: one, by the longest known phrase that ends with it; or none."""
        runs = _HAN_RUN.findall(text)
        return self._end_keys(runs[-1][-_LONGEST_PHRASE:]) if runs else frozenset()

    @lru_cache(maxsize=100_000)  # noqa: B019 - one instance a form, and it lives as long
    def _end_keys(self, end: str) -> frozenset[str]:
        phrases, characters = _readings()
        for start in range(len(end) - 1):
            if reading := phrases.get(end[start:]):
                return self._keys([reading[-1][0]])
        return self._keys(characters.get(ord(end[-1]), "").split(",")[:1])

    @lru_cache(maxsize=50_000)  # noqa: B019 - one instance a form, and it lives as long
    def character_keys(self, character: str) -> frozenset[str]:
        """Keys of all readings of one character."""
        return self._keys(_readings()[1].get(ord(character), "").split(","))

    def named_keys(self, sound: str) -> frozenset[str] | None:
        """Keys that a user means by a class (`江阳`, `江阳辙`), a final or syllable (`ang`, `guang1`), or a text's end.

        None where `sound` is none of these. Without a tone all tones are meant.
        """
        name = sound.strip().removesuffix("辙").removesuffix("韵")
        if name in SCHEMES[self.scheme]:
            return self._any_tone(name)
        latin = re.fullmatch("([a-zêü-]+)([1-5]?)", name.lower())
        if latin:
            final = self._final(latin[1])
            if final is None:
                return None
            found = self._class_of[final]
            return frozenset([found + latin[2]]) if self.tones and latin[2] else self._any_tone(found)
        return self.line_keys(sound) or None

    def _any_tone(self, name: str) -> frozenset[str]:
        return frozenset(name + tone for tone in "12345") if self.tones else frozenset([name])

    def _final(self, latin: str) -> str | None:
        for final in (latin, _WRITTEN.get(latin, "")):
            if final in self._class_of:
                return final
        final = self._syllable_final(latin)
        return final if final in self._class_of else None

    def _keys(self, readings: list[str]) -> frozenset[str]:
        """Keys of syllables written with tone marks."""
        keys = set()
        for reading in readings:
            syllable = _tone_convert().to_tone3(reading, neutral_tone_with_five=True)
            final = self._syllable_final(syllable.rstrip("12345"))
            if final in self._class_of:
                keys.add(self._class_of[final] + (syllable[-1] if self.tones else ""))
        return frozenset(keys)

    @staticmethod
    def _syllable_final(syllable: str) -> str:
        if re.fullmatch("(zh|ch|sh|r|z|c|s)i", syllable):
            return "-i"
        final: str = _tone_convert().to_finals(syllable, strict=True, v_to_u=False)
        return final
