"""Several seeds and a sweep of settings: a folder for each run, a table with mean and deviation, going on later."""

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

from ostinato.cli.main import main
from ostinato.sweeps.folder import checkpoint_in

SMALL = ("training.batch_size=4", "training.window=8", "text.documents='^# '", "model.hidden_size=8")
OPTIONS = [word for option in SMALL for word in ("--set", option)]


def swept(verses, out, *more):
    return main(["train", str(verses), "-o", str(out), "--quiet", "--json", *more])


@pytest.mark.slow
def test_seeds_and_values(verses, tmp_path, capsys):
    out = tmp_path / "s"
    command = ["--steps", "3", *OPTIONS, "--seeds", "2", "--sweep", "model.cell=rnn,gru", "--test", str(verses) + "2"]
    (tmp_path / "verses.txt2").write_text("风在春里等你\n", "utf-8")
    assert swept(verses, out, *command) == 0
    table = json.loads(capsys.readouterr().out)
    assert [row["setting"] for row in table["rows"]] == ["cell=rnn", "cell=gru"]
    assert json.loads((out / "sweep.json").read_text("utf-8")) == table
    for row in table["rows"]:
        assert [run["seed"] for run in row["runs"]] == [1, 2]
        for split in ("held-out", "test"):
            values = [run["evaluation"][split]["perplexity"] for run in row["runs"]]
            assert len(set(values)) == 2
            assert row["figures"][split]["perplexity"]["mean"] == pytest.approx(statistics.fmean(values))
            assert row["figures"][split]["perplexity"]["sd"] == pytest.approx(statistics.stdev(values))
    with (out / "sweep.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["setting"], line["seed"]) for line in lines] == [
        ("cell=rnn", "1"), ("cell=rnn", "2"), ("cell=gru", "1"), ("cell=gru", "2")
    ]  # fmt: skip
    assert "cell=rnn" in table["rows"][0]["setting"]
    assert (out / "sweep.svg").is_file()
    # what is there is not made again; what is missing is
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    (out / "cell=gru-seed2" / "result.json").unlink()
    assert main(["train", str(verses), "-o", str(out), "--quiet", *command]) == 0
    assert " ± " in capsys.readouterr().out
    again = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert {path.parent.name for path in times if again[path] != times[path]} == {"cell=gru-seed2"}
    assert json.loads((out / "sweep.json").read_text("utf-8")) == table
    # another budget is another table
    assert swept(verses, out, "--steps", "4", *OPTIONS, "--seeds", "2") == 1
    assert "holds runs of another text, recipe or budget" in capsys.readouterr().err


def test_runs_that_fail_are_named(verses, tmp_path, capsys):
    bad = ["--sweep", "training.window=8,60000", "--steps", "2", "--set", "training.batch_size=64"]
    assert swept(verses, tmp_path / "s", *bad) == 1
    printed = capsys.readouterr()
    assert "1 of 2 runs failed; the first: " in printed.err or "2 of 2 runs failed; the first: " in printed.err
    assert any(run["error"] for row in json.loads(printed.out)["rows"] for run in row["runs"])


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_sweep_with_one_line(verses, tmp_path, monkeypatch, capsys, number, more):
    def interrupted(*args, **options):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr("ostinato.sweeps.run.make_all", interrupted)
    before = signal.getsignal(number)
    out = tmp_path / "s"
    assert swept(verses, out, "--seeds", "2", *more) == 128 + number
    printed = capsys.readouterr()
    same = "run the same command without --overwrite" if more else "run the same command"
    assert (printed.out, printed.err) == ("", f"interrupted; {same} to continue ({out})\n")
    assert json.loads((out / "sweep.json").read_text("utf-8"))["rows"][0]["runs"][0]["evaluation"] is None
    assert signal.getsignal(number) == before


