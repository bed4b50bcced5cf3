"""What an output folder may hold, one run at a time, and when the run before goes."""

import errno
import json
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from ostinato.bundle import write_folder
from ostinato.cli.main import main
from ostinato.errors import BusyError, TrainingError, UsageError
from ostinato.runs import folder, folder_names
from ostinato.runs.folder import (
    begun_before,
    check_folder,
    counting_folder,
    make_corpus_folder,
    make_network_folder,
    network_model,
    remove_network,
    run_folder,
)
from ostinato.runs.folder_names import MARK, MARKS


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def save(folder, content="x"):
    write_folder(folder, {"card.md": content.encode()})


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != MARK)


def a_run(out, content="old", *, overwrite=False, checkpoint=True, fail=None):
    """What a training run does to its folder, failing at a given moment."""
    with run_folder(out, overwrite=overwrite):
        (out / "text").mkdir(exist_ok=True)
        for name in ("train.ids", "corpus.json"):
            (out / "text" / ".part.x").write_text(content)
            (out / "text" / ".part.x").replace(out / "text" / name)
        (out / "recipe.toml").write_text(content)
        (out / "metrics.jsonl").write_text(content)
        if fail == "early":
            save(out / "checkpoint", content)
            raise TrainingError("diverged")
        save(out / "model", content)
        if fail == "late":
            raise TrainingError("diverged")
        if checkpoint:
            save(out / "checkpoint", content)


def contents(out):
    return {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file() and "json" not in p.suffix}


def test_a_run_is_replaced_only_by_a_model(tmp_path):
    out = tmp_path / "run"
    a_run(out)
    before = contents(out)
    with pytest.raises(TrainingError, match="already holds a run: --resume continues it, --overwrite replaces it"):
        a_run(out, "new")
    with pytest.raises(TrainingError, match="diverged"):
        a_run(out, "new", overwrite=True, fail="early")
    assert contents(out) == before
    with pytest.raises(TrainingError, match="diverged"):
        a_run(out, "new", overwrite=True, fail="late")
    assert (out / "model" / "card.md").read_text() == "new"
    assert not (out / "checkpoint").exists()  # it was the old model's
    assert not (out / ".replaced").exists()
    a_run(out, "newest", overwrite=True)
    assert set(contents(out).values()) == {"newest"}
    assert sorted(contents(out)) == sorted(before)


def test_the_old_model_can_be_read_until_the_new_one_is_there(tmp_path):
    a_run(tmp_path)
    with run_folder(tmp_path, overwrite=True):
        assert (tmp_path / "model" / "card.md").read_text() == "old"
        assert not (tmp_path / "metrics.jsonl").exists()
        save(tmp_path / "model", "new")
    assert names(tmp_path) == ["model", "text"]


@pytest.mark.parametrize("moment", ["before", "after", "checkpoint"])
def test_a_killed_replacement_is_finished_or_undone(tmp_path, moment):
    a_run(tmp_path)
    child = os.fork()
    if child == 0:
        with run_folder(tmp_path, overwrite=True):
            fill(tmp_path, "metrics.jsonl", "recipe.toml")
            if moment == "after":
                save(tmp_path / "model", "new")
            if moment == "checkpoint":
                save(tmp_path / "checkpoint", "new")
            os._exit(9)
    os.waitpid(child, 0)
    assert (tmp_path / "model" / "card.md").read_text() == ("new" if moment == "after" else "old")
    if moment == "checkpoint":  # the new run can go on
        with run_folder(tmp_path, resume=True):
            assert (tmp_path / "checkpoint" / "card.md").read_text() == "new"
    with pytest.raises(TrainingError, match="already holds a run"), run_folder(tmp_path):
        pass
    assert not (tmp_path / ".replaced").exists()
    if moment == "before":
        assert set(contents(tmp_path).values()) == {"old"}


@pytest.mark.parametrize(
    "name", ["model/thesis.txt", "checkpoint/notes", "text/poem.txt", "text/a/b", "model", "recipe.toml", "loss.svg"]
)
@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": None, "overwrite": True}])
def test_what_no_run_made_is_named_and_left_alone(tmp_path, name, options):
    fill(tmp_path, name)
    first = "text/a" if name == "text/a/b" else name
    with (
        pytest.raises(TrainingError, match=f"{tmp_path / first} was not made by ostinato"),
        run_folder(tmp_path, **options),
    ):
        pass
    assert (tmp_path / name).read_text() == "x"


def test_a_file_in_a_saved_model_is_found_before_training(tmp_path):
    a_run(tmp_path)
    fill(tmp_path, "model/thesis.txt")
    with (
        pytest.raises(TrainingError, match=r"model/thesis\.txt was not made by ostinato"),
        run_folder(tmp_path, overwrite=True),
    ):
        pass
    assert (tmp_path / "model" / "card.md").read_text() == "old"


