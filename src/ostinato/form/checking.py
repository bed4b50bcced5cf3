"""Whether a finished line has its form, and what is to be said of a text that has it."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from ostinato.form.bonds import LIGHT_WORDS, MEMORY, Bond
from ostinato.form.form import Form, LineSpec, Outline, spelled

_WHY = "nothing else was found for this form"


def fault(
    line: str, spec: LineSpec, outline: Outline, *, bond: Bond, include: tuple[str, ...], others: list[str]
) -> str | None:
    """The first thing that is wrong with `line`, in words; None if it is as it was asked to be.

    `bond` is what the other lines ask of its rhyme, `include` the words it must have, `others` those lines.
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
    if not bond.accepts(line, sounds):
        return "rhyme"
    if any(word.lower() not in lower for word in include):
        return f"the words {', '.join(include)}"
    if any(word.lower() in lower for word in outline.ban):
        return "banned words"
    given = bool(spec.parts) and all(isinstance(part, str) for part in spec.parts)
    if not (outline.repeat or given) and lower in (other.lower() for other in others):
        return "lines that do not repeat"
    return None


def asked(
    outline: Outline, number: int, include: tuple[str, ...] = (), *, rhymes: bool = False, length: bool = True
) -> str:
    """What was asked of a line and could not be met, in words: "rhyme and length together".

    include: the words it must have. rhymes, length: whether these are part of it.
    """
    spec = outline.lines[number]
    things = ["rhyme"] * rhymes + ["length"] * (length and spec.measured) + ["the template"] * bool(spec.parts)
    if spec.start and not spec.parts:
        things.append(f"the beginning {spec.start!r}")
    end = outline.given_end(number) or spec.end
    if end and end != spec.start:
        things.append(f"the end {end!r}")
    things += [f"the word{'s' * (len(include) > 1)} {', '.join(include)}"] * bool(include)
    things += ["the banned words"] * bool(outline.ban)
    if len(things) < 2:
        return things[0] if things else "a line of known words"
    return f"{', '.join(things[:-1])} and {things[-1]} together"


def _letters(text: str) -> str:
    """`text` without punctuation and blanks at its end."""
    while text and not text[-1].isalnum():
        text = text[:-1]
    return text


def left_free(form: Form, outline: Outline) -> list[str]:
    """A remark for each acrostic with fewer characters than the form has lines."""
    total = len(outline.lines)
    remarks = []
    for name, text, verb in (("acrostic", form.acrostic, "begin"), ("acrostic_end", form.acrostic_end, "end")):
        given = len(spelled(text))
        if 0 < given < total:
            lines = f"line {total} {verb}s" if given + 1 == total else f"lines {given + 1} to {total} {verb}"
            remarks.append(f"{name}= has {given} character{'s' * (given > 1)} for {total} lines: {lines} freely")
    return remarks


def remarks(outline: Outline, lines: Sequence[str]) -> list[str]:
    """Where the rhymes of a finished text are not as they should be, since nothing else met the form.

    Nothing is said of ends that the user gave.
    """
    return [*_light_rhymes(outline, lines), *_rhymes_across(outline, lines), *_repeated(outline, lines)]


def _light_rhymes(outline: Outline, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        word = outline.sounds.last_word(line)
        if outline.carries(number) and not outline.given_end(number) and word in LIGHT_WORDS:
            yield f"line {number + 1} rhymes on the function word {word!r}: {_WHY}"


def _rhymes_across(outline: Outline, lines: Sequence[str]) -> Iterator[str]:
    every_key = outline.sounds.every_key
    sounds_asked = [
        (spec.keys or frozenset()) | every_key(outline.given_end(number)) for number, spec in enumerate(outline.lines)
    ]
    for i, j in combinations(range(len(lines)), 2):
        if outline.parted(i, j) and not sounds_asked[i] & sounds_asked[j] and every_key(lines[i]) & every_key(lines[j]):
            yield f"lines {i + 1} and {j + 1} rhyme, though their letters differ: {_WHY}"


def _repeated(outline: Outline, lines: Sequence[str]) -> Iterator[str]:
    if outline.repeat:
        return
    seen: dict[str, int] = {}
    for number, line in enumerate(lines):
        word = outline.sounds.last_word(line)
        if outline.carries(number):
            given = word in seen and outline.given_end(seen[word]) and outline.given_end(number)
            if word in seen and not given and number - seen[word] <= MEMORY:
                yield f"lines {seen[word] + 1} and {number + 1} rhyme on the same word, {word!r}: {_WHY}"
            seen[word] = number
