"""A few cases of every fuzzer (`make fuzz` runs them by the minute), and what they have found."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(FUZZ))
    try:
        yield __import__("every")
    finally:
        sys.path.remove(str(FUZZ))


@pytest.mark.parametrize(
    "target", ["bundle", "tensors", "tokenizer", "recipe", "form", "records", "arpa", "zip", "encodings"]
)
def test_nothing_is_found_in_a_few_cases(fuzz, target):
    report = fuzz.run(target, cases=25)
    assert report.findings == []
    assert report.worked + sum(report.refused.values()) == 25


def test_a_finding_is_kept_with_its_reason(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr("kit.FINDINGS", tmp_path)
    report = fuzz.fuzz("broken", lambda chance: b"x", lambda data: 1 // 0, cases=1)
    (path,) = report.findings
    assert path.read_bytes() == b"x"
    assert "ZeroDivisionError" in path.with_suffix(".txt").read_text()


def test_a_case_is_slow_by_the_processor_s_time_not_by_the_clock(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr("kit.FINDINGS", tmp_path)
    monkeypatch.setattr("kit.SLOWEST", 0.05)

    def work(data):
        end = time.process_time() + 0.06
        while time.process_time() < end:
            pass

    assert fuzz.fuzz("asleep", lambda chance: b"x", lambda data: time.sleep(0.1), cases=1).findings == []
    (path,) = fuzz.fuzz("slow", lambda chance: b"x", work, cases=1).findings
    assert "s of the processor" in path.with_suffix(".txt").read_text()


@pytest.mark.parametrize(("seed", "first"), [(None, 1), ("2", 2001)])
def test_another_seed_gives_other_arrays(fuzz, monkeypatch, capsys, seed, first):
    """A finding ends the rounds, and is the exit code."""
    given = []
    monkeypatch.setattr(pytest, "main", lambda arguments: given.append(arguments) or len(given) // 3)
    monkeypatch.setenv("OSTINATO_EXAMPLES", "1")
    monkeypatch.delenv("FUZZ_SEED", raising=False)
    if seed:
        monkeypatch.setenv("FUZZ_SEED", seed)
    assert fuzz.arrays(60.0) == 1
    assert [a for arguments in given for a in arguments if "seed" in a] == [
        f"--hypothesis-seed={first + n}" for n in range(3)
    ]
    assert "arrays: 3 rounds of 1 examples per property, exit code 1" in capsys.readouterr().out


def test_the_command_needs_a_time():
    assert subprocess.run([sys.executable, str(FUZZ)], capture_output=True).returncode == 2
