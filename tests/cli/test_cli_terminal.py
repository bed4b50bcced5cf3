"""Every command in front of a real terminal, with names and texts that would act on it; and without one."""

import io
import os
import pty
import select
import subprocess
import sys

import pytest

from ostinato.cli.main import main

EVIL = "\x1b]0;pwned\x07\x1b[31m\u202e"
SMALL = ["--set", "model.hidden_size=8", "--set", "training.batch_size=4", "--set", "training.window=8"]


def in_terminal(*arguments, typed=b"", env=None, cwd=None):
    """Exit code and everything that a pseudo-terminal was sent."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ostinato", *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "", **(env or {})}, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    if typed:
        os.write(master, typed)
    output = b""
    while True:
        if select.select([master], [], [], 120)[0] == []:
            process.kill()
            break
        try:
            if not (chunk := os.read(master, 65536)):
                break
        except OSError:  # the other end is closed
            break
        output += chunk
    os.close(master)
    return process.wait(120), output


def acts(output):
    """What is left that acts on a terminal, after our own erasing and shading."""
    text = output.decode("utf-8", "replace")
    for ours in (
        "\r\x1b[K",
        "\x1b[0m",
        "\r\n",
        *(f"\x1b[30;48;5;{shade}m" for shade in (230, 223, 216, 209, 203, 197)),
    ):
        text = text.replace(ours, "")
    return [c for c in text if (ord(c) < 32 and c not in "\t\n\r") or 0x7F <= ord(c) < 0xA0 or c == "\u202e"]


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A folder with a text, a model, labelled rows and a classifier, whose names and contents act on terminals."""
    folder = tmp_path_factory.mktemp("evil")
    text = "".join(f"# {EVIL}{n}\nsing {EVIL} again {n % 7}\nand \x9b again\n\n" for n in range(60))
    (folder / f"{EVIL}.txt").write_text(text, "utf-8")
    rows = "".join(f"{EVIL}{'ab'[n % 2]},word {'xy'[n % 2]} {EVIL} {n % 5}\n" for n in range(40))
    (folder / "rows.csv").write_text(f"{EVIL}label,text{EVIL}\n{rows}", "utf-8")
    options = ["--quiet", "--json", "--steps", "12", *SMALL]
    assert main(["train", str(folder / f"{EVIL}.txt"), "-o", str(folder / f"m{EVIL}"), *options]) == 0
    (folder / "labelled.csv").write_text("label,text\n" + rows, "utf-8")
    assert main(["train", str(folder / "labelled.csv"), "--task", "classify", "-o", str(folder / "c"), *options]) == 0
    return folder


def commands(folder):
    text, model = folder / f"{EVIL}.txt", folder / f"m{EVIL}"
    return {
        "train": ["train", text, "-o", folder / f"t{EVIL}", "--steps", "4", "--overwrite", *SMALL],
        "write": ["write", model, EVIL, "--tokens", "60", "--seed", "1", "--novelty"],
        "write --json": ["write", model, EVIL, "--tokens", "60", "--seed", "1", "--json"],
        "suggest": ["suggest", model, EVIL, "--seed", "1"],
        "score": ["score", model, text],
        "score --per-token": ["score", model, text, "--per-token"],
        "compare": ["compare", text, "--minutes", "0", "--order", "2", "--no-dynamic"],
        "predict": ["predict", folder / "c", folder / "labelled.csv"],
        "info model": ["info", model],
        "info text": ["info", text],
        "bench": ["bench", "--hidden", "8", "--vocabulary", "9", "--rounds", "1"],
        "missing": ["info", folder / f"{EVIL}none"],
        "unknown option": ["info", f"--{EVIL}"],
        "unknown column": ["train", folder / "rows.csv", "--task", "classify", "-o", folder / "x"],
    }


