"""Counting on disk gives the arrays that counting in memory gives, bit for bit, however little memory there is."""

import errno
from pathlib import Path

import numpy as np
import pytest

from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.cli.train import gibibytes
from ostinato.errors import BundleError, TextError, UsageError
from ostinato.ngram import fit_ngram
from ostinato.ngram.counts import count_ngrams
from ostinato.ngram.external import count_on_disk
from ostinato.ngram.external_levels import Levels
from ostinato.ngram.external_runs import Layout, merged_ranges, write_runs


def text(vocabulary_size, tokens, seed=0):
    """Zipf's law, with ends of documents (0) as its commonest token."""
    ids = np.random.default_rng(seed).zipf(1.3, tokens) - 1
    return np.minimum(ids, vocabulary_size - 1).astype(np.uint16 if vocabulary_size <= 1 << 16 else np.uint32)


def by_hand(ids, vocabulary_size, order, folder, at_once):
    """As `count_on_disk`, with runs and ranges of so many windows."""
    folder.mkdir()
    layout = Layout(vocabulary_size, order)
    unigrams, runs = write_runs(ids, layout, folder, at_once)
    levels = Levels(layout, folder, len(ids))
    for keys, counts in merged_ranges(runs, layout, at_once):
        levels.add(keys, counts)
    return levels.close(unigrams)


def assert_equal(found, wanted):
    for name in ("words", "children", "occurrences", "continuations", "dropped"):
        for one, other in zip(getattr(found, name), getattr(wanted, name), strict=True):
            assert one.dtype == other.dtype, name
            assert np.array_equal(one, other), name


@pytest.mark.parametrize("vocabulary_size", [2, 50, 5000, 70_000])
@pytest.mark.parametrize("order", [1, 2, 3, 5, 10])
def test_the_same_arrays(tmp_path, vocabulary_size, order):
    """Of texts that fill one run or many; with one or several words a key, and n-grams that lie in several ranges."""
    for number, (tokens, at_once) in enumerate([(1, 99), (2, 1), (700, 37), (3000, 100), (3000, 5000)]):
        ids = text(vocabulary_size, tokens, number)
        found = by_hand(ids, vocabulary_size, order, tmp_path / str(number), at_once)
        assert_equal(found, count_ngrams(ids, vocabulary_size, order))


@pytest.mark.parametrize("ids", [
    np.zeros(40, np.uint16), np.full(300, 3, np.uint16), np.tile([1, 2, 3, 0], 90).astype(np.uint16),
    np.array([0, 0, 5, 0, 0, 5], np.uint16),
], ids=["ends", "one token", "one line", "empty documents"])  # fmt: skip
def test_texts_of_few_windows(tmp_path, ids):
    """All windows have the same first word: no range can be cut."""
    assert_equal(by_hand(ids, 6, 4, tmp_path / "files", 10), count_ngrams(ids, 6, 4))


def test_the_runs_are_gone_and_the_text_may_be_mapped(tmp_path):
    ids = text(500, 40_000)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint16, "r")
    assert_equal(count_on_disk(mapped, 500, 3, folder=tmp_path / "files", memory=1 << 24), count_ngrams(ids, 500, 3))
    assert not list((tmp_path / "files").glob(".run.*"))


def test_what_cannot_be_counted(tmp_path):
    for order, ids, says in ((0, [1], "order"), (3, [], "0 tokens"), (3, [7], "below the vocabulary size 7, got 7")):
        with pytest.raises(UsageError, match=says):
            count_on_disk(np.array(ids, np.uint16), 7, order, folder=tmp_path / "files", memory=1 << 24)
    (tmp_path / "file").touch()
    with pytest.raises(TextError, match="cannot be counted in"):
        count_on_disk(text(9, 10), 9, 2, folder=tmp_path / "file", memory=1 << 24)
    with pytest.raises(UsageError, match="only kneser-ney without pruning"):
        fit_ngram(text(9, 100), 9, smoothing="add-k", memory=1 << 24, folder=tmp_path / "files")


def test_the_same_model(tmp_path):
    ids = text(300, 20_000)
    model = fit_ngram(ids, 300, order=4)
    found = fit_ngram(ids, 300, order=4, memory=1 << 24, folder=tmp_path / "files")
    assert found.settings == model.settings
    for one, other in zip(found.levels, model.levels, strict=True):
        assert np.array_equal(one.share, other.share)
        assert np.array_equal(one.weight, other.weight)
    assert np.array_equal(found.score(ids[:500]), model.score(ids[:500]))


