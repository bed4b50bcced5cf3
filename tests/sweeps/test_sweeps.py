"""What a sweep is asked for, and what its table says: values, without a run."""

import json
import os
import signal
import subprocess
import threading

import pytest

from ostinato.errors import SettingsError, TrainingError, UsageError
from ostinato.sweeps import One, Setting, Sweep, finished_runs, read_table, settings_of
from ostinato.sweeps.folder import (
    begin,
    check_same,
    checkpoint_in,
    prepare,
    read_result,
    save_result,
    save_table,
)
from ostinato.sweeps.making import _Going, _stop, _why
from ostinato.sweeps.table import best_of, sheet_of, summary, text_of


def asked(out, **changed):
    values = {"settings": [Setting(())], "seeds": range(1, 3), "options": ["a.txt"], "start": [], "command": {}}
    return Sweep(out, **(values | changed))


def made(out, *perplexities, name=("model.cell=gru",)):
    return [
        One(Setting(name), seed, out / f"seed{seed}", {"evaluation": {"held-out": {"perplexity": value}}})
        for seed, value in enumerate(perplexities, 1)
    ]


def test_combinations():
    found = settings_of(["model.cell=rnn,gru", "model.layers=1, 2"], ["default"])
    assert [setting.name for setting in found] == [
        "cell=rnn, layers=1", "cell=rnn, layers=2", "cell=gru, layers=1", "cell=gru, layers=2"
    ]  # fmt: skip
    assert settings_of([], ["default"])[0].name == "as given"
    with pytest.raises(SettingsError, match="no field"):
        settings_of(["model.size=1"], ["default"])
    with pytest.raises(UsageError, match="different values"):
        settings_of(["model.layers=1,,2"], ["default"])


def test_runs_have_folders_that_can_be_made_anywhere(tmp_path):
    sweep = asked(tmp_path, settings=[Setting(("text.documents=a/b", "model.layers=2"))])
    assert [one.folder.name for one in sweep.runs()] == ["documents=a_b-layers=2-seed1", "documents=a_b-layers=2-seed2"]
    assert [one.folder.name for one in asked(tmp_path).runs()] == ["seed1", "seed2"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seeds": range(1, 1)}, "--seeds must be between 1 and 1000, got 0"),
        ({"seeds": range(1001)}, "--seeds must be between 1 and 1000, got 1001"),
        ({"seeds": range(600), "settings": [Setting(("a",)), Setting(("b",))]}, "that would be 1200 runs"),
        ({"jobs": 257}, "--jobs must be between 1 and 256, got 257"),
    ],
)
def test_numbers_out_of_range(tmp_path, changed, message):
    with pytest.raises(UsageError, match=message):
        asked(tmp_path, **changed)


def test_jobs_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("ostinato.sweeps.plan.processors", lambda: 8)
    assert (asked(tmp_path).at_a_time, asked(tmp_path).threads_each) == (2, 4)
    assert (asked(tmp_path, jobs=4).threads_each, asked(tmp_path, threads=3).threads_each) == (2, 3)


def test_the_table_of_runs_that_failed_and_of_those_that_did_not(tmp_path):
    plan = [*made(tmp_path, 4.0, 6.0), One(Setting(("model.cell=lstm",)), 1, tmp_path / "x", None, "it diverged")]
    table = summary(plan, {"text": ["a.txt"]})
    gru, lstm = table["rows"]
    assert gru["figures"]["held-out"]["perplexity"] == {"mean": 5.0, "sd": pytest.approx(2**0.5)}
    assert lstm["figures"] == {}
    assert lstm["runs"][0]["error"] == "it diverged"
    assert table["best"] == {"folder": "seed1", "figure": "perplexity", "value": 4.0}
    assert [line.split()[:4] for line in text_of(table).splitlines()[1:]] == [
        ["cell=gru", "2", "of", "2"], ["cell=lstm", "0", "of", "1"]
    ]  # fmt: skip
    assert sheet_of(table).splitlines() == [
        "setting,seed,folder,held-out perplexity", "cell=gru,1,seed1,4.0", "cell=gru,2,seed2,6.0", "cell=lstm,1,x,"
    ]  # fmt: skip


def test_the_best_run_is_told_by_what_all_of_them_have():
    def row(*evaluations):
        runs = [{"folder": f"seed{at}", "evaluation": found} for at, found in enumerate(evaluations, 1)]
        return [{"runs": runs}]

    assert best_of(row({"held-out": {"accuracy": 0.5}}, {"held-out": {"accuracy": 0.7}}, None))["folder"] == "seed2"
    assert best_of(row({"held-out": {"rmse": 3.0, "loss": 1.0}}, {"held-out": {"rmse": 4.0}}))["folder"] == "seed1"
    assert best_of(row({"held-out": {"rmse": 3.0}}, {"held-out": {"loss": 4.0}})) is None
    assert best_of(row(None)) is None


