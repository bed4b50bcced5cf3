"""n-gram models: build time, perplexity, scoring speed and sizes on WikiText-2 and tinyshakespeare, beside KenLM.

    python benchmarks/ngram.py [--data DIR] [--kenlm PYTHON] [--sentences N]

--kenlm names a Python that has the package `kenlm` (it is no dependency): our ARPA file is then read by it, and both
give log-probabilities for the same sentences. Figures go to standard output as Markdown tables.
"""

import argparse
import json
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from ostinato.kernels import choose_isa
from ostinato.ngram import NgramModel, fit_ngram, token_names, write_arpa
from ostinato.settings import TextSettings
from ostinato.text import Corpus, prepare

DATA = Path(__file__).parents[2] / "shared" / "data"

KENLM = """
import json, sys, time
def resident():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024
before = resident()
import kenlm
model = kenlm.Model(sys.argv[1])
memory = resident() - before
sentences = open(sys.argv[2], encoding="utf-8").read().splitlines()
exact = [sum(p for p, _, _ in model.full_scores(s)) for s in sentences]
speeds = []
for _ in range(5):
    started = time.perf_counter()
    single = [model.score(s) for s in sentences]
    speeds.append(sum(len(s.split()) + 1 for s in sentences) / (time.perf_counter() - started))
print(json.dumps({"memory": memory, "speed": max(speeds), "exact": exact, "single": single}))
"""


def wikitext(data: Path, folder: Path) -> tuple[Corpus, Corpus]:
    """Training and test text, every line that is not blank a document, its words parted by single blanks."""
    with zipfile.ZipFile(data / "wikitext-2.zip") as archive:
        for name in ("train", "test"):
            lines = archive.read(f"wikitext-2/{name}.txt").decode().split("\n")
            (folder / f"{name}.txt").write_text("".join(" ".join(line.split()) + "\n" for line in lines), "utf-8")
    settings = TextSettings(tokenizer="whitespace", documents="lines", heldout=0.0)
    train = prepare([folder / "train.txt"], settings, folder / "train-ids")
    test = prepare([folder / "test.txt"], settings, folder / "test-ids", tokenizer=train.tokenizer)
    return train, test


def fastest(model: NgramModel, ids: np.ndarray, repeats: int = 5) -> float:
    """Tokens scored a second, the best of several runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        model.score(ids)
        times.append(time.perf_counter() - started)
    return len(ids) / min(times)


def row(order: int, training: np.ndarray, test: np.ndarray, size: int) -> None:
    """Count, measure, print one line of the table."""
    started = time.perf_counter()
    model = fit_ngram(training, size, order=order)
    seconds = time.perf_counter() - started
    perplexity = float(np.exp(-model.score(test).mean()))
    kept = sum(array.nbytes for array in model.arrays.values()) / 1e6
    derived = sum(level.share.nbytes + level.weight.nbytes for level in model.levels) / 1e6
    print(
        f"| {order} | {sum(model.sizes):,} | {perplexity:.2f} | {np.log2(perplexity):.3f} | {seconds:.2f} "
        f"| {fastest(model, test) / 1e6:.1f} | {kept:.1f} | {kept + derived:.1f} |",
        flush=True,
    )


def table(title: str, orders: range, training: np.ndarray, test: np.ndarray, size: int) -> None:
    """One table."""
    print(f"\n### {title} ({len(training):,} training, {len(test):,} test tokens, vocabulary {size:,})\n")
    print(
        "| order | n-grams | test perplexity | bits a token | counting, s | M tokens/s | bundle, MB | in memory, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for order in orders:
        row(order, training, test, size)


def beside_kenlm(python: str, model: NgramModel, train: Corpus, test: Corpus, folder: Path, count: int) -> None:
    """The same sentences through both."""
    sentences = []
    for corpus in (test, train):
        for text in corpus.texts("train"):
            sentences += [part.strip() for part in text.split(" . ") if part.strip()]
    sentences = sentences[:count]
    with (folder / "model.arpa").open("w", encoding="utf-8") as file:
        write_arpa(model, token_names(train.tokenizer), file)
    (folder / "sentences.txt").write_text("\n".join(sentences) + "\n", "utf-8")
    answer = subprocess.run(
        [python, "-c", KENLM, str(folder / "model.arpa"), str(folder / "sentences.txt")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    theirs = json.loads(answer.splitlines()[-1])
    ids = train.tokenizer.encode_documents(sentences)
    ends = np.flatnonzero(ids == 0) + 1
    ours = np.add.reduceat(model.score(ids), np.concatenate([[0], ends[:-1]])) / np.log(10)
    print(f"\n### Beside KenLM, order {model.order}, {len(sentences):,} sentences, {len(ids):,} tokens\n")
    print(f"- largest difference of a sentence's log10 probability: {np.abs(ours - theirs['exact']).max():.1e}")
    print(f"  (KenLM's own float32 sum over a sentence: {np.abs(ours - theirs['single']).max():.1e})")
    print(f"- scoring: {fastest(model, ids) / 1e6:.1f} M tokens/s, KenLM through Python {theirs['speed'] / 1e6:.1f} M")
    print(f"- memory of KenLM's probing model: {theirs['memory']:.1f} MB")
    print(f"- ARPA file: {(folder / 'model.arpa').stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--kenlm", metavar="PYTHON")
    parser.add_argument("--sentences", type=int, default=10_000)
    args = parser.parse_args()
    print(f"kernels: {choose_isa().isa}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test = wikitext(args.data, folder)
        size = train.tokenizer.vocabulary_size
        table("WikiText-2, Kneser-Ney, test text", range(1, 7), train.train.ids, test.train.ids, size)
        model = fit_ngram(train.train.ids, size, order=5)
        if args.kenlm:
            beside_kenlm(args.kenlm, model, train, test, folder, args.sentences)
        text = TextSettings(tokenizer="character", min_count=1)
        plays = prepare([args.data / "tinyshakespeare.txt"], text, folder / "plays")
        size = plays.tokenizer.vocabulary_size
        table("tinyshakespeare, characters, last tenth", range(3, 11), plays.train.ids, plays.heldout.ids, size)


if __name__ == "__main__":
    main()
