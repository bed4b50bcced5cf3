"""Whole runs: what they leave on disk, what they refuse, how they end."""

import dataclasses
import json
import math
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch

from ostinato.bundle import read_bundle
from ostinato.errors import SettingsError, TextError, TrainingError, UsageError
from ostinato.protocols import END_OF_DOCUMENT
from ostinato.runs import run as running
from ostinato.runtime import load as load_model
from ostinato.settings import apply_overrides, load_recipe, with_budget
from ostinato.text import open_corpus
from ostinato.training.checkpoint import load_checkpoint
from ostinato.training.metrics import read_metrics
from ostinato.training.observers import Observer

SMALL = ["model.hidden_size=16", "model.embedding_size=8", "training.batch_size=4", "training.window=16",
         "training.precision=fp32", "model.mixture=none"]  # fmt: skip
BASELINES = {"held-out, uniform", "held-out, unigram", "held-out, Kneser-Ney 5"}


def recipe(*more, steps=20):
    chosen = apply_overrides(load_recipe("default"), [*SMALL, *more])
    return with_budget(chosen, minutes=None, epochs=None, steps=steps, seed=None)


def train(verses, out, *more, steps=20, **options):
    return running.train([str(verses)], out=out, recipe=recipe(*more, steps=steps), progress=False, **options)


def test_what_a_run_leaves(verses, tmp_path):
    result = train(verses, tmp_path / "out", "text.documents=^# ")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".run.json", "checkpoint", "loss.png", "loss.svg", "metrics.jsonl", "model", "recipe.toml", "samples.jsonl",
        "text"
    ]  # fmt: skip
    bundle = read_bundle(tmp_path / "out")
    assert bundle.config["text"]["heading"] == "# "
    assert bundle.config["text"]["split"]
    assert "precision" not in bundle.config["training"]
    assert set(result.evaluation) == {"held-out", "training", *BASELINES}
    assert result.evaluation == bundle.config["evaluation"]
    v = bundle.tokenizer.vocabulary_size
    assert result.evaluation["held-out, uniform"]["perplexity"] == pytest.approx(v)
    assert "held-out" in bundle.card
    assert load_recipe(str(tmp_path / "out" / "recipe.toml")).model.hidden_size == 16
    assert result.summary().splitlines()[0].endswith("minutes")


def test_the_saved_model_is_the_best_one_and_its_figure_is_true(verses, tmp_path):
    from ostinato.models.language_model import LanguageModel
    from ostinato.models.step import TorchStepModel
    from ostinato.settings import ModelSettings

    train(verses, tmp_path, "training.learning_rate=0.05", "training.evaluate_every=0.3", steps=60)
    bundle = read_bundle(tmp_path)
    settings = dict(bundle.config["model"])
    model = LanguageModel(ModelSettings(**{k: v for k, v in settings.items() if k != "vocabulary_size"}),
                          settings["vocabulary_size"])  # fmt: skip
    model.load_tensors(bundle.tensors)
    corpus = open_corpus(tmp_path / "text")
    exact = -TorchStepModel(model).score(corpus.heldout.ids).mean()
    best = min(row["heldout_loss"] or math.inf for row in read_metrics(tmp_path / "metrics.jsonl"))
    assert bundle.config["evaluation"]["held-out"]["nats_per_token"] == pytest.approx(best)
    assert exact == pytest.approx(best, abs=1e-4)
    assert bundle.config["evaluation"]["held-out"]["tokens"] == corpus.heldout.tokens