@pytest.mark.parametrize("name", list(commands(__import__("pathlib").Path())))
def test_nothing_acts_on_the_terminal(evil, name):
    code, output = in_terminal(*commands(evil)[name], typed=b"1\r=\xff\x80 mine\rq\r" if name == "suggest" else b"")
    if name == "suggest":  # the line editor echoes and moves; what we say comes after it
        output = output[output.rfind(b"q") :]
    assert acts(output) == []
    assert b"Traceback" not in output
    assert b"a bug in ostinato" not in output
    assert code == (1 if name in ("missing", "unknown column") else 2 if name == "unknown option" else 0), output


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii"])
def test_streams_of_a_narrow_encoding(model, encoding, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0"}
    for arguments in (["--help"], ["write", "--help"], ["write", model, "风", "--tokens", "9"], ["info", model],
                      ["write", model, "风𠮷", "--tokens", "9", "--json"], ["info", tmp_path / "没有𠮷"]):  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "ostinato", *arguments], capture_output=True, env=environment)
        assert done.returncode == (1 if "没有𠮷" in str(arguments[-1]) else 0)
        assert b"Traceback" not in done.stderr
        assert b"bug in ostinato" not in done.stderr
        done.stdout.decode(encoding)
        assert done.stdout or done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "2>/dev/full"])
def test_closed_streams(model, closed, tmp_path):
    command = f'"{sys.executable}" -m ostinato write "{model}" 风 --tokens 9 --seed 1 {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    if closed != ">&- 2>&-":
        assert "风" in done.stdout + done.stderr


def test_a_full_disk_behind_standard_output_is_one_line(model):
    command = f'"{sys.executable}" -m ostinato write "{model}" 风 --tokens 9 >/dev/full'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "ostinato: No space left on device\n")


def test_prompts_of_every_shape(model, capsys, monkeypatch):
    def written(*arguments):
        assert main(["write", str(model), *arguments]) == 0
        return capsys.readouterr().out

    end = ["--tokens", "6", "--seed", "3"]
    assert "-dash" in written(*end, "--", "-dash")
    assert "--lines" in written(*end, "--", "--lines")
    assert "-5" in written(*end, "-5")
    assert "风 在 the night" in written("风", "在", *end, "the", "night")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("风起\n".encode())))
    assert "风起" in written("-", *end)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian", "x"], "train"),
        (["write", "m", "--lnes", "3"], "--lines"),
        (["train", "lyrics-en", "--set", "model.cel=gru"], "model.cell"),
        (["train", "lyrics-en", "--recipe", "kneser-nay"], "kneser-ney"),
        (["info", "lyrics-zn"], "lyrics-zh"),
        (["write", "verses-mdel"], "verses-model"),
        (["train", "lyrics-en", "--task", "clasify"], "classify"),
        (["write", "verses-model", "--search", "beem"], "beam"),
    ],
)
def test_did_you_mean(arguments, meant, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verses-model").mkdir()
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    assert code in (1, 2)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"did you mean {meant}?" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--lines", "9" * 30],
        ["--seed", "9" * 5000],
        ["--tokens", "-9" + "9" * 30],
        ["--count", "99999999999"],
    ],
)
def test_numbers_out_of_reach(model, capsys, arguments):
    try:
        code = main(["write", str(model), *arguments])
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1000
    assert "bug in ostinato" not in captured.err


def test_budgets_out_of_reach_and_empty_names(verses, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["train", "verses.txt", "--epochs", "1e308"],
        ["train", "verses.txt", "--minutes", "1e300"],
        ["train", "verses.txt", "--steps", "9" * 15],
        ["train", ""],
        ["train", "verses.txt", "-o", ""],
        ["info", ""],
        ["write", ""],
    ):
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = exit_.code
        assert code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["verses.txt"]


def test_a_tiny_text_has_numbers_too(tmp_path, capsys):
    (tmp_path / "tiny.txt").write_text("ab\n")
    assert main(["info", str(tmp_path / "tiny.txt")]) == 0
    assert "3 characters" in capsys.readouterr().out


def test_standard_input_is_read_once(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(range(256)) * 20)))
    assert main(["info", "-"]) == 1
    assert "standard input is empty" not in capsys.readouterr().err
