"""The notebooks of the lessons: made from their sources, in both languages, and their code runs from top to bottom."""

import importlib.util
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
spec = importlib.util.spec_from_file_location("notebooks_make", FOLDER / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)


def test_notebooks_are_fresh():
    files = make.files()
    assert len(files) == 10
    assert {path.name for path in FOLDER.glob("*.ipynb")} == files.keys()
    for name, text in files.items():
        assert (FOLDER / name).read_text("utf-8") == text, "run: python docs/notebooks/make.py"


@pytest.mark.parametrize("name", sorted(make.files()))
def test_a_notebook_is_one(name):
    book = json.loads(make.files()[name])
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    texts = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "markdown"]
    assert texts[0].startswith("# ")
    assert any(text.startswith(("## Exercises", "## 练习")) for text in texts)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])


@pytest.mark.parametrize("path", make.SOURCES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_the_code_runs(path, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    from ostinato.cells import registry

    monkeypatch.chdir(tmp_path)
    kept, names = dict(registry._cells), {"__name__": "__main__"}
    try:
        for at, code in enumerate(make.code(path.read_text("utf-8"))):
            exec(compile(code, f"{path.name}, cell {at}", "exec"), names)
    finally:
        registry._cells.clear()
        registry._cells.update(kept)
    printed = capsys.readouterr().out
    assert printed
    assert "False" not in printed
