"""What is built beside its place, and what a killed process left of that."""

import sys

import pytest

from ostinato.files import building, is_unique, replacing, reserve, unique

DEAD = "99999999-0a1b2c3d"


@pytest.mark.parametrize("allocates", [True, False])
def test_a_reserved_file_has_no_holes(tmp_path, monkeypatch, allocates):
    if not allocates:
        monkeypatch.delattr("os.posix_fallocate", raising=False)
        monkeypatch.setattr("ostinato.files.writing._ZEROS", 1000)
    reserve(tmp_path / "file", 4500)
    assert (tmp_path / "file").read_bytes() == bytes(4500)


@pytest.mark.parametrize("place", ["page.html", "folder"])
def test_what_killed_builds_left_goes_with_the_next_one(tmp_path, place):
    target = tmp_path / place
    left = tmp_path / f".{place}.{DEAD}.new"
    left.mkdir()
    (left / "half").write_text("half")
    with building(target) as fresh:
        fresh.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == [place]
    assert target.read_text() == "whole"


def test_what_lay_there_comes_back_where_a_build_was_killed_between_two_renames(tmp_path):
    target = tmp_path / "folder"
    old = tmp_path / f".folder.{DEAD}.new" / ".old"
    old.mkdir(parents=True)
    (old / "file").write_text("old")
    with pytest.raises(SystemExit), building(target):
        sys.exit("an export that fails")
    assert (target / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_living_process_builds_stays(tmp_path):
    target = tmp_path / "page.html"
    with building(target) as first, building(target) as second:
        second.write_text("second")
        first.write_text("first")
    assert target.read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["thesis.new", ".mine.new", ".model.mine.new", ".model.1-x.new", "model.1-0a.new"])
def test_names_that_look_alike_are_not_ours(tmp_path, name):
    assert not is_unique(name)
    assert is_unique(unique(tmp_path / "model", ".new").name)


def test_a_missing_folder_is_named_and_not_the_hidden_file(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, replacing(tmp_path / "none" / "x.txt"):
        pass
    assert (raised.value.strerror, raised.value.filename) == ("the folder does not exist", str(tmp_path / "none"))
