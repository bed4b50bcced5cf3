"""`ostinato train` as several processes: one prepares and writes, all learn, and any number goes on."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import team_processes

import ostinato
from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.errors import UsageError
from ostinato.training.checkpoint import load_checkpoint

TEXT = "".join(f"the {a} {b} sings of the {c}\n" for a in ("old", "red", "sad") for b in ("cat", "dog", "man", "hen")
               for c in ("sea", "sun", "hill", "wind", "night", "rain") for _ in range(3))  # fmt: skip
SETTINGS = ["model.hidden_size=12", "model.embedding_size=8", "model.dropout=0.2", "training.batch_size=6",
            "training.window=8", "training.precision=fp32", "training.evaluate_every=1", "text.tokenizer=character",
            "training.schedule=constant"]  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "songs.txt"
    path.write_text(TEXT)
    return path


def command(text, out, steps, *more, settings=()):
    given = [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    return ["train", text, "-o", out, "--steps", steps, "--from", "none", "--threads", "1", *given, *more]


def weights(out):
    return read_bundle(out / "model").tensors


def equal(a, b, tolerance=1e-5):
    assert a.keys() == b.keys()
    return all(np.allclose(a[name], b[name], atol=tolerance) for name in a)


def alone(text, out, steps, *more, settings=()):
    assert main([str(word) for word in command(text, out, steps, "--quiet", *more, settings=settings)]) == 0


def test_two_learn_what_one_does_and_one_goes_on(tmp_path, text, capsys):
    """Through torch's launcher; then alone, from the middle of an epoch."""
    alone(text, tmp_path / "one", 40)
    process = team_processes.launcher(command(text, tmp_path / "two", 25, "--json"), 2)
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    result = json.loads(out)  # one of them speaks
    assert (result["steps"], result["reason"]) == (25, "finished")
    assert "2 processes, 1 thread each" in errors
    assert errors.count("vocabulary") == 1
    assert load_checkpoint(tmp_path / "two" / "checkpoint").position.batch > 0
    alone(text, tmp_path / "two", 40, "--resume")
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "two"))
    rows = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    single = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["heldout_loss"] == pytest.approx(single[-1]["heldout_loss"], abs=1e-5)
    assert rows[-1]["tokens"] == single[-1]["tokens"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to find the processes")
def test_a_killed_process_is_replaced_and_the_run_goes_on(tmp_path, text):
    """--max-restarts and --resume auto: what one would have learnt, though a process was killed in the middle."""
    out = tmp_path / "elastic"
    alone(text, tmp_path / "one", 150)
    process = team_processes.launcher(command(text, out, 150, "--resume", "auto"), 2, restarts=2)
    deadline = time.monotonic() + 300
    while not (out / "checkpoint" / "state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in children(process.pid):
        if b"RANK=1" in (Path("/proc") / str(child) / "environ").read_bytes().split(b"\0"):
            os.kill(child, signal.SIGKILL)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert "resumed at step" in errors
    assert equal(weights(tmp_path / "one"), weights(out))


def children(pid):
    return [int(word) for word in (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()]


def test_who_loses_another_says_so_in_one_line(tmp_path, text):
    """Rank 1 is killed, and nobody restarts it: rank 0 ends at once, with a checkpoint to go on from."""
    processes = team_processes.start(command(text, tmp_path / "out", 100000), 2)
    deadline = time.monotonic() + 300
    while not (tmp_path / "out" / "checkpoint").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    processes[1].kill()
    (code, _, errors), _ = team_processes.ends(processes)
    assert code == 1
    assert errors.splitlines()[-1] == (
        "ostinato: process 0 of 2: another process has ended; the run goes on from its last checkpoint with --resume "
        "and any number of processes"
    )
    assert load_checkpoint(tmp_path / "out" / "checkpoint").position.step > 0


def test_what_cannot_be_done_is_said_once(tmp_path, text):
    one_row = command(text, tmp_path / "out", 5, settings=["training.batch_size=1"])
    ended = team_processes.ends(team_processes.start(one_row, 2))
    assert {code for code, _, _ in ended} == {1, 2}
    said = [line for _, _, errors in ended for line in errors.splitlines() if line.startswith("ostinato:")]
    assert len(said) == 1, said
    assert "2 processes cannot share a minibatch of 1 row" in said[0]


def test_tasks_are_learnt_together(tmp_path):
    """Records, in minibatches that do not divide evenly."""
    table = tmp_path / "moods.csv"
    table.write_text("text,label\n" + 12 * "so glad today,up\nsad and grey,down\n")
    settings = ["model.hidden_size=8", "training.batch_size=5", "model.dropout=0.2"]
    given = [word for setting in settings for word in ("--set", setting)]
    arguments = ["train", table, "--task", "classify", "--steps", 12, "--threads", 1, *given, "-o"]
    assert main([str(word) for word in (*arguments, tmp_path / "one", "--quiet")]) == 0
    ended = team_processes.ends(team_processes.start([*arguments, tmp_path / "two"], 2, PYTHONHASHSEED="0"))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert ended[1][1:] == ("", "")
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_resume_auto_starts_what_is_not_there(tmp_path, text, capsys):
    alone(text, tmp_path / "a", 6, "--resume", "auto")
    alone(text, tmp_path / "a", 9, "--resume=auto")
    assert load_checkpoint(tmp_path / "a" / "checkpoint").position.step == 9
    capsys.readouterr()
    assert main(["train", str(text), "-o", str(tmp_path / "a"), "--steps", "9", "--resume", "nothing-here"]) == 1
    assert "nothing-here" in capsys.readouterr().err


OFTEN = ["model.mixture=none", "training.evaluate_every=0.1"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of one process after 60 steps."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "songs.txt").write_text(TEXT)
    alone(folder / "songs.txt", folder / "out", 60, settings=OFTEN)
    return weights(folder / "out")


@pytest.mark.parametrize(("rank", "moment"), [(1, "saving"), (0, "replacing"), (1, "evaluating")])
def test_killed_at_an_awkward_moment(tmp_path, text, whole, rank, moment):
    """The other ends with one line, and one process goes on as if nothing had been."""
    kill = (str(Path(__file__).with_name("team_kill.py")), moment)
    given = command(text, tmp_path / "out", 60, settings=OFTEN)
    ended = team_processes.ends(team_processes.start(given, 2, {rank: kill}, OSTINATO_TIMEOUT="60"))
    assert ended[rank][0] == -signal.SIGKILL, ended
    code, _, errors = ended[1 - rank]
    said = [line for line in errors.splitlines() if line.startswith("ostinato:")]
    assert (code, len(said)) == (1, 1), errors
    assert "another process has ended; the run goes on from its last checkpoint" in said[0]
    assert load_checkpoint(tmp_path / "out" / "checkpoint").position.step < 60
    alone(text, tmp_path / "out", 60, "--resume", settings=OFTEN)
    assert equal(weights(tmp_path / "out"), whole)


def test_two_teams_in_one_folder(tmp_path, text):
    """The second is told who writes there; the first goes on, by the clock of its first process, and is mixed."""
    out = tmp_path / "out"
    arguments = [
        "train",
        text,
        "-o",
        out,
        "--minutes",
        "0.3",
        "--from",
        "none",
        *(w for s in SETTINGS[:-1] for w in ("--set", s)),
    ]
    first = team_processes.start(arguments, 2)
    deadline = time.monotonic() + 300
    while not (out / "checkpoint" / "state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    second = team_processes.ends(team_processes.start(arguments, 2))
    said = [line for _, _, errors in second for line in errors.splitlines() if line.startswith("ostinato:")]
    assert [code for code, _, _ in second] == [1, 1], second
    assert len(said) == 1, said
    assert f"process {first[0].pid} (training) is writing in" in said[0], said
    ended = team_processes.ends(first)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert load_checkpoint(out / "checkpoint").position.seconds >= 9
    assert "the model is a mixture" in ended[0][1]
    assert ended[1][1:] == ("", "")


def test_a_base_is_gone_on_from_together(tmp_path, text):
    """Its vocabulary, weights and shape reach all; two learn what one does."""
    settings = ["--set", "model.mixture=none", "--set", "training.precision=fp32"]
    arguments = ["train", text, "--from", "base-en", "--steps", 3, "--threads", 1, *settings, "-o"]
    assert main([str(word) for word in (*arguments, tmp_path / "one", "--quiet")]) == 0
    ended = team_processes.ends(team_processes.start([*arguments, tmp_path / "two"], 2))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert "base-en before training" in ended[0][2]
    assert equal(weights(tmp_path / "one"), weights(tmp_path / "two"), 1e-4)


SCRIPT = """
import sys
import ostinato
text, out = sys.argv[1:]
settings = {"model.hidden_size": 12, "model.mixture": "none", "training.batch_size": 6, "training.window": 8,
            "training.precision": "fp32", "text.tokenizer": "character"}
for steps in (4, 8):
    model = ostinato.train(text, out=out, steps=steps, settings=settings, start=None, resume="auto", progress=False)
print(model.score("the old man").nats)
"""


def test_a_script_is_started_by_the_launcher(tmp_path, text):
    """`ostinato.train` joins the team, twice; every process has the model afterwards."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    found = []
    for name, size in (("one", 1), ("two", 2)):
        members = team_processes.start([text, tmp_path / name], size, dict.fromkeys(range(size), (str(script),)))
        found += team_processes.ends(members)
    assert [code for code, _, _ in found] == [0, 0, 0], found
    figures = [float(out) for _, out, _ in found]
    assert figures[1] == figures[2] == pytest.approx(figures[0], abs=1e-4)


@pytest.fixture
def launched(monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
        monkeypatch.setenv(name, value)


def test_what_no_team_can_share(tmp_path, text, launched, capsys, monkeypatch):
    given = [str(word) for word in command(text, tmp_path / "out", 5)]
    assert main([*given, "--seeds", "2"]) == 2
    assert "several runs (--seeds, --sweep) cannot be used under torch's launcher" in (
        capsys.readouterr().err)  # fmt: skip
    assert main(["compare", str(text), "--minutes", "0"]) == 2
    assert "a comparison cannot be used under" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"a temporary folder \(out=None\) cannot be used under"):
        ostinato.train(text, steps=1)
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert main(given) == 2
    assert "WORLD_SIZE is set by torch's launcher to a number, got 'two': unset it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