def test_other_files_in_the_folder_stay(tmp_path):
    a_run(tmp_path)
    fill(tmp_path, "thesis.txt", "pictures/loss.svg")
    a_run(tmp_path, "new", overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "x"
    assert (tmp_path / "pictures" / "loss.svg").read_text() == "x"


def test_the_new_model_stays_where_the_note_of_the_old_one_cannot_be_read(tmp_path, monkeypatch):
    a_run(tmp_path)
    with run_folder(tmp_path, overwrite=True):
        save(tmp_path / "model", "new")
        (tmp_path / ".replaced" / ".was.json").write_text("damaged")
    assert (tmp_path / "model" / "card.md").read_text() == "new"


def test_a_note_that_cannot_be_read_is_told_by_the_next_run(tmp_path):
    a_run(tmp_path)
    (tmp_path / ".replaced").mkdir()
    (tmp_path / ".replaced" / ".was.json").write_text("damaged")
    (tmp_path / ".replaced" / "metrics.jsonl").write_text("older")
    with (
        pytest.raises(TrainingError, match="cannot read what an earlier run set aside: see"),
        run_folder(tmp_path, overwrite=True),
    ):
        pass
    assert (tmp_path / ".replaced" / "metrics.jsonl").read_text() == "older"


@pytest.mark.parametrize(
    ("before", "options", "left"),
    [
        ("", {}, "no model was saved"),
        ("old", {"overwrite": True}, "the last saved model is .*model, and --resume goes on from .*checkpoint"),
        ("old", {"resume": True}, "the last saved model is .*model, and --resume goes on from .*checkpoint"),
    ],
)
def test_an_error_of_the_disk_says_what_is_left(tmp_path, before, options, left):
    if before:
        a_run(tmp_path)
    with (
        pytest.raises(TrainingError, match=rf"the run in .* ended: No space left on device \(there\); {left}"),
        run_folder(tmp_path, **options),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")
    assert not before or (tmp_path / "model" / "card.md").read_text() == "old"


def test_the_terminal_going_away_is_no_error_of_the_folder(tmp_path):
    with pytest.raises(BrokenPipeError), run_folder(tmp_path):
        raise BrokenPipeError


def test_what_killed_saves_left_is_tidied(tmp_path):
    a_run(tmp_path)
    (tmp_path / ".checkpoint.lock").touch()
    (tmp_path / ".writable.99999999").touch()
    (tmp_path / ".model.99999999-0.new").mkdir()
    with run_folder(tmp_path, resume=True):
        pass
    assert [path.name for path in tmp_path.glob(".*")] == [MARK]


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}])
def test_what_killed_saves_left_in_the_folders_inside_is_tidied(tmp_path, options):
    a_run(tmp_path)
    inside = make_network_folder(tmp_path)
    save(inside / "model")
    (inside / ".model.lock").touch()
    (inside / ".model.99999999-0.new").mkdir()
    (inside / ".loss.svg.99999999-0a.part").touch()
    with run_folder(tmp_path, **options):
        pass
    assert {path.name for path in tmp_path.rglob(".*")} <= {*MARKS, ".loss.svg.99999999-0a.part"}
    a_run(tmp_path, "new", overwrite=True)
    assert not inside.exists()


def test_an_old_run_that_was_half_removed_does_not_come_back(tmp_path, monkeypatch):
    a_run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(folder_names, "discard_folder", lambda path: sys.exit("killed"))
        with pytest.raises(SystemExit):
            a_run(tmp_path, "new", overwrite=True)
    assert (tmp_path / ".replaced" / "checkpoint").exists()
    with pytest.raises(TrainingError, match="already holds a run"):
        a_run(tmp_path)
    assert set(contents(tmp_path).values()) == {"new"}
    assert not (tmp_path / ".replaced").exists()


def test_a_network_that_was_half_removed_is_not_taken_for_one(tmp_path, monkeypatch):
    a_run(tmp_path)
    save(make_network_folder(tmp_path) / "model")
    assert network_model(tmp_path) == tmp_path / "network" / "model"
    with monkeypatch.context() as patch:
        patch.setattr(folder, "remove", lambda path: sys.exit("killed"))
        with pytest.raises(SystemExit):
            remove_network(tmp_path)
    with run_folder(tmp_path, resume=True):
        assert network_model(tmp_path) == tmp_path / "model"
        assert [path.name for path in (tmp_path / "network").iterdir()] == [".part-of-mixture"]


