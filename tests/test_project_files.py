"""The files that a visitor of the repository looks for are there and can be read."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_yaml_files_are_yaml():
    yaml = pytest.importorskip("yaml")
    files = [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml", *(ROOT / ".github").glob("**/*.yml")]
    read = {file.name: yaml.safe_load(file.read_text("utf-8")) for file in files}
    assert read["CITATION.cff"]["cff-version"] == "1.2.0"
    assert {"bug.yml", "idea.yml"} <= read.keys()
    hooks = read[".pre-commit-config.yaml"]["repos"][0]["hooks"]
    assert {hook["id"] for hook in hooks} >= {"ruff-format", "ruff", "mypy", "imports"}
    for name in ("bug.yml", "idea.yml"):
        assert all(part["id"] and part["attributes"]["label"] for part in read[name]["body"])


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_pages_say_what_they_are_for(name):
    text = (ROOT / name).read_text("utf-8")
    assert ("make check" if name == "CONTRIBUTING.md" else "privately") in text
