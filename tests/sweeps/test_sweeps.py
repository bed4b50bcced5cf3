"""What a sweep is asked for, and what its table says: values, without a run."""

import json

import pytest

from ostinato.errors import SettingsError, TrainingError, UsageError
from ostinato.sweeps import One, Setting, Sweep, finished_runs, read_table, settings_of
from ostinato.sweeps.folder import check_same, prepare, save_table
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
    assert read_table(out) == {}
    check_same(out, {"text": ["a"]}, overwrite=False)  # nothing was made yet
    save_table(out, summary([], {"text": ["a"], "cell_files": {}}), "")
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
