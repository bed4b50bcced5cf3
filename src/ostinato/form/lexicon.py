"""The words a model may write freely in a line of given form, with their lengths and rhymes, as a trie over token ids.

Where the vocabulary has words (`character` in Chinese, `word`, `whitespace`), they are the words; where words have to
be spelled, the words come from a dictionary: the characters of GB 2312 for bytes in Chinese, the CMU dictionary for
letters in English. A word that no rule can measure is never written freely, only where a form asks for it by its
letters.

The trie is a sorted table: a node is a range of rows that share their first ids. That makes masks a few NumPy
operations, and the 126,000 words of the English dictionary cost no Python object each.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ostinato.protocols import END_OF_DOCUMENT, Tokenizer
from ostinato.text.sounds import Language, Sounds, language_of
from ostinato.text.sounds_en import WORD
from ostinato.text.sounds_zh import HAN
from ostinato.text.tokenizers.whitespace import WhitespaceTokenizer
from ostinato.text.utf8 import FIRST_CHARACTER

WordMask = npt.NDArray[np.bool_]

INSIDE = {"zh": "，、", "en": ",;"}
"""Punctuation that may stand between two words of a line."""
ENDING = {"zh": "，。？！", "en": ",.?!;"}
"""Punctuation that may end a line."""
_ATTACHED = "，。、？！；：…,.?!;:"
"""Punctuation that may be part of a word between blanks."""
_SINGLE_LETTERS = frozenset("aio")


@dataclass(frozen=True)
class Condition:
    """What the word at one end of a line must be; the defaults ask for nothing.

    keys: it has one of these rhyme keys. partners: it has a rhyme key that at least so many words have. starts, ends:
    its letters begin or end so (case does not matter). not_words: it is none of these, in lower case. not_keys: none of
    its readings has one of these rhyme keys.
    """

    keys: frozenset[str] | None = None
    partners: int = 0
    starts: str = ""
    ends: str = ""
    not_words: frozenset[str] = frozenset()
    not_keys: frozenset[str] = frozenset()


class Lexicon:
    """Words as rows of arrays, sorted by `ids`.

    `words`: where words are spelled, only these, in lower case (None: all of the dictionary), see `words_of`.

    ids: (N, L+1) int32, the tokens of each word in the order they are drawn, 0 after its end; lengths, units: (N,);
    blank: (N,) bool, whether the word brings the blank before it along; marks_first: whether that tells a line's first
    word from the others. `backward`: tokens are drawn from the last on. newline: the ids that end a line, which are
    END_OF_DOCUMENT where lines are documents; blank_line: those of the blank line between stanzas.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sounds: Sounds,
        language: Language,
        *,
        backward: bool = False,
        words: frozenset[str] | None = None,
        line_documents: bool = False,
    ) -> None:
        self._spaced = tokenizer if isinstance(tokenizer, WhitespaceTokenizer) else None
        self.marks_first = language == "en" and self._spaced is None
        self.tokenizer, self.sounds, self.language, self.backward = tokenizer, sounds, language, backward
        texts = self._words(words)
        table, lengths = self._table(texts)
        order = np.argsort(_sortable(table), kind="stable")
        self.texts = [texts[row] for row in order]
        self.ids = np.asfortranarray(np.pad(table[order], ((0, 0), (0, 1))))  # searched by column
        self.lengths = lengths[order]
        bare = [word.removeprefix(" ").rstrip(_ATTACHED).lower() for word in self.texts]
        self._bare = sorted(set(bare))
        row_of = {word: row for row, word in enumerate(self._bare)}
        self._row = np.array([row_of[word] for word in bare], np.intp)  # conditions are asked of each bare word once
        self.units = np.array([self._units(word) for word in self._bare], np.int32)[self._row]
        self.spaced: WordMask = np.array([word[0] == " " for word in self.texts], np.bool_)
        self.newline = self.encode(" \n" if self._padded else "\n")
        self.blank_line = self.newline
        if line_documents:  # the training text has neither newlines nor blank lines
            self.newline, self.blank_line = (END_OF_DOCUMENT,), ()
        self.inside = self._punctuation(INSIDE[language])
        self.ending = self._punctuation(ENDING[language])
        self.matching = lru_cache(maxsize=512)(self._matching)
        self.without = lru_cache(maxsize=16)(self._without)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text` in the order they are drawn."""
        ids = self.tokenizer.encode(text).tolist()
        return tuple(ids[::-1] if self.backward else ids)

    @property
    def _padded(self) -> bool:
        return self._spaced is not None and self._spaced.padded

    def encode_part(self, text: str, *, first: bool, last: bool) -> tuple[int, ...]:
        """Ids of a given part of a line, in the order they are drawn: the line's `first` or `last` part, or words that
        were drawn stand before and after it."""
        if self._spaced is None:
            return self.encode(" " * (self.language == "en" and not first and text[0].isalnum()) + text)
        if self._padded:
            ids = self.tokenizer.encode(f" {text}")
            if not first and not text[0].isalnum() and ids[0] < self._spaced.first_word:
                ids = self.tokenizer.encode(text)  # punctuation that is no word of its own follows one without a blank
        else:  # what a known word beside it would imply or need
            word = next(iter(self._spaced.words), "")
            before = f"{word} " if word and not first and text[0].isalnum() else ""
            after = f" {word}" if word and not last else ""
            ids = self.tokenizer.encode(before + text + after)[bool(before) :]
            ids = ids[:-1] if after else ids
        return tuple(ids.tolist()[:: -1 if self.backward else 1])

    def line(self, ids: Sequence[int]) -> str:
        """The line whose ids, its newline included, were drawn in this order."""
        text = self.tokenizer.decode(np.array(ids[:: -1 if self.backward else 1], np.uint32)).strip("\n")
        return text.strip() if self._padded else text

    def as_read(self, lines: Iterable[str]) -> str:
        """Lines as the model's training text has them, each with its newline."""
        if self._padded:
            lines = (f" {line.strip()} " if line.strip() else " " for line in lines)
        return "".join(f"{line}\n" for line in lines)

    @cached_property
    def _keys(self) -> list[frozenset[str]]:
        """Rhyme keys of each bare word: those of all its readings."""
        if self.language == "en":
            return list(map(self.sounds.english.word_keys, self._bare))
        of = self.sounds.chinese
        return [of.line_keys(word) if len(word) > 1 else of.character_keys(word) for word in self._bare]

    def rhymes(self) -> list[frozenset[str]]:
        """Rhyme keys of each word, N of them; in Chinese those of its usual reading."""
        if self.language == "en":
            return [self._keys[row] for row in self._row]
        usual = [self.sounds.chinese.line_keys(word) for word in self._bare]
        return [usual[row] for row in self._row]

    def every_key(self) -> list[frozenset[str]]:
        """Rhyme keys of each word by any reading, N of them."""
        return [self._every_key[row] for row in self._row]

    @cached_property
    def _every_key(self) -> list[frozenset[str]]:
        """The same of each bare word."""
        if self.language == "en":
            return list(map(self.sounds.english.every_key, self._bare))
        of = self.sounds.chinese.character_keys
        return [keys | of(word[-1]) for word, keys in zip(self._bare, self._keys, strict=True)]

    @cached_property
    def _sizes(self) -> Counter[str]:
        """How many words have each rhyme key; in Chinese, characters."""
        ends = {word[-1]: keys for word, keys in zip(self._bare, self._keys, strict=True)}
        counted = ends.values() if self.language == "zh" else self._keys
        return Counter(key for keys in counted for key in keys)

    def ends_with(self, end: str) -> bool:
        """Whether `end` is one letter that some word ends with."""
        return len(end) == 1 and bool(self.matching(Condition(ends=end)).any())

    def keys_of(self, condition: Condition) -> frozenset[str]:
        """All rhyme keys of the words that meet a condition."""
        rows = set(self._row[self.matching(condition)].tolist())
        return frozenset(key for row in rows for key in self._keys[row])

    def _matching(self, condition: Condition) -> WordMask:
        """(N,) bool, the words that meet a condition."""
        rows: WordMask = np.ones(len(self._bare), np.bool_)
        if condition.keys is not None:
            rows &= self._with(condition.keys, self._rows_of_key)
        if condition.partners:
            rows &= self._with((k for k, size in self._sizes.items() if size >= condition.partners), self._rows_of_key)
        if condition.not_keys:
            rows &= ~self._with(condition.not_keys, self._rows_of_any_key)
        if condition.starts:
            rows &= np.array([word.startswith(condition.starts.lower()) for word in self._bare], np.bool_)
        if condition.ends:
            rows &= np.array([word.endswith(condition.ends.lower()) for word in self._bare], np.bool_)
        if condition.not_words:
            rows &= ~self._with(condition.not_words, self._rows_of_end)
        found: WordMask = rows[self._row]
        found.flags.writeable = False
        return found

    def _with(self, names: Iterable[str], rows_of: dict[str, npt.NDArray[np.intp]]) -> WordMask:
        """Which bare words have one of the names."""
        rows: WordMask = np.zeros(len(self._bare), np.bool_)
        for name in names:
            if name in rows_of:
                rows[rows_of[name]] = True
        return rows

    @cached_property
    def _rows_of_key(self) -> dict[str, npt.NDArray[np.intp]]:
        """The bare words that have a rhyme key."""
        return _inverted(self._keys)

    @cached_property
    def _rows_of_any_key(self) -> dict[str, npt.NDArray[np.intp]]:
        """The same, by any reading of the last word."""
        return _inverted(self._every_key)

    @cached_property
    def _rows_of_end(self) -> dict[str, npt.NDArray[np.intp]]:
        """The bare words that end with a word: in Chinese with a character, in English they are it."""
        return _inverted([word[-1]] if self.language == "zh" else [word] for word in self._bare)

    def _without(self, ban: tuple[str, ...]) -> WordMask:
        """(N,) bool, the words that contain none of `ban`."""
        banned = [phrase.lower() for phrase in ban]
        rows = np.array([not any(phrase in word for phrase in banned) for word in self._bare], np.bool_)
        found: WordMask = rows[self._row]
        return found

    def _units(self, bare: str) -> int:
        return len(bare) if self.language == "zh" else self.sounds.english.word_syllables(bare)

    def _punctuation(self, marks: str) -> tuple[int, ...]:
        """The marks that are single tokens."""
        if self._spaced is not None:
            return tuple(self._tokens[mark] for mark in marks if mark in self._tokens)
        encoded = (self.tokenizer.encode(mark).tolist() for mark in marks)
        return tuple(ids[0] for ids in encoded if len(ids) == 1)

    def _words(self, spelled: frozenset[str] | None) -> list[str]:
        kind = self.tokenizer.kind
        if self._spaced is not None:
            bare = {word: word.rstrip(_ATTACHED) for word in self._tokens}
            if self.language == "zh":
                return [word for word, letters in bare.items() if letters and all(map(HAN.match, letters))]
            return [word for word, letters in bare.items() if self._spoken(letters)]
        if self.language == "zh":
            if kind == "byte":
                return [character for character in _gb2312() if spelled is None or character in spelled]
            return [word for word in self._tokens if all(map(HAN.match, word))]
        if kind == "word":
            known = [w for w in self._tokens if self._spoken(w.removeprefix(" ")) and w not in _SINGLE_LETTERS]
            capitals = (word[1:].capitalize() for word in known if word[0] == " ")
            return list(dict.fromkeys([*known, *capitals]))  # a line may begin with any word, if need be spelled
        spoken = self.sounds.english.words if spelled is None else sorted(spelled)
        plain = [word for word in spoken if self._spoken(word) and not word.endswith("'s")]
        of_i = {word for word in plain if word == "i" or word.startswith("i'")}
        inner = (f" {word.capitalize() if word in of_i else word}" for word in plain)
        return [*(word.capitalize() for word in plain), *inner]

    def _spoken(self, word: str) -> bool:
        """Whether the dictionary knows how an English word sounds; of single letters only those that are words."""
        lower = word.lower().replace("’", "'")
        return (
            lower in self.sounds.english.words
            and WORD.fullmatch(word) is not None
            and (len(word) > 1 or lower in _SINGLE_LETTERS)
        )

    @cached_property
    def _tokens(self) -> dict[str, int]:
        first = FIRST_CHARACTER if self._spaced is None else self._spaced.first_word
        known = range(first, self.tokenizer.vocabulary_size)
        return {self.tokenizer.token(token_id): token_id for token_id in known}

    def _table(self, words: list[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Ids of `words`, (N, L), in the order they are drawn, and how many they are, (N,)."""
        single = [self._tokens.get(word, 0) for word in words]
        spelled = "\n".join(word for word, token_id in zip(words, single, strict=True) if not token_id)
        # letters and bytes are spelled one by one, so many words are encoded at once
        flat = self.tokenizer.encode(spelled + "\n").astype(np.int32)
        ends = np.flatnonzero(flat == self.tokenizer.encode("\n")[-1])
        lengths = np.ones(len(words), np.int32)
        lengths[np.array(single) == 0] = (np.diff(ends, prepend=-1) - 1)[: single.count(0)]
        table = np.zeros((len(words), int(lengths.max(initial=1))), np.int32)
        columns = np.arange(table.shape[1])
        written = columns < lengths[:, None]
        table[:, 0] = single
        table[written & (table[:, :1] == 0)] = np.delete(flat, ends)
        if self.backward:
            table = np.where(written, np.take_along_axis(table, np.maximum(lengths[:, None] - 1 - columns, 0), 1), 0)
        return table.astype(np.int32), lengths


def _inverted(names: Iterable[Iterable[str]]) -> dict[str, npt.NDArray[np.intp]]:
    """The rows that have each name."""
    rows: dict[str, list[int]] = {}
    for row, own in enumerate(names):
        for name in own:
            rows.setdefault(name, []).append(row)
    return {name: np.array(own, np.intp) for name, own in rows.items()}


def _sortable(table: npt.NDArray[np.int32]) -> npt.NDArray[np.bytes_]:
    """(N,) byte strings that sort as the rows of `table` (N, L) do."""
    return np.ascontiguousarray(table.astype(">u4")).view(f"S{4 * table.shape[1]}")[:, 0]


def language_of_vocabulary(tokenizer: Tokenizer) -> Language | None:
    """The language of the vocabulary; None if it has no letters (bytes)."""
    text = " ".join(tokenizer.token(i) for i in range(FIRST_CHARACTER, tokenizer.vocabulary_size))
    return language_of(text) if HAN.search(text) or WORD.search(text) else None


@lru_cache(maxsize=1)
def _gb2312() -> list[str]:
    """The 6,763 characters of GB 2312-80: rows 16 to 87."""
    return list("".join(
        bytes([row, cell]).decode("gb2312", "ignore") for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF)
    ))  # fmt: skip