@pytest.mark.parametrize("moment", ["mkdir", "touch", "rename"])
def test_a_folder_that_was_half_made_is_no_strangers(tmp_path, monkeypatch, moment):
    a_run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os if moment == "rename" else Path, moment, lambda *given, **options: sys.exit("killed"))
        with pytest.raises(SystemExit):
            make_network_folder(tmp_path)
    with run_folder(tmp_path, resume=True):
        assert not list(tmp_path.glob(".network.*"))
        save(make_network_folder(tmp_path) / "model")
    (tmp_path / "test").mkdir()
    assert (make_corpus_folder(tmp_path, "test") / ".part-of-run").exists()


@pytest.mark.parametrize("name", ["thesis.part", ".mine.lock", ".mine.new", ".model.mine"])
def test_names_that_look_alike_are_the_users(tmp_path, name):
    a_run(tmp_path)
    fill(make_network_folder(tmp_path), name)
    with pytest.raises(TrainingError, match="was not made by ostinato"):
        a_run(tmp_path, "new", overwrite=True)
    assert (tmp_path / "network" / name).exists()


def test_a_run_of_an_older_version_is_known(tmp_path):
    a_run(tmp_path)
    (tmp_path / MARK).unlink()
    a_run(tmp_path, "new", overwrite=True)
    assert set(contents(tmp_path).values()) == {"new"}


def test_a_failed_start_leaves_nothing(tmp_path):
    with pytest.raises(UsageError, match="no"), run_folder(tmp_path / "new"):
        raise UsageError("no")
    assert list((tmp_path / "new").iterdir()) == []


def test_resume_and_its_opposite_do_not_contradict_each_other(tmp_path):
    with (
        pytest.raises(TrainingError, match=r"no checkpoint at .*; leave out --resume"),
        run_folder(tmp_path, resume=True),
    ):
        pass
    a_run(tmp_path, checkpoint=False)
    with (
        pytest.raises(TrainingError, match=r"no checkpoint at .*; --overwrite starts"),
        run_folder(tmp_path, resume=True),
    ):
        pass
    with pytest.raises(TrainingError, match=r"already holds a run: --overwrite replaces it, -o"), run_folder(tmp_path):
        pass


def test_a_comparison_is_known_from_its_beginning(tmp_path):
    with run_folder(tmp_path, resume=None, comparison=True):
        save(tmp_path / "network" / "model")
        with pytest.raises(TrainingError, match="already holds a run: --overwrite replaces it, -o names another"):
            check_folder(tmp_path, resume=None)


def test_a_comparison_goes_with_all_its_parts(tmp_path):
    def comparison(content, overwrite):
        with run_folder(tmp_path, resume=None, comparison=True, overwrite=overwrite):
            for name in ("network", "window"):
                a_run(tmp_path / name, content, overwrite=overwrite)
            fill(tmp_path, "heldout/train.ids", "compare.svg")
            save(tmp_path / "model", content)

    comparison("old", False)
    comparison("new", True)
    assert (tmp_path / "network" / "model" / "card.md").read_text() == "new"
    a_run(tmp_path, "run", overwrite=True)
    assert names(tmp_path) == ["checkpoint", "metrics.jsonl", "model", "recipe.toml", "text"]


def test_what_no_comparison_made_stays(tmp_path):
    a_run(tmp_path)
    fill(tmp_path, "network/mine", "heldout/mine.txt", "byte/model/card.md")
    a_run(tmp_path, "new", overwrite=True)
    assert {"byte", "heldout", "network"} <= set(names(tmp_path))


def test_links_are_followed_and_stay(tmp_path):
    out = tmp_path / "run"
    for name in ("model", "checkpoint"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        out.mkdir(exist_ok=True)
        (out / name).symlink_to(tmp_path / "disk" / name)
    with run_folder(out, overwrite=True):
        for content in ("1", "2"):
            save(out / "model", content)
            save(out / "checkpoint", content)
    assert (out / "model").is_symlink()
    assert (tmp_path / "disk" / "model" / "card.md").read_text() == "2"
    assert sorted(os.listdir(tmp_path / "disk")) == ["checkpoint", "model"]
    a_run(out, "3", overwrite=True)
    assert (tmp_path / "disk" / "checkpoint" / "card.md").read_text() == "3"


def test_folders_that_cannot_be_used(tmp_path):
    fill(tmp_path, "file")
    with pytest.raises(TrainingError, match="is a file; choose another with -o"), run_folder(tmp_path / "file"):
        pass
    for name, target in (("dangling", "gone"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
        with (
            pytest.raises(TrainingError, match=rf"is a link to {target}, which does not exist"),
            run_folder(tmp_path / name),
        ):
            pass
    with pytest.raises(UsageError, match="give only one of them"), run_folder(tmp_path, resume=True, overwrite=True):
        pass
    write_folder(tmp_path / "m", {"config.json": b"{}"})
    with pytest.raises(TrainingError, match="is a saved model, not the folder of a run"), run_folder(tmp_path / "m"):
        pass


def _busy(out, ready, done):
    with run_folder(out, what="ostinato train"):
        save(out / "model")
        ready.set()
        done.wait(600)


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}, {"resume": None, "comparison": True}])
def test_a_second_run_is_told_who_is_at_work(tmp_path, options):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_busy, args=(tmp_path, ready, done))
    process.start()
    try:
        assert ready.wait(120)
        said = rf"process {process.pid} \(ostinato train\) is writing in .*: wait until it has ended"
        with pytest.raises(BusyError, match=said), run_folder(tmp_path, **options):
            pass
        with pytest.raises(BusyError, match=said):
            save(tmp_path / "model", "another")
    finally:
        done.set()
        process.join()
    assert (tmp_path / "model" / "card.md").read_text() == "x"
    with run_folder(tmp_path, overwrite=True):  # now it is free
        pass