@pytest.mark.slow
def test_a_terminal_s_ctrl_c_lets_the_runs_save(verses, tmp_path):
    """It goes to every process of the group at once; a run that gets two signals ends without saving."""
    out = tmp_path / "s"
    run = out / "seed1"
    options = [*OPTIONS, "--set", "model.mixture=none", "--minutes", "30", "--seeds", "2", "--jobs", "1", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "train", verses, "-o", out, *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while not (before := checkpoint_in(run)) and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, f"interrupted; run the same command to continue ({out})\n")
    assert checkpoint_in(run) not in ("", before)
    assert (run / "model" / "manifest.json").is_file()
    assert not (run / ".ostinato.lock").exists()
    assert not (out / "seed2").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds must be between 1 and 1000, got 0"),
        (["--sweep", "model.cell"], "--sweep needs different values"),
        (["--sweep", "model.cell=gru,gru"], "--sweep needs different values"),
        (["--sweep", "model.cell=gru,grue"], "got 'grue' (did you mean gru?); if it is a cell of your own"),
        (["--sweep", "model.cell=gru", "--sweep", "model.cell=rnn"], "names model.cell twice"),
        (["--sweep", "model.hiden_size=8,16"], "--sweep model.hiden_size=8: [model] has no field"),
        (["--sweep", "model.hiden_size=8,16"], ": did you mean model.hidden_size?"),
        (["--seeds", "2", "--jobs", "0"], "--jobs must be between 1 and 256, got 0"),
    ],
)
def test_wrong_use(verses, tmp_path, capsys, options, message):
    assert swept(verses, tmp_path / "s", *options) in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_standard_input_and_a_strange_folder(verses, tmp_path, capsys):
    assert main(["train", "-", "--seeds", "2", "-o", str(tmp_path / "s")]) == 2
    assert "give a file, not -" in capsys.readouterr().err
    assert swept(verses, tmp_path, "--seeds", "2") == 1
    assert "holds something else than several runs" in capsys.readouterr().err


def finished(out, *evaluations):
    """A folder whose runs, one per seed, are finished: a network each, with these evaluations."""
    for seed, evaluation in enumerate(evaluations, 1):
        (out / f"seed{seed}").mkdir(parents=True)
        result = {"model": "m", "best_step": 3, "evaluation": evaluation}
        (out / f"seed{seed}" / "result.json").write_text(json.dumps(result), "utf-8")
    (out / "sweep.json").write_text("{}", "utf-8")
    return out, ["--seeds", str(len(evaluations))]


def measured(perplexity):
    return {"perplexity": perplexity, "bits_per_character": perplexity / 2}


