"""The documentation says what is true: generated pages are fresh, links lead somewhere."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_generated_pages_are_fresh(tmp_path):
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import generate; "
        "print(json.dumps({name: page() for name, page in generate.PAGES.items()}))"
    )
    import json

    done = subprocess.run([sys.executable, "-c", program, ROOT / "docs"], capture_output=True, text=True, check=True)
    for name, text in json.loads(done.stdout).items():
        assert (ROOT / "docs" / name).read_text("utf-8") == text, "run: python docs/generate.py"


PAGES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text("utf-8")):
        if "://" not in target:
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not heading or heading in headings(there), f"{target}#{heading}"


def headings(page):
    """The names of a page's headings in links, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_test_files_have_names_of_their_own():
    """Pytest imports them by name alone: of two of one name, one would stop the whole suite."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