def test_a_folder_is_known_by_its_command(tmp_path):
    out = tmp_path / "s"
    prepare(out)
    check_same(out, {"text": ["a"]}, overwrite=False)  # nothing was made yet
    save_table(out, summary([], {"text": ["a"], "cell_files": {}}), "", {})
    prepare(out)
    check_same(out, {"text": ["a"], "cell_files": {}, "of a newer version": 1}, overwrite=False)
    for other, message in (
        ({"text": ["b"], "cell_files": {}}, "another text"),
        ({"text": ["a"], "cell_files": {"own.py": "1"}}, "cells"),
    ):
        with pytest.raises(TrainingError, match=message):
            check_same(out, other, overwrite=False)
        check_same(out, other, overwrite=True)
    assert finished_runs(out) == []
    (out / "sweep.json").write_text(json.dumps({"mine": 1}), "utf-8")
    assert read_table(out) is None


@pytest.mark.parametrize("table", ["x", "[1]", '{"songs": 3}', '{"command": 3, "rows": []}'])
def test_a_table_of_the_users_is_not_replaced(tmp_path, table):
    (tmp_path / "sweep.json").write_text(table)
    with pytest.raises(TrainingError, match=r"sweep\.json was not made by ostinato"):
        prepare(tmp_path)
    with pytest.raises(TrainingError, match="is a file"):
        prepare(tmp_path / "sweep.json")


def test_what_a_killed_process_left_holds_nobody_up(tmp_path):
    (tmp_path / ".sweep.json.99999999-0a.part").touch()
    (tmp_path / ".ostinato.lock").touch()
    prepare(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(TrainingError, match="holds something else"):
        prepare(tmp_path)


def test_runs_of_two_commands_are_not_mixed_however_the_first_ended(tmp_path):
    prepare(tmp_path)
    begin(tmp_path, {"text": ["a"]}, [], overwrite=False)  # and is killed before its table
    with pytest.raises(TrainingError, match="another text"):
        begin(tmp_path, {"text": ["b"]}, [], overwrite=False)
    begin(tmp_path, {"text": ["a"]}, [], overwrite=False)


def saved(folder, name, content):
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "manifest.json").write_text(content)


def test_results_of_replaced_runs_are_never_taken_for_those_of_the_new_ones(tmp_path):
    folders = [tmp_path / f"seed{seed}" for seed in (1, 2)]
    prepare(tmp_path)
    begin(tmp_path, {"text": ["a"]}, folders, overwrite=False)
    for folder in folders:
        saved(folder, "model", "old")
        saved(folder, "checkpoint", "old")
        save_result(folder, {"evaluation": {}})
        assert read_result(folder) == {"evaluation": {}}
    replaced = begin(tmp_path, {"text": ["b"]}, folders, overwrite=True)
    assert [read_result(folder) for folder in folders] == [None, None]
    saved(folders[0], "checkpoint", "new")  # and the process is killed
    again = begin(tmp_path, {"text": ["b"]}, folders, overwrite=False)
    assert again == replaced
    goes_on = [checkpoint_in(folder) != again[folder.name] for folder in folders]
    assert goes_on == [True, False]


def test_a_result_is_that_of_the_model_beside_it(tmp_path):
    saved(tmp_path, "model", "one")
    save_result(tmp_path, {"evaluation": {}})
    saved(tmp_path, "model", "another")
    assert read_result(tmp_path) is None
    for content in ("{", '{"evaluation": 3}', '{"evaluation": {"held-out": 3}}'):
        (tmp_path / "result.json").write_text(content)
        assert read_result(tmp_path) is None


def test_a_second_interruption_ends_the_runs_at_once():
    """As in `train`: the first signal lets a run save, the second one ends it."""
    counts = "trap 'n=$((n + 1)); [ $n -lt 2 ] || exit 9' TERM; echo; while :; do sleep 0.02; done"
    process = subprocess.Popen(["sh", "-c", counts], stdout=subprocess.PIPE)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process.stdout.readline()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            _stop(_Going([], {}, {process}))
        assert process.wait(60) == 9
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        ("a note\nostinato: no room\n", 1, "no room"),
        ("a note\n", -9, "its process was killed (signal 9)"),
        ("", 3, "it ended with 3"),
    ],
)
def test_why_a_run_failed(said, code, why):
    assert _why(said, code) == why
