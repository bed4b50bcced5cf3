"""What a user asks of a text (lines, lengths, rhyme, acrostic, words), and what that asks of each line.

A template is a text with blanks: `_` stands for one character in Chinese and one syllable in English, a run of them for
that many, exactly four, `____`, for any length, `_{4}` for exactly four. Blank lines separate stanzas.
"""

import re
from dataclasses import dataclass, field, replace

from ostinato.errors import UsageError
from ostinato.text.sounds import Language, Sounds

MOST_LINES = 1000
LONGEST_LINE = 60
"""In units: characters in Chinese, syllables in English."""
USUAL_LENGTH: dict[Language, tuple[int, int]] = {"zh": (3, 14), "en": (3, 16)}
"""Where no length is asked for."""
OPEN_BLANK = (1, 8)
"""Units that `____` may have."""
_BLANK = re.compile(r"_\{(\d+)\}|(_+)")


@dataclass(frozen=True)
class Blank:
    """To be written, `low` to `high` units."""

    low: int
    high: int


@dataclass(frozen=True)
class Template:
    """lines: for each line, its given texts and its blanks in order. stanzas: the stanza of each line."""

    lines: tuple[tuple[str | Blank, ...], ...]
    stanzas: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of a text. What comes out has it, or `compose` raises GenerationError and says what could not be met.

    lines: lines per stanza (default: as many as the rhyme scheme, the lengths or the acrostic have, else 4); stanzas.
    length: of each line in characters (Chinese) or syllables (English): 7, "5-9", or one per line, "7,7,5,5", repeated.
    rhyme: a scheme such as "AABA" (X rhymes with nothing), a rhyme for every line such as "ang" or "night", or both,
    "AABA,A=ang"; a stanza's letters are its own unless they are given so, and lines of different letters do not rhyme.
    scheme, tones: how Chinese rhymes.
    acrostic, acrostic_end: what the first and the last characters of the lines spell; in English one letter per line.
    include, ban: words that must stand in the text, words and phrases that must not. repeat: lines may repeat.
    template: a text with blanks (see above); it sets the lines. language: zh or en (None: the model's).
    """

    lines: int | None = None
    stanzas: int = 1
    length: int | str | None = None
    rhyme: str | None = None
    scheme: str = "13"
    tones: bool = False
    acrostic: str = ""
    acrostic_end: str = ""
    include: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    repeat: bool = False
    template: str | None = None
    language: Language | None = None

    def __post_init__(self) -> None:
        for name in ("include", "ban"):
            words = getattr(self, name)
            if isinstance(words, str) or any(not word.strip() or "\n" in word for word in words):
                raise UsageError(f"{name} must be words, none of them empty, got {words!r}")
        for name, value in (("lines", self.lines), ("stanzas", self.stanzas)):
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more, got {value}")
        for word in self.include:
            for banned in self.ban:
                if banned.lower() in word.lower():
                    raise UsageError(f"contradictory form: {word!r} must be in the text, but {banned!r} is banned")

    def with_lines(self, lines: int) -> "Form":
        """The form with `lines` lines in each stanza. Raises UsageError for fewer than 1."""
        return replace(self, lines=lines)


@dataclass(frozen=True)
class LineSpec:
    """What one line must be.

    low, high: its units. rhyme: the name of its rhyme group. keys: the rhyme it is given. start, end: how it begins and
    ends. parts: its template, texts and blanks. stanza: which it belongs to. apart: whether it has a letter of a rhyme
    scheme, X included, and so does not rhyme with lines of other letters. measured: whether a length was asked for.
    """

    low: int
    high: int
    stanza: int = 0
    rhyme: str = ""
    keys: frozenset[str] | None = None
    start: str = ""
    end: str = ""
    parts: tuple[str | Blank, ...] = ()
    apart: bool = False
    measured: bool = False


@dataclass(frozen=True)
class Outline:
    """A form made definite: its lines in reading order, and what concerns all of them."""

    lines: tuple[LineSpec, ...]
    language: Language
    sounds: Sounds
    include: tuple[str, ...]
    ban: tuple[str, ...]
    repeat: bool
    group_sizes: dict[str, int] = field(default_factory=dict)

    def given_end(self, number: int) -> str:
        """What a line ends with because the user gave it: text whose last word is the line's; "" where the word is to
        be found, also if it must have a certain last letter."""
        spec = self.lines[number]
        of_template = _template_end(spec, self.sounds)
        if of_template is not None:
            return of_template
        if spec.end and (self.language == "zh" or not (spec.end.isascii() and spec.end.isalpha())):
            return spec.end
        fixed_start = not spec.parts and (self.language == "zh" or len(spec.start) > 1)
        return spec.start if fixed_start and spec.start and self.sounds.units(spec.start) >= spec.high else ""

    def carries(self, number: int) -> bool:
        """Whether a line rhymes with another, or with a sound that was asked for."""
        spec = self.lines[number]
        return bool(spec.rhyme) and (self.group_sizes[spec.rhyme] > 1 or spec.keys is not None)

    def parted(self, number: int, other: int) -> bool:
        """Whether two lines must not rhyme: lines of one stanza with different letters, X with any."""
        one, two = self.lines[number], self.lines[other]
        together = one.rhyme and one.rhyme == two.rhyme
        return number != other and one.stanza == two.stanza and one.apart and two.apart and not together


def outline(form: Form, language: Language, *, prompt: str = "") -> Outline:
    """What `form` asks of each line. `prompt` begins the first of them.

    Raises UsageError for a form that is not clear, contradicts itself, or is too large.
    """
    refuse_two_beginnings(form, prompt)
    sounds = Sounds(form.scheme, tones=form.tones)
    template = parse_template(form.template, language) if form.template is not None else None
    scheme, given = _rhyme(form.rhyme, sounds, language)
    lengths = _lengths(form.length, language)
    start, end = spelled(form.acrostic), spelled(form.acrostic_end)
    lines = _line_count(form, template, scheme, lengths, start, end)
    total = lines * (1 if template else form.stanzas)
    if total > MOST_LINES:
        raise UsageError(f"a form has at most {MOST_LINES} lines, got {total}")
    for name, letters in (("acrostic", start), ("acrostic_end", end)):
        if len(letters) > total:
            raise UsageError(f"contradictory form: the {name} has {len(letters)} characters for {total} lines")
    specs = []
    for i in range(total):
        stanza, at = (template.stanzas[i], i) if template else divmod(i, lines)
        low, high = lengths[at % len(lengths)] if lengths else (0, 0)
        letter = scheme[at % len(scheme)] if scheme else ""
        spec = LineSpec(
            low,
            high,
            stanza,
            rhyme=letter and (letter if letter in given else f"{letter}{stanza}"),
            keys=given.get(letter),
            start=start[i] if i < len(start) else "",
            end=end[i] if i < len(end) else "",
            parts=template.lines[i] if template else (),
            apart=bool(letter),
            measured=bool(lengths),
        )
        specs.append(_with_length(spec, sounds, language))
    if prompt:
        specs[0] = _begin(specs[0], prompt, sounds)
    _refuse_banned(specs, form.ban)
    specs = _settle_rhymes(specs, sounds)
    sizes: dict[str, int] = {}
    for spec in specs:
        sizes[spec.rhyme] = sizes.get(spec.rhyme, 0) + bool(spec.rhyme)
    return Outline(tuple(specs), language, sounds, form.include, form.ban, form.repeat, sizes)


def refuse_two_beginnings(form: Form, prompt: str) -> None:
    """Raises UsageError for a template beside a prompt."""
    if form.template is not None and prompt:
        raise UsageError("a template and a prompt cannot both begin the text: write the prompt into the template")


def _line_count(form: Form, template: object, scheme: str, lengths: list[tuple[int, int]], *letters: list[str]) -> int:
    if template is not None:
        lines: int = len(template.lines)  # type: ignore[attr-defined]
        if form.lines is not None and form.lines != lines:
            raise UsageError(f"contradictory form: {form.lines} lines asked for, the template has {lines}")
        return lines
    lines = form.lines or max(len(scheme), len(lengths), *(-(-len(s) // form.stanzas) for s in letters))
    lines = lines if form.lines or lines > 1 else 4
    for name, size in (("rhyme scheme", len(scheme)), ("list of lengths", len(lengths))):
        if size > 1 and lines % size:
            raise UsageError(f"contradictory form: a {name} of {size} for stanzas of {lines} lines")
    return lines


def _lengths(length: int | str | None, language: Language) -> list[tuple[int, int]]:
    if length is None:
        return []
    lengths = []
    for part in str(length).replace("，", ",").split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= low <= high <= LONGEST_LINE:
            unit = "characters" if language == "zh" else "syllables"
            raise UsageError(
                f"length must be {unit} per line from 1 to {LONGEST_LINE}, such as 7, 5-9 or 7,7,5,5; got {length!r}"
            )
        lengths.append((low, high))
    return lengths


def _rhyme(rhyme: str | None, sounds: Sounds, language: Language) -> tuple[str, dict[str, frozenset[str]]]:
    """The scheme's letters, X for lines that do not rhyme, and the rhymes that are given for letters."""
    if not rhyme:
        return "", {}
    scheme, given = "", {}
    for part in rhyme.replace("，", ",").split(","):
        part = part.strip()
        named = re.fullmatch("([A-Z])=(.+)", part)
        if named:
            given[named[1]] = sounds.named(named[2], language)
        elif re.fullmatch("[A-Z-]+", part) and not scheme:
            scheme = part.replace("-", "X")
        elif not scheme and not given:
            scheme, given = "A", {"A": sounds.named(part, language)}
        else:
            raise UsageError(f"unknown rhyme {rhyme!r}: give a scheme (AABA), a sound, or both (AABA,A=ang)")
    if "X" in given or set(given) - set(scheme or given):
        raise UsageError(f"a rhyme is given for a letter that the scheme {scheme} does not rhyme by: {rhyme!r}")
    return scheme or "".join(given), given


def spelled(text: str) -> list[str]:
    """The characters of an acrostic, one per line."""
    return [character for character in text if not character.isspace()]


def _with_length(spec: LineSpec, sounds: Sounds, language: Language) -> LineSpec:
    """The spec with a usual length where none is asked for, and without a rhyme named X."""
    if spec.rhyme.startswith("X"):
        spec = replace(spec, rhyme="", keys=None)
    if spec.low:
        return spec
    low, high = USUAL_LENGTH[language]
    if spec.parts:
        known = sum(sounds.units(p) if isinstance(p, str) else p.low for p in spec.parts)
        most = sum(sounds.units(p) if isinstance(p, str) else p.high for p in spec.parts)
        low, high = known, most
    return replace(spec, low=low, high=high)


def _begin(spec: LineSpec, prompt: str, sounds: Sounds) -> LineSpec:
    if spec.start and not prompt.lower().startswith(spec.start.lower()):
        raise UsageError(f"contradictory form: the text begins with {prompt!r} and its acrostic with {spec.start!r}")
    units = sounds.units(prompt)
    if units > spec.high or (units == spec.high and not spec.low <= units):
        raise UsageError(f"contradictory form: {prompt!r} is {units} long, the first line at most {spec.high}")
    return replace(spec, start=prompt)


def _refuse_banned(specs: list[LineSpec], ban: tuple[str, ...]) -> None:
    for number, spec in enumerate(specs, 1):
        for given in (spec.start, spec.end, *(part for part in spec.parts if isinstance(part, str))):
            for word in ban:
                if word.lower() in given.lower():
                    raise UsageError(f"contradictory form: line {number} has {given!r}, but {word!r} is banned")


def _settle_rhymes(specs: list[LineSpec], sounds: Sounds) -> list[LineSpec]:
    """Lines whose ends are given decide the rhyme of their group."""
    keys: dict[str, frozenset[str]] = {}
    for number, spec in enumerate(specs, 1):
        known = spec.keys
        of_template = _template_end(spec, sounds)
        end = spec.end if of_template is None else of_template
        if spec.rhyme and (len(end) > 1 or (end and not end.isascii())):
            of_end = sounds.chinese.character_keys(end) if len(end) == 1 else sounds.keys(end)
            known = of_end if known is None else known & of_end
            if not known:
                raise UsageError(f"contradictory form: line {number} ends with {end!r}, which does not rhyme as asked")
        if spec.rhyme and known is not None:
            both = keys.get(spec.rhyme, known) & known
            if not both:
                raise UsageError(f"contradictory form: the end given for line {number} does not rhyme with its group's")
            keys[spec.rhyme] = both
    return [replace(spec, keys=keys.get(spec.rhyme)) for spec in specs]


def _template_end(spec: LineSpec, sounds: Sounds) -> str | None:
    """The text that a template ends a line with, "" where that is punctuation after a blank, which has the last word;
    None where the line ends with a blank."""
    end = spec.parts[-1] if spec.parts else None
    if not isinstance(end, str):
        return None
    return end if len(spec.parts) == 1 or sounds.last_word(end) else ""


def parse_template(text: str, language: Language) -> Template:
    """Read a template. Raises UsageError if it has no line, no blank, or a blank of no length or within a word."""
    lines, stanzas, stanza = [], [], 0
    for line in text.strip("\n").split("\n"):
        if line.strip():
            lines.append(_parse_line(line.rstrip(), language))
            stanzas.append(stanza)
        elif lines:
            stanza = stanzas[-1] + 1
    if not any(isinstance(part, Blank) for line in lines for part in line):
        raise UsageError("the template has no blank: write ____ for what is to be filled, or _ for each character")
    return Template(tuple(lines), tuple(stanzas))


def _parse_line(line: str, language: Language) -> tuple[str | Blank, ...]:
    parts: list[str | Blank] = []
    at = 0
    for match in _BLANK.finditer(line):
        given = line[at : match.start()]
        at = match.end()
        if given.strip() or (given and language == "zh"):
            parts.append(given)
        if match[1] is None and len(match[2]) == 4:
            parts.append(Blank(*OPEN_BLANK))
            continue
        units = int(match[1]) if match[1] is not None else len(match[2])
        if not 1 <= units <= 60:
            raise UsageError(f"a blank has 1 to 60 characters or syllables, got {match[0]} in {line!r}")
        parts.append(Blank(units, units))
    if line[at:]:
        parts.append(line[at:])
    return tuple(_merge(parts) if language == "zh" else _without_blanks(_merge(parts), line))


def _merge(parts: list[str | Blank]) -> list[str | Blank]:
    """Blanks side by side as one."""
    merged: list[str | Blank] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Blank) and isinstance(last, Blank):
            merged[-1] = Blank(last.low + part.low, last.high + part.high)
        else:
            merged.append(part)
    return merged


def _without_blanks(parts: list[str | Blank], line: str) -> list[str | Blank]:
    """English words include the space before them, so given texts must not end with one."""
    out: list[str | Blank] = []
    for i, part in enumerate(parts):
        if isinstance(part, Blank):
            out.append(part)
            continue
        if i + 1 < len(parts):
            if part[-1].isalnum():
                raise UsageError(f"a blank must be whole words: put a space before it in {line!r}")
            part = part.rstrip(" ")
        if i > 0 and part[0].isalnum():
            raise UsageError(f"a blank must be whole words: put a space after it in {line!r}")
        out.append(part)
    return out
