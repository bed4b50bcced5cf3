"""Whether a finished line has its form: the last word on it, whatever the search believed."""

from ostinato.form.form import LineSpec, Outline
from ostinato.text.sounds import Sounds


def fault(
    line: str, spec: LineSpec, outline: Outline, *, group: "Group | None", include: tuple[str, ...], others: list[str]
) -> str | None:
    """The first thing that is wrong with `line`, in words; None if it is as it was asked to be.

    `group` has the lines it must rhyme with, `include` the words it must have, `others` the other lines of the text.
    """
    sounds, lower = outline.sounds, line.lower()
    units = sounds.units(line)
    if not spec.low <= units <= spec.high:
        wanted = str(spec.low) if spec.low == spec.high else f"{spec.low} to {spec.high}"
        return f"a length of {wanted}"
    if spec.start and not lower.startswith(spec.start.rstrip(" ").lower()):
        return f"beginning with {spec.start!r}"
    if spec.end and not _letters(lower).endswith(_letters(spec.end.lower())):
        return f"ending with {spec.end!r}"
    if group is not None and not group.accepts(line, sounds):
        return "rhyme"
    if any(word.lower() not in lower for word in include):
        return f"the words {', '.join(include)}"
    if any(word.lower() in lower for word in outline.ban):
        return "banned words"
    given = bool(spec.parts) and all(isinstance(part, str) for part in spec.parts)
    if not (outline.repeat or given) and lower in (other.lower() for other in others):
        return "lines that do not repeat"
    return None


def _letters(text: str) -> str:
    """`text` without punctuation and blanks at its end."""
    while text and not text[-1].isalnum():
        text = text[:-1]
    return text


class Group:
    """Lines that rhyme: the keys they share so far (None: any), and the words they end with, which all differ."""

    def __init__(self, keys: frozenset[str] | None, words: frozenset[str] = frozenset()) -> None:
        self.keys, self.words = keys, words

    def accepts(self, line: str, sounds: Sounds) -> bool:
        """Whether `line` rhymes with the group and ends with another word."""
        keys = sounds.keys(line)
        return bool(keys if self.keys is None else keys & self.keys) and sounds.last_word(line) not in self.words

    def with_line(self, line: str, sounds: Sounds) -> "Group":
        """The group after one more line."""
        keys = sounds.keys(line)
        return Group(keys if self.keys is None else keys & self.keys, self.words | {sounds.last_word(line)})