def test_a_mixture_has_a_column_for_its_network(verses, tmp_path, capsys):
    mixed = {split: measured(4.0) for split in ("held-out", "test")}
    networks = {"held-out, network": measured(6.0), "test, network": measured(7.0)}
    bare = {split: measured(8.0) for split in ("held-out", "test")}
    out, options = finished(tmp_path / "s", {**mixed, **networks, "held-out, unigram": measured(99.0)}, bare)
    assert main(["train", str(verses), "-o", str(out), "--quiet", *options]) == 0
    printed = capsys.readouterr()
    assert "--set model.mixture=none" in printed.err
    header, row = printed.out.splitlines()
    assert header.index("held-out perplexity") < header.index("held-out, network perplexity")
    assert header.index("held-out, network perplexity") < header.index("test perplexity")
    assert row.index("6.000 ± 2.83") < row.index("7.000 ± 1.41")  # the bare network counts as its own
    assert "99" not in row
    assert swept(verses, out, *options) == 0
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)["rows"]
    assert "--set model.mixture=none" in printed.err
    assert row["figures"]["held-out, network"]["perplexity"]["mean"] == 7.0
    assert row["figures"]["test, network"]["bits_per_character"]["mean"] == 3.75
    with (out / "sweep.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["held-out, network perplexity"] for line in lines] == ["6.0", "8.0"]


def test_info_of_a_sweep_with_a_single_run(tmp_path, capsys):
    out, _ = finished(tmp_path / "s", {"held-out": measured(4.0)})
    assert main(["info", str(out)]) == 0
    assert "is a sweep with 1 finished run; it has no table yet" in capsys.readouterr().out


def test_info_of_a_sweep(verses, tmp_path, capsys):
    out, options = finished(tmp_path / "s", {"held-out": measured(4.0)}, {"held-out": measured(5.0)})
    assert main(["info", str(out)]) == 0
    assert "is a sweep with 2 finished runs; it has no table yet; for one run" in capsys.readouterr().out
    assert swept(verses, out, *options) == 0
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    told = capsys.readouterr().out
    assert f"2 finished runs; its table is {out / 'sweep.csv'}; for the best run: ostinato info {out / 'seed1'}" in told
    assert told.count("\n") == 1
    assert main(["info", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] == ["seed1", "seed2"]
    assert told["best"] == {"folder": "seed1", "figure": "bits_per_character", "value": 2.0}


def test_a_sweep_given_as_a_model_names_its_models_and_the_best(verses, tmp_path, capsys):
    out, options = finished(tmp_path / "s", *({"held-out": measured(value)} for value in (5.0, 4.0, 6.0, 7.0)))
    for run in out.glob("seed*"):
        (run / "model").mkdir()
        (run / "model" / "config.json").write_text("{}", "utf-8")
    assert main(["write", str(out), "风"]) == 1
    line = f"no model at {out} itself: it holds 4 models, seed1, seed2, seed3 and 1 more; give one of them, such as "
    assert f"{line}{out / 'seed1'}\n" in capsys.readouterr().err
    assert main(["train", str(verses), "-o", str(out), *options, "--quiet"]) == 0
    printed = capsys.readouterr()
    assert f"the best run by held-out bits per character, 2: {out / 'seed2'}" in printed.err
    for command in (["write", str(out), "风"], ["score", str(out), str(verses)], ["export", str(out), "--to", "html"]):
        assert main(command) == 1
        best = f"give the best by the held-out text (bits per character 2), {out / 'seed2'}, or another one"
        assert best in capsys.readouterr().err


@pytest.mark.usefixtures("cells_stay")
def test_a_sweep_does_not_go_on_with_an_edited_file_of_cells(verses, tmp_path, capsys):
    out, options = finished(tmp_path / "s", {"held-out": measured(4.0)})
    file = tmp_path / "own.py"
    code = (
        "from ostinato.cells import Cell, register\nregister(Cell('own-still', 1, ('h',), lambda x, s, w: (s[0],)))\n"
    )
    file.write_text(code, "utf-8")
    options += ["--cell-file", str(file), "--set", "model.cell=own-still"]
    assert swept(verses, out, *options) == 0
    assert swept(verses, out, *options) == 0
    file.write_text(code.replace("(s[0],)", "(-s[0],)"), "utf-8")
    capsys.readouterr()
    assert swept(verses, out, *options) == 1
    assert "holds runs with other files of cells (--cell-file): give the files as they were" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["[1]", "no JSON", '{"verses": 3}'])
def test_info_of_texts_beside_such_a_file(verses, capsys, table):
    (verses.parent / "sweep.json").write_text(table, "utf-8")
    assert main(["info", str(verses.parent)]) == 0
    assert "vocabulary of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("train", "--minutes", "0"),
        ("train", "--epochs", "-1"),
        ("train", "--steps", "-1"),
        ("train", "--seed", "-1"),
        ("compare", "--minutes", "0.0001"),
    ],
)
def test_a_budget_out_of_range_names_its_option(verses, tmp_path, capsys, command, option, value):
    assert main([command, str(verses), "-o", str(tmp_path / "m"), option, value]) == 2
    assert capsys.readouterr().err.startswith(f"ostinato: {option} must be ")


def test_bare_networks_have_no_such_column(verses, tmp_path, capsys):
    out, options = finished(tmp_path / "s", {"held-out": measured(4.0)}, {"held-out": measured(5.0)})
    assert main(["train", str(verses), "-o", str(out), "--quiet", *options]) == 0
    printed = capsys.readouterr()
    assert "network" not in printed.out
    assert "mixture" not in printed.err
    assert "network" not in (out / "sweep.csv").read_text("utf-8")


@pytest.mark.parametrize(("other", "shown"), [(4 * (1 + 1e-12), "4.000 ± 0 "), (4.00001, "4.000 ± 7.07e-06 ")])
def test_a_deviation_that_is_rounding_is_0(verses, tmp_path, capsys, other, shown):
    out, options = finished(tmp_path / "s", {"held-out": measured(4.0)}, {"held-out": measured(other)})
    assert main(["train", str(verses), "-o", str(out), "--quiet", *options]) == 0
    assert shown in capsys.readouterr().out
