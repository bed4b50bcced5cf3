"""The command line as a user meets it: outputs, exit codes, one line for every failure."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from ostinato.cli.main import COMMANDS, main


def run(*arguments, **options):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ostinato", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def failing(capsys, *arguments):
    """Run in this process; returns the exit code and the one line on standard error."""
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("ostinato: ")
    return code, lines[0]


def test_import_is_light():
    program = (
        "import sys, ostinato; ostinato.__version__; "
        "print([m for m in ('torch', 'numpy', 'safetensors', 'rjieba', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_writing_scoring_and_info_never_import_torch(model):
    program = (
        "import sys; from ostinato.cli.main import main; "
        "codes = [main(a) for a in (['write', sys.argv[1], '风', '--lines', '2'], ['info', sys.argv[1]], "
        "['score', sys.argv[1], 'lyrics-en'])]; "
        "print(codes, 'torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, model], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0] False False"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"usage: ostinato {command}" in capsys.readouterr().out


def test_wrong_use_exits_2(capsys):
    wrong = (
        ["write", "m", "--loud", "1"],
        ["bench", "a"],
        ["--json", "info"],
        ["info", "--x"],
    )
    for arguments in ([], ["sing"], ["write"], ["train", "x", "--steps", "many"], *wrong):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
    capsys.readouterr()


def test_write_streams_and_repeats(model):
    first = run("write", model, "风在", "--lines", 3, "--seed", 5)
    again = run("write", model, "--lines", 3, "--seed", 5, "风在")
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    title, *lines = first.stdout.rstrip("\n").split("\n")
    assert title.startswith("# ")
    assert lines[0].startswith("风在")


def test_write_several_as_json(model, capsys):
    assert main(["write", str(model), "月", "--count", "3", "--tokens", "12", "--seed", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["seed"] == 1
    assert len(report["texts"]) == 3
    assert all(t["text"].startswith("月") for t in report["texts"])
    assert main(["write", str(model), "月", "--count", "3", "--tokens", "12", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(t["text"] in shown for t in report["texts"])


@pytest.mark.parametrize("prompt", ["", "𠮷野家 🎵 Ω", "a\nb", "# 题\n一", " "])
def test_any_prompt_works(model, capsys, prompt):
    assert main(["write", str(model), prompt, "--tokens", "10", "--seed", "2"]) == 0
    assert prompt.strip() in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "write", model, "--tokens", "5000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.read(5)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert "Traceback" not in errors
    assert errors == ""


def test_score_reads_files_and_standard_input(model, verses):
    from_file = run("score", model, verses, "--json")
    report = json.loads(from_file.stdout)
    assert report["perplexity"] > 1
    assert report["split"] == "given"
    piped = run("score", model, "-", "--json", input=verses.read_text("utf-8"))
    assert json.loads(piped.stdout) == pytest.approx(report)
    assert "bits per character" in run("score", model, verses).stdout


def test_info_of_model_text_and_machine(model, verses, capsys):
    assert main(["info", str(model)]) == 0
    assert "every file matches its checksum" in capsys.readouterr().out
    assert main(["info", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "mixture"
    assert main(["info", "lyrics-zh", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["train"]["documents"] + report["heldout"]["documents"] == 695
    assert main(["info", str(verses)]) == 0
    assert "held out" in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernels"]["available"]


def test_bad_texts(tmp_path, capsys):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a.txt", "0" * 50_000_000)
    (tmp_path / "short.txt").write_text("too short to train on, but no crash\n" * 2)
    for name, message in [
        ("missing.txt", "missing.txt"),
        ("empty.txt", "is empty"),
        ("folder", "no text"),
        ("binary", "binary"),
        ("broken.zip", "zip"),
        ("bomb.zip", "bomb.zip"),
        ("short.txt", "too short"),
    ]:
        code, line = failing(
            capsys, "train", tmp_path / name, "-o", tmp_path / "out", "--quiet", "--overwrite",
            "--set", "training.window=64", "--set", "training.batch_size=8",
        )  # fmt: skip
        assert code == 1, line
        assert message in line


def test_files_whose_names_are_not_utf8(verses, tmp_path):
    try:
        (tmp_path / os.fsdecode(b"song\xff.txt")).write_bytes(verses.read_bytes())
    except OSError:
        pytest.skip("the file system refuses such names")
    name = os.fsdecode(b"song\xff.txt")
    command = [sys.executable, "-m", "ostinato"]
    options = {"capture_output": True, "check": True, "cwd": tmp_path}
    done = subprocess.run([*command, "train", name, "--recipe", "kneser-ney", "--json"], **options)
    assert b'"model": "song\xff-model/model"' in done.stdout
    done = subprocess.run([*command, "info", os.fsdecode(b"song\xff-model")], **options)
    assert b"model of song\\udcff.txt" in done.stdout


@pytest.mark.parametrize(
    ("option", "given", "message"),
    [("--minutes", "abc", "--minutes: must be a number, got 'abc'"),
     ("--steps", "1.5", "--steps: must be a whole number, got '1.5'")],
)  # fmt: skip
def test_what_is_no_number(verses, capsys, option, given, message):
    with pytest.raises(SystemExit, match="2"):
        main(["train", str(verses), option, given])
    assert message in capsys.readouterr().err


def test_bad_settings(verses, tmp_path, capsys):
    (tmp_path / "r.toml").write_text("[model]\ncells = 'gru'\n")
    for arguments, message in [
        (["--set", "model.sell=gru"], "has no field 'sell'"),
        (["--recipe", tmp_path / "r.toml"], "has no field 'cells'"),
        (["--recipe", "sonata"], "no recipe 'sonata'"),
        (["--minutes", "-1"], "--minutes must be between 0.001 and"),
        (["--device", "abacus"], "device must be one of"),
    ]:
        code, line = failing(capsys, "train", verses, "-o", tmp_path / "out", "--quiet", *arguments)
        assert (code, message in line) == (2, True), line


def test_bad_models(model, tmp_path, capsys):
    code, line = failing(capsys, "write", tmp_path / "none")
    assert (code, "the folder does not exist; train one with" in line) == (1, True)
    copy = tmp_path / "copy"
    import shutil

    shutil.copytree(model, copy)
    weights = copy / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for command in ("write", "score", "info"):
        more = ["lyrics-en"] if command == "score" else []
        code, line = failing(capsys, command, copy, *more)
        assert (code, "does not match its checksum" in line) == (1, True)


def test_bad_writing_options(model, capsys):
    for option, value in [
        ("--temperature", "-1"),
        ("--top-p", "1.5"),
        ("--lines", "0"),
        ("--count", "0"),
        ("--seed", "-1"),
    ]:
        code, line = failing(capsys, "write", model, option, value)
        assert (code, value in line) == (2, True), line


def test_a_fault_of_our_own_is_one_line(monkeypatch, capsys):
    def broken(args):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("ostinato.cli.info.run", broken)
    code, line = failing(capsys, "info")
    assert code == 1
    assert "a bug in ostinato: ZeroDivisionError" in line
    monkeypatch.setenv("OSTINATO_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["info"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupting_training_saves(verses, tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", "train", verses, "-o", tmp_path / "m", "--minutes", "30",
         "--set", "model.hidden_size=16", "--set", "training.batch_size=4", "--set", "training.window=8"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "m" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert "(interrupted)" in output
    assert "stopping: saving and evaluating; --resume goes on" in errors
    assert f"continue: ostinato train {verses} -o {tmp_path / 'm'} --resume\n" in errors
    assert "Traceback" not in errors
    assert run("write", tmp_path / "m", "--tokens", "5").returncode == 0


def test_resume_through_the_command_line(verses, tmp_path):
    options = ["--set", "model.hidden_size=16", "--set", "training.batch_size=4", "--set", "training.window=8"]
    first = run("train", verses, "-o", tmp_path / "m", "--steps", 5, "--quiet", *options)
    assert first.returncode == 0, first.stderr
    refused = run("train", verses, "-o", tmp_path / "m", "--steps", 5, "--quiet", *options)
    assert refused.returncode == 1
    assert "already holds a run" in refused.stderr
    resumed = run("train", verses, "-o", tmp_path / "m", "--steps", 9, "--resume", "--quiet", "--json")
    assert json.loads(resumed.stdout)["steps"] == 9


def test_bench_runs_at_a_tiny_size(capsys):
    assert main(["bench", "--hidden", "16", "--vocabulary", "20", "--rounds", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"ostinato fp32", "ostinato int8"} <= {row["name"] for row in report["rows"]}
    assert main(["bench", "--hidden", "16", "--vocabulary", "20", "--rounds", "1"]) == 0
    assert "tokens/s" in capsys.readouterr().out
    code, line = failing(capsys, "bench", "--rounds", "0")
    assert (code, "--rounds must be 1 or more, got 0" in line) == (2, True)


def test_the_card_says_what_int8_costs(model, capsys):
    network = str(model / "network")
    assert main(["info", network]) == 0
    assert "int8 weights: perplexity" in capsys.readouterr().out
    assert main(["info", network, "--json"]) == 0
    int8 = json.loads(capsys.readouterr().out)["int8"]
    assert int8["perplexity"] == pytest.approx(int8["fp32"], rel=0.02)
