"""A script that uses the public interface passes `mypy --strict` against the package."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
from collections.abc import Iterator
from pathlib import Path

import ostinato
from ostinato import Form, Model, Sampler, WriteRequest


def learn(text: Path, out: Path) -> Model:
    model: Model = ostinato.train(str(text), out=out, minutes=1, recipe="words", settings={"model": {"cell": "gru"}})
    return model


def use(folder: Path) -> float:
    model = ostinato.load(folder, precision="int8")
    line: str = model.write("The night", lines=4, temperature=0.7, seed=3)
    lines: list[str] = model.write(["one", "two"], tokens=20)
    pieces: Iterator[str] = model.stream("The night", lines=2)
    print(line, *lines, *pieces)
    verse: str = model.write(form=Form(lines=4, length=8, rhyme="AABB"), seed=1)
    one = model.score(verse)
    many = model.score([line, verse])
    print([evaluation.bits_per_character for evaluation in many])
    request = WriteRequest(prompt="The", sampler=Sampler(temperature=0.5), seed=2)
    print(list(model.events(request)))
    return one.perplexity
"""


def checked(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script, "utf-8")
    cache = ROOT / ".mypy_cache" / "user"
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
         "--cache-dir", str(cache), "script.py"],
        cwd=folder, env={"MYPYPATH": str(ROOT / "src"), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_users_script_passes_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    done = checked(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr
    done = checked(tmp_path, SCRIPT.replace("return one.perplexity", "return one"))  # the types are seen, not Any
    assert done.returncode == 1
    assert "Incompatible return value type" in done.stdout
