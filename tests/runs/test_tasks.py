"""The table of tasks: a file in `runs/tasks/` whose name is in `settings.TASKS` is a task; nothing else has to know."""

import pkgutil

import pytest

import ostinato.runs.tasks as table
from ostinato import runs
from ostinato.bundle import read_bundle
from ostinato.errors import UsageError
from ostinato.runs.finding import find_task, named_task
from ostinato.runs.ngram import NgramTask
from ostinato.settings import TASKS, Recipe, TaskSettings, TextSettings, apply_overrides
from ostinato.text.records import read_pairs, read_tagged


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text, "utf-8")
        return [str(tmp_path / name)]

    return write


def test_every_file_is_a_task():
    assert [file.name.replace("_", "-") for file in pkgutil.iter_modules(table.__path__)] == list(TASKS)
    for name in TASKS:
        assert find_task(apply_overrides(Recipe(), [f"task.name={name}"])) is named_task(name)
    assert [name for name in TASKS if named_task(name).writes] == ["language"]
    assert isinstance(find_task(apply_overrides(Recipe(), ["ngram.smoothing=add-k"])), NgramTask)


def test_each_task_reads_its_own_files(file):
    def read(name, paths, **task):
        return named_task(name).records(paths, TaskSettings(name=name, **task), TextSettings())

    assert read("forecast", file("a.csv", "t,v\n1,5\n2,6\n"), column="t").inputs[0].tolist() == [1, 2]
    for name, reader in (("tag", read_tagged), ("translate", read_pairs)):
        path = file("p.tsv", "ab\tcd\n")
        assert read(name, path).fingerprint == reader(path).fingerprint
    assert read("classify", file("l.tsv", "text\tmood\nx\t1\ny\t2\n"), label="mood").targets == ["1", "2"]
    assert read("next-line", file("n.txt", "a\nb\n")).targets == ["b"]


TOY = '''
from pathlib import Path

from ostinato.runs.tasks.classify import ClassifyTask
from ostinato.text.records import Records


class FirstLetterTask(ClassifyTask):
    """The first letter of a word."""

    title = "A toy"

    def records(self, paths, task, text, **options):
        words = [word for path in paths for word in Path(path).read_text("utf-8").split()]
        return Records(words, [word[0] for word in words], list(range(len(words))), ("words",))


TASK = FirstLetterTask()
'''


def test_a_new_task_is_one_new_file(file, tmp_path, monkeypatch):
    """What docs/how-to-add.md promises: with the file in place, all of a run works."""
    import importlib

    from ostinato import settings

    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "first_letter.py").write_text(TOY, "utf-8")
    monkeypatch.setattr(table, "__path__", [*table.__path__, str(tmp_path / "tasks")])
    importlib.invalidate_caches()
    field = next(f for f in __import__("dataclasses").fields(settings.TaskSettings) if f.name == "name")
    monkeypatch.setattr(field, "metadata", {**field.metadata, "among": (*TASKS, "first-letter")})
    recipe = apply_overrides(
        Recipe(),
        ["task.name=first-letter", "training.epochs=2", "model.hidden_size=8", "model.embedding_size=4"],
    )
    result = runs.train(
        file("words.txt", "ab ba aa bb abba baab " * 5), out=tmp_path / "out", recipe=recipe, progress=False
    )
    assert "accuracy" in result.evaluation["held-out"]
    assert runs.load_task_model(read_bundle(tmp_path / "out")).predict(["ab"])[0] in "ab"
    assert read_bundle(tmp_path / "out").card.startswith("# A toy learnt from words")


def test_records_are_no_text(tmp_path):
    from ostinato.text.records import Records

    with pytest.raises(UsageError, match=r"task.name is language, which needs texts"):
        runs.train(Records(["a"], ["b"], [0], ("t",)), out=tmp_path, recipe=Recipe(), progress=False)