def test_a_large_model_keeps_its_probabilities(tmp_path, monkeypatch):
    """Its bundle is opened without computing any, and it scores as the one that was counted in memory, bit for bit."""
    from ostinato.ngram import fit, from_arrays

    ids = text(300, 20_000)
    monkeypatch.setattr(fit, "MOST_COUNTED", 1000)
    found = fit_ngram(ids, 300, order=4, memory=1 << 24, folder=tmp_path / "files")
    assert not [name for name in found.arrays if name.startswith("counts")]
    assert sorted({path.name.split(".")[0] for path in (tmp_path / "files").iterdir()}) == [
        "children", "level", "words"]  # fmt: skip
    wanted = fit_ngram(ids, 300, order=4).score(ids[:500])
    monkeypatch.delattr(fit, "kneser_ney")
    assert np.array_equal(from_arrays(found.settings, found.arrays).score(ids[:500]), wanted)
    for name, wrong in (("share.2", found.arrays["share.2"][1:]), ("weight.1", np.ones(2, np.float32))):
        with pytest.raises(BundleError, match="do not fit their settings"):
            from_arrays(found.settings, {**found.arrays, name: wrong})


def test_probabilities_do_not_depend_on_the_pieces(monkeypatch):
    from ostinato.ngram import smoothing

    ids = text(60, 3000)
    whole = fit_ngram(ids, 60, order=3, prune_counts=(0, 0, 1))
    monkeypatch.setattr(smoothing, "_AT_ONCE", 50)
    pieces = fit_ngram(ids, 60, order=3, prune_counts=(0, 0, 1))
    assert pieces.settings == whole.settings
    for one, other in zip(pieces.levels, whole.levels, strict=True):
        assert np.array_equal(one.share, other.share)
        assert np.array_equal(one.weight, other.weight)


@pytest.mark.parametrize(("given", "size"), [("2G", 2.0), ("1.5g", 1.5), ("64MiB", 1 / 16), ("1TB", 1024.0)])
def test_sizes_of_memory(given, size):
    assert gibibytes(given) == size


@pytest.mark.parametrize("given", ["", "2", "0M", "lots", "-1G", "2X"])
def test_sizes_that_are_none(given):
    with pytest.raises(UsageError, match="--memory must be a size such as 2G or 512M, got"):
        gibibytes(given)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("name", [".run.0", "words.2", "occurrences.3"])
def test_a_full_disk_is_said_with_what_to_do(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(TextError, match="No space left on device; make room there, or name a folder on another disk"):
        count_on_disk(text(50, 20_000), 50, 3, folder=tmp_path, memory=1 << 24)


def test_probabilities_on_disk_have_room_before_they_are_computed(tmp_path, monkeypatch):
    """A write into a mapped hole ends the process where the disk is full."""
    ids = text(300, 20_000)
    fit_ngram(ids, 300, order=3, memory=1 << 24, folder=tmp_path / "files")
    levels = sorted((tmp_path / "files").glob("level.*"))
    assert levels
    assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in levels)

    def full(path, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ostinato.ngram.fit.reserve", full)
    with pytest.raises(TextError, match="make room there"):
        fit_ngram(ids, 300, order=3, memory=1 << 24, folder=tmp_path / "full")


def test_a_file_of_counts_that_has_become_shorter_is_no_smaller_count(tmp_path):
    _, (run,) = write_runs(text(50, 1000), Layout(50, 2), tmp_path, 1 << 20)
    run.path.write_bytes(run.path.read_bytes()[:-1])
    with pytest.raises(OSError, match="has become shorter"):
        run.read(0, run.size)


def test_train_counts_on_disk(tmp_path, capsys):
    """The same bundle as in memory, and nothing left of the counting."""
    source = tmp_path / "a.txt"
    source.write_text("\n".join(f"line {n % 7} of {n % 11} words" for n in range(200)))
    for name, more in (("memory", []), ("disk", ["--memory", "16M"])):
        assert main(["train", str(source), "-o", str(tmp_path / name), "--recipe", "kneser-ney", *more]) == 0
    one, other = (read_bundle(tmp_path / name / "model") for name in ("memory", "disk"))
    assert one.tensors.keys() == other.tensors.keys()
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    left = {path.name for path in (tmp_path / "disk").iterdir()}
    assert left == {".run.json", "model", "recipe.toml", "text"}
    capsys.readouterr()
    assert main(["train", str(source), "-o", str(tmp_path / "no"), "--memory", "1G"]) == 2
    assert "--memory is for n-gram models" in capsys.readouterr().err
