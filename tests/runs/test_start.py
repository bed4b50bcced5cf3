"""Runs that start from another model: joined vocabularies, carried weights, graded rates, cards, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import ostinato
from ostinato.bundle import read_bundle, read_snapshot
from ostinato.cli.main import main
from ostinato.models.language_model import LanguageModel
from ostinato.runs.start import carried_over, joined, read_start
from ostinato.settings import ModelSettings, apply_overrides, load_recipe
from ostinato.text import build, open_corpus
from ostinato.training.optimizers import build_optimizer, set_learning_rate

OLD = Path(__file__).parents[1] / "old"
SMALL = ["--steps", "6", "--quiet", "--json", "--set", "training.batch_size=2", "--set", "training.window=8"]


@pytest.fixture
def tune(tmp_path, capsys):
    """Runs `train` on a small text with new characters; returns the folder and the JSON result."""
    path = tmp_path / "new.txt"
    path.write_text("鸥\n" + "风吹桥\n桥等风\n" * 30, "utf-8")

    def run(*options, start="lstm", code=0):
        out = tmp_path / "tuned"
        arguments = ["train", path, "-o", out, "--from", OLD / start, *SMALL, *options]
        assert main([str(a) for a in arguments]) == code
        printed = capsys.readouterr()
        return out, printed if code else json.loads(printed.out)

    return run


def test_the_vocabulary_is_joined_and_nothing_of_the_text_is_spelled(tune):
    out, _ = tune()
    old, new = ostinato.load(OLD / "lstm"), ostinato.load(out)
    assert new.tokenizer.characters == old.tokenizer.characters + "桥吹鸥"
    assert len(new.tokenizer.encode("风吹桥鸥")) == 4


def test_only_the_texts_own_vocabulary(tune):
    out, _ = tune("--vocabulary", "new")
    assert set(ostinato.load(out).tokenizer.characters) == set("风吹桥等鸥\n")


@pytest.mark.parametrize("name", ["lstm", "gru-words", "rnn-bytes"])
def test_known_tokens_keep_their_rows_and_probabilities(name):
    """Before training, the joined model gives the old model's logits at the old tokens."""
    start = read_bundle(OLD / name)
    pieces = ["桥 bridges\n"] * 3
    tokenizer = joined(start.tokenizer, build(start.tokenizer.kind, pieces, 1))
    counts = np.ones(tokenizer.vocabulary_size, np.int64)
    tensors = carried_over(start, tokenizer, counts)
    own = dict(start.config["model"])
    del own["vocabulary_size"]
    model = LanguageModel(ModelSettings(**own), tokenizer.vocabulary_size)
    model.load_tensors(tensors)
    model.eval()
    old = ostinato.load(OLD / name)
    text = "在风"
    ids, old_ids = tokenizer.encode(text).astype(np.int64), old.tokenizer.encode(text)
    with torch.no_grad():
        logits = model(torch.from_numpy(np.concatenate([[0], ids]))[None])[0][0, -1].numpy()
    state = old.step_model.initial_state(1)
    for token in [0, *old_ids.tolist()]:
        expected, state = old.step_model.step(np.array([token], np.uint32), state)
    for token in range(old.step_model.vocabulary_size):
        same = tokenizer.encode(old.tokenizer.token(token)) if token >= 257 else [token]
        if len(same) == 1:
            assert logits[int(same[0])] == pytest.approx(expected[0][token], abs=1e-5)


def test_a_new_token_starts_from_the_mean_of_its_spelling():
    start = read_bundle(OLD / "lstm")
    tokenizer = joined(start.tokenizer, build("character", ["桥"], 1))
    counts = np.zeros(tokenizer.vocabulary_size, np.int64)
    counts[-1], counts[300 - 10] = 5, 5
    tensors = carried_over(start, tokenizer, counts)
    spelling = start.tokenizer.encode("桥")
    assert len(spelling) == 3
    expected = np.asarray(start.tensors["embedding.weight"])[spelling].mean(axis=0)
    assert tensors["embedding.weight"][-1] == pytest.approx(expected)
    assert tensors["head.bias"][-1] == pytest.approx(tensors["head.bias"][290], abs=1e-4)  # as frequent


def test_the_card_says_where_it_came_from(tune):
    out, result = tune()
    model = ostinato.load(out)
    assert "- started from lstm (verses.txt)" in model.card
    assert "- new text, held out:" in model.card
    assert "- old text, held out:" in model.card
    start = model.config["start"]
    assert start["before"]["old text"]["bits_per_character"] > 0
    assert set(start["after"]) == {"old text"}
    assert result["evaluation"]["held-out"]["nats"] > 0


