"""What the studio does where the disk is full, and where others change what it reads."""

import errno
import os
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from studio_tools import OLD

import ostinato
from ostinato.bundle import read_bundle
from ostinato.errors import BundleError
from ostinato.server.problems import Problem, of_the_disk
from ostinato.studio.jobs import Jobs
from ostinato.studio.looking import _counts, _windows
from ostinato.studio.place import Place, modified
from ostinato.studio.runs import _copy, _zip
from ostinato.studio.writings import Writings


def full(*given, **named):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_model_is_carried_away_as_its_manifest_lists_it_or_not_at_all(tmp_path):
    shutil.copytree(OLD / "lstm" / "model", tmp_path / "model")
    (tmp_path / "model" / "mine.txt").write_text("not the model's")
    _zip(tmp_path / "model", tmp_path / "a.zip", "lstm")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path)
    assert read_bundle(tmp_path / "lstm").kind == "recurrent"
    assert not (tmp_path / "lstm" / "mine.txt").exists()
    (tmp_path / "model" / "card.md").write_text("another card")
    with pytest.raises(BundleError, match="does not match its checksum"):
        _zip(tmp_path / "model", tmp_path / "b.zip", "lstm")
    assert not (tmp_path / "b.zip").exists()


def test_half_a_zip_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("zipfile._ZipWriteFile.write", full)
    with pytest.raises(OSError, match="No space"):
        _zip(OLD / "lstm" / "model", tmp_path / "a.zip", "lstm")
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_which_nothing_can_be_noted_is_ended(tmp_path, monkeypatch):
    (tmp_path / "place" / "of" / "jobs").mkdir(parents=True)
    jobs = Jobs(tmp_path / "place" / "of" / "jobs")
    started = []
    monkeypatch.setattr("ostinato.studio.jobs.write_file", full)
    begin = __import__("subprocess").Popen
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: started.append(begin(*a, **k)) or started[-1])
    with pytest.raises(Problem, match="so it was ended: No space left") as refused:
        jobs.start("one", ["60"], {}, module="timeit")
    assert refused.value.status == 507
    assert started[0].returncode is not None
    assert not jobs.alive("one")


def test_one_kept_text_that_is_gone_or_damaged_hides_no_other(tmp_path, monkeypatch):
    writings = Writings(Place(tmp_path))
    folder = tmp_path / "writings"
    (folder / "song.json").write_text('{"text": "la la"}')
    (folder / "damaged.json").write_text("{")
    (folder / "a folder.json").mkdir()
    gone = folder / "gone.json"
    monkeypatch.setattr("ostinato.studio.writings.listed", lambda place: [*sorted(place.iterdir()), gone])
    assert {one["name"]: one["characters"] for one in writings.list()} == {"song": 5, "damaged": 0}
    assert modified(gone) is None


def test_what_cannot_be_copied_is_said(tmp_path):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "pipe")
    with pytest.raises(Problem, match=r"it cannot be copied: .*pipe"):
        _copy(tmp_path / "run", tmp_path / "copy")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x"), "the server's disk is full: make room there"),
        (PermissionError(errno.EACCES, "x"), "cannot read or write a file: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "x"), None),
        (ValueError("x"), None),
    ],
)
def test_errors_of_the_disk_are_no_faults_of_ours(error, said):
    found = of_the_disk(error)
    assert (found is None) == (said is None)
    assert found is None or (found.status == 507 and said in found.message)


def test_the_text_of_another_run_is_not_taken_for_the_model_s(tmp_path):
    """`--overwrite` writes the new text before the first new model: its ids may not be in the vocabulary."""
    shutil.copytree(OLD / "lstm", tmp_path / "run")
    served = SimpleNamespace(name="run", model=ostinato.load(tmp_path / "run"))
    size = served.model.tokenizer.vocabulary_size
    assert _windows(served, 4, None)[0].max() < size
    assert not np.array_equal(_counts(served, size), np.arange(size, 0, -1))
    shutil.rmtree(tmp_path / "run" / "text")
    shutil.copytree(OLD / "gru-words" / "text", tmp_path / "run" / "text")
    with pytest.raises(Problem, match="the text of run is not there any more"):
        _windows(served, 4, None)
    assert np.array_equal(_counts(served, size), np.arange(size, 0, -1))
    with pytest.raises(ostinato.UsageError, match="copies cannot be found"):
        _ = served.model.training_text
