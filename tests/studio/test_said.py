"""What the server says is said in Chinese, too: every message of the studio's, and only messages that there are."""

import ast
import dataclasses
import json
import re
from pathlib import Path

import pytest

from ostinato.settings import SECTIONS

SOURCE = Path(__file__).parents[2] / "src" / "ostinato"
SAID = (SOURCE / "studio" / "page" / "said.js").read_text("utf-8")
PAIRS = [json.loads(f"[{line}]") for line in re.findall(r"^  \[(.+)\],$", SAID, re.M)]
NAME = re.compile(r"\{\w+\}")

MEANINGS = dict(re.findall(r'^  "([a-z_.]+)": "(.+)",$', (SOURCE / "studio/page/settings.js").read_text("utf-8"), re.M))


def text(node):
    """The text of a message, with X for what is filled in; None where it is no literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    return None


def messages(file):
    """The messages of the Problems that a module raises, also those that were given a name before."""
    tree = ast.parse(file.read_text("utf-8"))
    named = [
        text(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "message" for t in node.targets)
    ]
    raised = [
        text(node.args[1])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem" and len(node.args) > 1
    ]
    return [found for found in (*named, *raised) if found is not None]


def pattern(english):
    return re.compile("(.+?)".join(map(re.escape, NAME.split(english))), re.DOTALL)


EVERY = sorted({(file.name, said) for file in (SOURCE / "studio").glob("*.py") for said in messages(file)})


@pytest.mark.parametrize(("file", "message"), EVERY)
def test_every_message_of_the_studio_is_there(file, message):
    assert any(pattern(english).fullmatch(message) for english, _ in PAIRS), f"{file}: add {message!r} to said.js"


def test_the_messages_are_those_of_the_sources():
    """A message that was changed in the source is found here, not by a reader."""
    sources = [*SOURCE.rglob("*.py"), SOURCE / "studio" / "page" / "client.js"]
    found = " ".join(re.sub(r'"\s*\n\s*f?"|\\', "", file.read_text("utf-8")) for file in sources)
    missing = []
    for english, _ in PAIRS:  # some are put together from clauses
        clauses = re.split(r"\{\w+\}|[,:;] | or | passed | must be |\(|\)", english.replace("\\", ""))
        missing += [(english, clause) for clause in clauses if clause.strip() and clause.strip() not in found]
    assert missing == []


def test_both_sides_have_the_same_names():
    assert len(PAIRS) > 100
    assert len({english for english, _ in PAIRS}) == len(PAIRS)
    for english, chinese in PAIRS:
        assert set(NAME.findall(chinese)) <= set(NAME.findall(english)), english
        assert re.search(r"[\u4e00-\u9fff]", chinese), english


def test_the_first_that_fits_is_the_one_that_is_meant():
    """No message is taken by a wider one before it."""
    for at, (english, _) in enumerate(PAIRS):
        sample = NAME.sub("X", english)
        first = next(n for n, (other, _) in enumerate(PAIRS) if pattern(other).fullmatch(sample))
        assert first == at, f"{english!r} is taken by {PAIRS[first][0]!r}"


def test_every_setting_has_its_meaning_in_chinese():
    fields = {f"{name}.{field.name}" for name, section in SECTIONS.items() for field in dataclasses.fields(section)}
    assert set(MEANINGS) == {*SECTIONS, *fields}
    for name, meaning in MEANINGS.items():
        assert re.search(r"[\u4e00-\u9fff]", meaning), name
