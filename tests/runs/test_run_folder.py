"""What an output folder may hold, and what goes when a run replaces another."""

import pytest

from ostinato.errors import TrainingError, UsageError
from ostinato.runs.folder import begin_comparison, check_folder, empty_folder


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_comparison_is_known_from_its_beginning(tmp_path):
    check_folder(tmp_path / "c", resume=None)
    begin_comparison(tmp_path / "c", overwrite=False, keep=())
    with pytest.raises(TrainingError, match="holds a run already: --overwrite replaces it, -o names another"):
        check_folder(tmp_path / "c", resume=None)
    with pytest.raises(TrainingError, match="holds a run already: --resume goes on with it, --overwrite replaces it"):
        check_folder(tmp_path / "c")
    check_folder(tmp_path / "c", resume=None, overwrite=True)


def test_a_comparison_goes_with_all_its_parts(tmp_path):
    parts = ["text/ids", "heldout/ids", "window/recipe.toml", "network/model/card.md", "model/card.md", "compare.svg"]
    fill(tmp_path, *parts, *(f"byte/{name}" for name in parts), "word/mine", "notes.txt")
    begin_comparison(tmp_path, overwrite=False, keep=())
    begin_comparison(tmp_path / "byte", overwrite=False, keep=())
    begin_comparison(tmp_path / "byte", overwrite=True, keep=("text", "heldout"))
    assert names(tmp_path / "byte") == [".comparison", "heldout", "text"]
    empty_folder(tmp_path)
    assert names(tmp_path) == ["notes.txt", "text", "word"]


def test_what_no_comparison_made_stays(tmp_path):
    fill(tmp_path, "network/model/card.md", "heldout/mine.txt", "byte/model/card.md", "model/card.md", "metrics.jsonl")
    empty_folder(tmp_path)
    assert names(tmp_path) == ["byte", "heldout", "network"]


def test_folders_that_cannot_be_used(tmp_path):
    fill(tmp_path, "file")
    with pytest.raises(TrainingError, match="is a file; choose another with -o"):
        check_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="give one of them"):
        check_folder(tmp_path, resume=True, overwrite=True)