def test_what_becomes_of_the_old_text_is_measured_on_the_weights_that_are_saved(tune):
    """Also where training went on after its best evaluation."""
    settings = ("training.learning_rate=0.3", "training.evaluate_every=0.05", "model.mixture=none")
    out, result = tune("--steps", "60", *(part for one in settings for part in ("--set", one)))
    assert result["best_step"] < result["steps"]
    model, old = ostinato.load(out), open_corpus(OLD / "lstm" / "text")
    after = model.config["start"]["after"]["old text"]
    ids = model.tokenizer.encode_documents([old.tokenizer.decode(old.heldout.ids)])
    assert after["tokens"] == len(ids)
    assert after["nats"] == pytest.approx(-model.step_model.score(ids).sum(), rel=0.02)  # bf16 where the CPU has it


def test_a_tuned_run_resumes_without_the_model_it_started_from(tune, tmp_path, capsys):
    out, _ = tune()
    again = ["train", tmp_path / "new.txt", "-o", out, "--resume", "--steps", "9", "--quiet", "--json"]
    assert main([str(a) for a in again]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 9
    model = ostinato.load(out)
    assert "- started from lstm (verses.txt)" in model.card
    assert model.config["start"]["before"]["new text"]["bits_per_character"] > 0


@pytest.mark.parametrize(
    ("options", "start", "message"),
    [
        ((), "kneser-ney", "training can only start from a recurrent network"),
        (("--set", "model.cell=gru"), "lstm", "model.cell is gru, but the model to start from has lstm"),
        (("--set", "text.tokenizer=word"), "lstm", "text.tokenizer is word, but the model to start from has character"),
        (("--resume",), "lstm", "leave out --from (start=)"),
        (("--recipe", "kneser-ney"), "lstm", "only a recurrent language model can start"),
        (("--set", "training.layer_rates=0.5", "--set", "training.optimizer=sgd"), "lstm", "need training.optimizer"),
    ],
)
def test_what_cannot_be_a_start(tune, options, start, message):
    _, printed = tune(*options, start=start, code=2)
    assert message in printed.err


def test_vocabulary_needs_a_start(tmp_path, capsys):
    path = tmp_path / "a.txt"
    path.write_text("ab " * 50)
    assert main(["train", str(path), "-o", str(tmp_path / "m"), "--vocabulary", "new"]) == 2
    assert "name one with --from" in capsys.readouterr().err


def test_levels_and_graded_rates():
    model = LanguageModel(ModelSettings(layers=2, hidden_size=4, embedding_size=3, dropout=0.0, tied=False), 9)
    levels = {name: model.levels()[p] for name, p in model.named_parameters()}
    assert levels["head.weight"] == levels["head.bias"] == 0
    assert levels["recurrent.weight_hh_l1"] == 1
    assert levels["recurrent.weight_ih_l0"] == 2
    assert levels["embedding.weight"] == 3
    settings = apply_overrides(load_recipe("default"), ["training.layer_rates=0.5", "training.unfreeze=0.6"]).training
    optimizer = build_optimizer(model.parameters(), settings, 0.1, model.levels())
    for progress, learning in ((0.0, {0}), (0.25, {0, 1}), (0.45, {0, 1, 2}), (0.7, {0, 1, 2, 3})):
        set_learning_rate(optimizer, 0.1, settings, progress)
        rates = {group["level"]: group["lr"] for group in optimizer.param_groups}
        assert rates == pytest.approx({k: 0.1 * 0.5**k if k in learning else 0.0 for k in range(4)})


def test_graded_training_runs_and_resumes(tune, tmp_path, capsys):
    graded = ["--set", "training.layer_rates=0.5", "--set", "training.unfreeze=0.5"]
    out, _ = tune(*graded)
    again = ["train", tmp_path / "new.txt", "-o", out, "--resume", "--steps", "8", "--quiet", "--json"]
    assert main([str(a) for a in again]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 8
    shutil.rmtree(out)


def test_the_starting_model_is_read_once(tune, monkeypatch):
    """So what is checked is what is learnt from, whatever becomes of the folder meanwhile."""
    read = []
    monkeypatch.setattr("ostinato.runs.run.read_start", lambda path: read.append(path) or read_start(path))
    snapshots = []
    monkeypatch.setattr(
        "ostinato.bundle.reading.read_snapshot",
        lambda folder, **options: snapshots.append(folder) or read_snapshot(folder, **options),
    )
    tune()
    assert read == [OLD / "lstm"]
    assert snapshots.count(OLD / "lstm" / "model") == 1
