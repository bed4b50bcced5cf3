# ruff: noqa: E501
"""Makes the bundles and checkpoints of this folder, with what they answer: `python make.py`.

Run it once per version whose files must stay readable, from a clone of that version; the result is committed and never
made anew. `answers.json` holds commands, relative to this folder, and what they printed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OSTINATO_ISA": "portable", "PYTHONIOENCODING": "utf-8"}
SMALL = ("model.hidden_size=12", "model.embedding_size=6", "training.batch_size=4", "training.window=8",
         "training.precision=fp32", "training.evaluate_every=1", "model.backend=torch")  # fmt: skip

VERSES = "".join(
    f"# 歌{n}\n{a}在{b}里等{c}\n{c}在{a}里等{b}\nthe {n} winds\n\n"
    for n, (a, b, c) in enumerate([(x, y, z) for x in "风雨山海" for y in "春秋夜" for z in "你我他"])
)

RUNS: dict[str, list[str]] = {
    "lstm": ["verses.txt", "--steps", "30"],
    "gru-words": ["verses.txt", "--steps", "20", "--set", "text.tokenizer=word", "--set", "model.cell=gru",
                  "--set", "model.layers=2", "--set", "model.embedding_size=12", "--set", "model.tied=true"],
    "rnn-bytes": ["verses.txt", "--steps", "20", "--set", "text.tokenizer=byte", "--set", "model.cell=rnn",
                  "--set", "model.embedding_size=0", "--set", "model.tied=false", "--set", "training.sampling=random"],
    "backward": ["verses.txt", "--steps", "30", "--set", "text.direction=backward", "--set", "text.documents=^# "],
    "songs": ["verses.txt", "--steps", "30", "--set", "text.documents=^# ", "--set", "text.heldout=0.2"],
    "window": ["verses.txt", "--steps", "20", "--set", "model.context=3", "--set", "text.tokenizer=whitespace"],
    "kneser-ney": ["verses.txt", "--recipe", "kneser-ney"],
    "classify": ["classes.csv", "--task", "classify", "--steps", "20"],
    "tag": ["tags.txt", "--task", "tag", "--steps", "20"],
    "translate": ["pairs.tsv", "--task", "translate", "--steps", "20"],
    "next-line": ["verses.txt", "--task", "next-line", "--steps", "20", "--set", "text.documents=^# ", "--set", "text.heldout=0.2"],
    "forecast": ["series.csv", "--task", "forecast", "--steps", "20"],
}  # fmt: skip

WRITE = ["--seed", "7", "--json", "--tokens", "40"]
ANSWERS: list[list[str]] = [
    *(["write", name, "风", *WRITE] for name in ("lstm", "gru-words", "rnn-bytes", "songs", "window", "kneser-ney")),
    *(["score", name, "verses.txt", "--json"] for name in ("lstm", "gru-words", "rnn-bytes", "backward", "songs", "window", "kneser-ney", "mixture")),
    ["write", "backward", "你", "--seed", "7", "--json", "--lines", "3"],
    ["write", "mixture", "风", *WRITE],
    ["write", "songs", "--count", "3", "--seed", "5", "--temperature", "0.7", "--top-k", "9", "--json", "--lines", "4"],
    ["write", "songs", "风", "--title", "春", "--seed", "5", "--top-p", "0.9", "--min-p", "0.01", "--repetition-penalty", "1.2", "--json"],
    ["write", "songs", "--lines", "4", "--length", "5", "--rhyme", "AABA", "--seed", "3", "--json"],
    ["write", "backward", "--lines", "2", "--length", "3-7", "--rhyme", "AA", "--seed", "3", "--json"],
    ["write", "kneser-ney", "--lines", "2", "--acrostic", "春夜", "--seed", "3", "--json"],
    ["predict", "classify", "classes.csv", "--json"],
    ["predict", "tag", "tags.txt", "--json"],
    ["predict", "translate", "sources.txt", "--json"],
    ["predict", "next-line", "sources.txt", "--json"],
    ["predict", "forecast", "series.csv", "--json"],
]  # fmt: skip


def ostinato(*arguments: str, folder: Path = HERE, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the command line in `folder`."""
    return subprocess.run([sys.executable, "-m", "ostinato", *arguments], cwd=folder, env=ENVIRONMENT, check=check,
                          capture_output=True, encoding="utf-8")  # fmt: skip


def sources() -> None:
    """The texts and tables."""
    lines = [line for line in VERSES.splitlines() if line and not line.startswith("#")]
    files = {
        "verses.txt": VERSES,
        "classes.csv": "text,label\n" + "".join(f"{s},{'en' if s.isascii() else 'zh'}\n" for s in lines[:40]),
        "tags.txt": "".join(f"{s}\t{''.join('p' if c in '在里' else 'o' for c in s)}\n" for s in lines[:30] if not s.isascii()),
        "pairs.tsv": "".join(f"{s}\t{s[::-1]}\n" for s in lines[:40]),
        "series.csv": "month,value\n" + "".join(f"{n},{(n % 12) * 3 + n}\n" for n in range(96)),
        "sources.txt": "\n".join(lines[:4]) + "\n",
    }  # fmt: skip
    for name, text in files.items():
        (HERE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    sources()
    for name, arguments in RUNS.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        small = [] if name == "kneser-ney" else [v for s in SMALL for v in ("--set", s)]
        if name in ("rnn-bytes", "gru-words"):
            small = [v for s in SMALL if not s.startswith("model.embedding_size") for v in ("--set", s)]
        if name == "forecast":
            small = [v for s in SMALL if "window" not in s and "embedding" not in s for v in ("--set", s)]
        done = ostinato("train", *arguments, *small, "-o", name, "--seed", "1", "--quiet", check=False)
        print(name, done.returncode, done.stderr.strip()[-300:])
        for picture in ("loss.svg", "loss.png"):
            (HERE / name / picture).unlink(missing_ok=True)
    shutil.rmtree(HERE / "mixture", ignore_errors=True)
    small = [v for s in SMALL for v in ("--set", s)]
    done = ostinato(
        "compare", "verses.txt", "--set", "training.steps=20", *small, "-o", "mixture", "--quiet", check=False
    )
    print("compare", done.returncode, done.stderr.strip()[-300:])
    for path in (HERE / "mixture").iterdir():
        if path.name != "model":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    answers = []
    for arguments in ANSWERS:
        done = ostinato(*arguments, check=False)
        print(*arguments, done.returncode, done.stderr.strip()[-200:])
        answers.append({"command": arguments, "printed": json.loads(done.stdout)})
    text = json.dumps(answers, ensure_ascii=False, indent=1)
    (HERE / "answers.json").write_text(text + "\n", "utf-8")
    resumed = {}
    for name, arguments in RUNS.items():
        if name != "kneser-ney":
            steps = int(arguments[arguments.index("--steps") + 1]) + 6
            command = ["train", arguments[0], "-o", name, "--resume", "--steps", str(steps), "--quiet", "--json"]
            kept = HERE / f"{name}.kept"
            shutil.copytree(HERE / name, kept)
            done = ostinato(*command, check=False)
            print(*command, done.returncode, done.stderr.strip()[-200:])
            row = json.loads((HERE / name / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
            resumed[name] = {"command": command, "printed": json.loads(done.stdout), "train_loss": row["train_loss"]}
            shutil.rmtree(HERE / name)
            kept.rename(HERE / name)
    (HERE / "resumed.json").write_text(json.dumps(resumed, ensure_ascii=False, indent=1) + "\n", "utf-8")