def test_a_dead_process_holds_nothing(tmp_path):
    child = os.fork()
    if child == 0:
        with run_folder(tmp_path):
            os._exit(9)
    os.waitpid(child, 0)
    assert (tmp_path / ".ostinato.lock").exists()
    with run_folder(tmp_path):
        pass
    assert not (tmp_path / ".ostinato.lock").exists()


def test_the_mark_lists_what_a_run_makes(tmp_path):
    a_run(tmp_path)
    assert json.loads((tmp_path / MARK).read_text())["files"] == [
        "loss.png",
        "loss.svg",
        "metrics.jsonl",
        "recipe.toml",
        "samples.jsonl",
    ]


@pytest.mark.parametrize("command", [["train", "", "-o", "x"], ["train", "t", "-o", ""], ["compare", "t", "-o", " "]])
def test_empty_names_are_refused(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text("a b c\n" * 50)
    try:
        code = main(command)
    except SystemExit as error:
        code = error.code
    assert code in (1, 2)
    said = capsys.readouterr().err
    assert "is empty" in said or "invalid path value" in said
    assert sorted(os.listdir(tmp_path)) in (["t"], ["t", "x"])


def test_half_a_note_about_the_old_run_does_not_come_back_with_it(tmp_path):
    """Killed before anything was set aside."""
    a_run(tmp_path)
    before = contents(tmp_path)
    fill(tmp_path, ".replaced/..was.json.99999999-0a1b2c3d.part")
    with pytest.raises(TrainingError, match="already holds a run"):
        a_run(tmp_path, "new")
    assert contents(tmp_path) == before
    assert not (tmp_path / ".replaced").exists()


def test_where_a_killed_run_counted_goes_with_the_next_one(tmp_path):
    dead = tmp_path / ".counting.99999999-0a1b2c3d.new"
    fill(tmp_path, f"{dead.name}/words.2", ".counting/thesis.txt")
    with run_folder(tmp_path):
        assert not dead.exists()
        assert counting_folder(tmp_path).name.startswith(f".counting.{os.getpid()}-")
    assert (tmp_path / ".counting" / "thesis.txt").exists()


@pytest.fixture
def launched(monkeypatch):
    """What torch's launcher says: its name, and which attempt this is."""

    def launched(name, attempt):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(attempt))

    return launched


@pytest.mark.parametrize("name", ["a1", "none"])
def test_only_what_an_earlier_attempt_of_the_same_launcher_began_is_its_own(tmp_path, launched, name):
    launched(name, 0)
    with run_folder(tmp_path):
        assert not begun_before(tmp_path)  # it is no restart
    launched(name, 1)
    assert begun_before(tmp_path)
    launched("another", 1)
    assert not begun_before(tmp_path)


def test_a_restarted_attempt_does_not_replace_what_refused_the_first_one(tmp_path, launched):
    """A model that is counted has no checkpoint; neither has a run of a process that no launcher began."""
    with run_folder(tmp_path / "network"):
        save(tmp_path / "network" / "model")
    launched("a1", 0)
    with run_folder(tmp_path / "counted", resume=None):
        save(tmp_path / "counted" / "model")
    for out in (tmp_path / "network", tmp_path / "counted", tmp_path / "none"):
        launched("a1", 1)
        assert not begun_before(out)


def test_a_restart_with_resume_auto_leaves_another_s_model(tmp_path, launched, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text("the wind and the rain\n" * 30)
    assert main(["train", str(text), "-o", str(out), "--recipe", "kneser-ney", "--quiet"]) == 0
    before = (out / "model" / "manifest.json").read_bytes()
    launched("a1", 1)
    steps = ["--steps", "2", "--from", "none", "--set", "model.hidden_size=4", "--set", "training.batch_size=2"]
    assert main(["train", str(text), "-o", str(out), "--resume", "auto", "--quiet", *steps]) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert (out / "model" / "manifest.json").read_bytes() == before