def test_a_run_is_not_overwritten_by_accident(verses, tmp_path):
    train(verses, tmp_path)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="already holds a run: --resume continues it, --overwrite replaces it"):
        train(verses, tmp_path)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    train(verses, tmp_path, "training.seed=2", overwrite=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before


def test_without_matplotlib_a_run_is_complete_but_for_the_picture(verses, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("ostinato.runs.tasks.language._SAMPLE_SECONDS", 0.0)
    running.train([str(verses)], out=tmp_path, recipe=recipe("training.evaluate_every=0.2", steps=10))
    note = "loss.svg and loss.png could not be drawn: a picture needs matplotlib: pip install 'ostinato[train]'"
    assert capsys.readouterr().err.count(note) == 1
    assert len(read_metrics(tmp_path / "metrics.jsonl")) > 1
    assert load_checkpoint(tmp_path / "checkpoint").position.step == 10
    assert not (tmp_path / "loss.svg").exists()


def test_a_model_starts_from_the_frequencies_of_the_tokens_unless_told_how_its_weights_start(verses, tmp_path):
    options = ("training.learning_rate=0", "text.documents=files")
    train(verses, tmp_path / "a", *options, steps=1)
    bundle = read_bundle(tmp_path / "a")
    bias = bundle.tensors["head.bias"]
    counts = np.maximum(np.bincount(open_corpus(tmp_path / "a" / "text").train.ids, minlength=len(bias)), 0.1)
    assert np.exp(bias) == pytest.approx(counts / counts.sum(), rel=1e-5)
    train(verses, tmp_path / "b", *options, "model.initialisation=normal-0.01", steps=1)
    bias = read_bundle(tmp_path / "b").tensors["head.bias"]
    assert not bias[counts >= 1].any()
    assert np.exp(bias[counts < 1]) == pytest.approx(0.1 * (counts >= 1).sum() / counts[counts >= 1].sum(), rel=1e-5)


def test_after_the_beginning_of_a_text_of_one_document_what_never_comes_is_unlikely(verses, tmp_path):
    train(verses, tmp_path, "text.documents=files", "training.learning_rate=0.01", steps=40)
    model = load_model(tmp_path)
    ids = open_corpus(tmp_path / "text").train.ids
    logits, _ = model.step(np.array([END_OF_DOCUMENT], np.uint32), model.initial_state(1))
    p = np.exp(logits[0] - logits[0].max())
    assert p[np.bincount(ids, minlength=len(p)) == 0].sum() < 0.05 * p.sum()  # from biases of 0: four fifths


def test_resume_extends_a_run_and_takes_the_recorded_recipe(verses, tmp_path):
    train(verses, tmp_path)
    other = with_budget(load_recipe("default"), minutes=None, epochs=None, steps=30, seed=None)
    result = running.train([str(verses)], out=tmp_path, recipe=other, resume=True, same_recipe=False, progress=False)
    assert result.position.step == 30
    assert read_bundle(tmp_path).config["model"]["hidden_size"] == 16


def test_what_is_left_to_the_program_now_is_as_it_was_recorded(verses, tmp_path):
    train(verses, tmp_path, "training.weight_decay=0.02", steps=5)
    train(verses, tmp_path, steps=10, resume=True)
    assert read_bundle(tmp_path).config["training"]["weight_decay"] == 0.02
    with pytest.raises(TrainingError, match=r"training.weight_decay was 0.02, now 0.03"):
        train(verses, tmp_path, "training.weight_decay=0.03", steps=15, resume=True)


def test_a_softmax_over_candidates_resumes_exactly_and_its_loss_is_no_perplexity(verses, tmp_path, capsys):
    options = ("training.candidates=10", "training.schedule=constant", "training.evaluate_every=100")
    result = running.train([str(verses)], out=tmp_path / "a", recipe=recipe(*options))
    said = capsys.readouterr().err
    assert "softmax over 10 tokens and the targets per step" in said
    assert "(over candidates) · held-out loss" in said
    assert set(result.evaluation) == {"held-out", *BASELINES}
    train(verses, tmp_path / "b", *options, steps=12)
    train(verses, tmp_path / "b", *options, resume=True)
    once, twice = (load_checkpoint(tmp_path / name / "checkpoint").tensors for name in "ab")
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_nothing_held_out_and_candidates_leave_a_card_without_figures(verses, tmp_path):
    assert train(verses, tmp_path, "training.candidates=10", "text.heldout=0").evaluation == {}
    assert "| measured on" not in read_bundle(tmp_path).card


def test_resume_refuses_another_recipe_or_text_and_loses_nothing(verses, tmp_path):
    out = tmp_path / "out"
    train(verses, out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(TrainingError, match=r"another recipe: model.cell was lstm, now gru"):
        train(verses, out, "model.cell=gru", resume=True)
    verses.write_text(verses.read_text("utf-8") + "# 新\n一行\n", "utf-8")
    with pytest.raises(TextError, match="cannot resume with another text"):
        train(verses, out, resume=True)
    assert {p: p.read_bytes() for p in before} == before


def test_overwriting_begins_when_everything_was_read(verses, tmp_path):
    train(verses, tmp_path / "out")
    before = (tmp_path / "out" / "model" / "model.safetensors").read_bytes()
    with pytest.raises(TextError, match="does not exist"):
        train(tmp_path / "typo.txt", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "model" / "model.safetensors").read_bytes() == before
    with pytest.raises(UsageError, match="give only one of them"):
        train(verses, tmp_path / "out", overwrite=True, resume=True)


def test_a_run_inside_the_folder_of_texts_is_not_read_as_text(verses, tmp_path):
    texts = tmp_path / "songs"
    texts.mkdir()
    verses.rename(texts / "verses.txt")
    train(texts, texts / "out")
    assert train(texts, texts / "out", steps=25, resume=True).position.step == 25


@pytest.mark.parametrize("seed", [20240601, 2**63 - 1])
def test_any_seed_trains(verses, tmp_path, seed):
    assert train(verses, tmp_path, f"training.seed={seed}", steps=2).position.step == 2


def test_a_run_that_ends_with_an_epoch_says_its_training_loss(verses, tmp_path):
    chosen = with_budget(
        recipe("text.heldout=0", "training.evaluate_every=2"), minutes=None, epochs=3, steps=None, seed=1
    )
    result = running.train([str(verses)], out=tmp_path, recipe=chosen, progress=False)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[-1]["step"] == result.position.step
    assert all(row["train_loss"] > 0 for row in rows)
    assert result.position.best_step == result.position.step


def test_resume_without_a_checkpoint(verses, tmp_path):
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(verses, tmp_path / "new", resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_model_is_usable(verses, tmp_path, number):
    def send():
        while not read_metrics(tmp_path / "metrics.jsonl"):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sender = threading.Thread(target=send)
    sender.start()
    result = train(verses, tmp_path, "training.evaluate_every=0.05", steps=100_000)
    sender.join()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert (result.reason, result.signal) == ("interrupted", number)
    assert read_bundle(tmp_path).kind == "recurrent"
    again = train(verses, tmp_path, "training.evaluate_every=0.05", steps=result.position.step + 5, resume=True)
    assert again.position.step == result.position.step + 5


def test_learning_by_heart_is_labelled_so(verses, tmp_path):
    result = train(verses, tmp_path, "text.heldout=0")
    assert list(result.evaluation) == ["training"]
    assert "held out: 0 documents" in read_bundle(tmp_path).card


def test_refusals(verses, tmp_path):
    with pytest.raises(UsageError, match="device must be one of auto, cpu, cuda, mps, got 'tpu'"):
        train(verses, tmp_path / "a", device="tpu")
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match="is a file; choose another"):
        train(verses, tmp_path / "file")
    with pytest.raises(TrainingError, match="cannot write to the output folder"):
        train(verses, tmp_path / "file" / "below")
    with pytest.raises(TextError, match="too short"):
        train(verses, tmp_path / "b", "training.window=5000")
    with pytest.raises(SettingsError, match="tied needs an embedding"):
        train(verses, tmp_path / "c", "model.embedding_size=0", "model.tied=true")


def test_a_full_disk_while_saving_is_one_clear_error(verses, tmp_path, monkeypatch):
    from ostinato.errors import BundleError

    train(verses, tmp_path, "training.evaluate_every=0.2")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ostinato.training.checkpoint.tensor_writer", lambda tensors: full)
    with pytest.raises(BundleError, match="No space left on device; what was there before is untouched"):
        train(verses, tmp_path, "training.evaluate_every=0.2", steps=40, resume=True)
    monkeypatch.undo()
    result = train(verses, tmp_path, "training.evaluate_every=0.2", steps=40, resume=True)
    assert result.position.step == 40


def test_the_same_seed_gives_the_same_weights(verses, tmp_path):
    for name in "ab":
        train(verses, tmp_path / name)
    a, b = (read_bundle(tmp_path / name).tensors for name in "ab")
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["scratch-rnn", "concise-rnn", "words"])
def test_the_other_recipes_run(verses, tmp_path, name):
    small = {"words": ["model.hidden_size=8", "training.batch_size=4", "training.window=8"]}
    chosen = apply_overrides(load_recipe(name), small.get(name, ["training.batch_size=4"]))
    chosen = with_budget(chosen, minutes=None, epochs=None, steps=3, seed=None)
    result = running.train([str(verses)], out=tmp_path, recipe=chosen, progress=False)
    assert result.position.step == 3
    assert json.dumps(dataclasses.asdict(result.position))


def test_a_run_may_start_from_another_model(verses, tmp_path):
    """Its vocabulary and weights are the other's, whatever the new text has; a resume needs the other no more."""
    import shutil

    train(verses, tmp_path / "first")
    (tmp_path / "new.txt").write_text("风在山里等你\n" * 40, "utf-8")
    new = str(tmp_path / "new.txt")
    options = {"out": tmp_path / "second", "progress": False}
    still = recipe("model.hidden_size=auto", "model.embedding_size=auto", "training.learning_rate=0", steps=1)
    running.train([new], recipe=still, start=tmp_path / "first", **options)
    first, second = read_bundle(tmp_path / "first"), read_bundle(tmp_path / "second")
    assert first.tokenizer.to_json() == second.tokenizer.to_json()
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    shutil.rmtree(tmp_path / "first")
    longer = with_budget(still, minutes=None, epochs=None, steps=3, seed=None)
    assert running.train([new], recipe=longer, resume=True, **options).position.step == 3


def test_a_notebook_has_one_line_that_is_redrawn(monkeypatch, capsys):
    from types import SimpleNamespace

    from ostinato.runs.progress import Progress

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    progress = Progress()
    progress.noted("first, a long note")
    progress.noted("second")
    progress.finished()
    assert capsys.readouterr().err == "\rfirst, a long note\rsecond            \n"


def test_what_was_measured_is_saved_before_it_is_said(verses, tmp_path):
    """The terminal may go away at any line: by then the model and its row are on the disk."""

    class Said(Observer):
        def evaluated(self, row, best):
            assert read_metrics(tmp_path / "out" / "metrics.jsonl")[-1]["step"] == row.step
            assert read_bundle(tmp_path / "out").config["training"]["steps_done"] == row.step
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        train(verses, tmp_path / "out", steps=2, observers=[Said()])
    assert load_model(read_bundle(tmp_path / "out"))


def test_a_run_killed_at_its_end_is_finished_by_a_resume(verses, tmp_path, monkeypatch):
    from ostinato.runs.tasks import language

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(language.LanguageWriter, "finished", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(verses, out, steps=3)
    assert "int8" not in read_bundle(out).config
    before = load_checkpoint(out / "checkpoint").position
    rows = read_metrics(out / "metrics.jsonl")
    train(verses, out, steps=3, resume=True)
    bundle = read_bundle(out)
    assert "int8" in bundle.config
    assert "int8" in bundle.card
    assert load_checkpoint(out / "checkpoint").position == before
    assert read_metrics(out / "metrics.jsonl") == rows
