"""Runs whose model is a mixture of the network with models of counts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.bundle import read_bundle
from ostinato.cli.main import main
from ostinato.errors import TrainingError
from ostinato.evaluation import Evaluation, from_log_probabilities
from ostinato.ngram import cross_fit, middle_of
from ostinato.runs import mixture as mixing
from ostinato.runs import run as running
from ostinato.runs.defaults import CorpusSize, resolve
from ostinato.runs.start import read_start
from ostinato.runtime import load
from ostinato.settings import apply_overrides, decide, load_recipe, recipe_from_mapping, to_mapping, with_budget
from ostinato.text import open_corpus

SMALL = ["model.hidden_size=16", "model.embedding_size=8", "training.batch_size=4", "training.window=16",
         "training.precision=fp32"]  # fmt: skip


def train(verses, out, *more, steps=30, **options):
    recipe = apply_overrides(load_recipe("default"), [*SMALL, "model.mixture=best", *more])
    recipe = with_budget(recipe, minutes=None, epochs=None, steps=steps, seed=None)
    return running.train([str(verses)], out=out, recipe=recipe, progress=False, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, never changed."""
    folder = tmp_path_factory.mktemp("mixed")
    text = folder / "verses.txt"
    lines = [f"the {a} {b} {c}s in the {d}" for a in ("old", "grey", "small") for b in ("wind", "dog", "sea", "bell")
             for c in ("sing", "call", "run") for d in ("night", "rain", "hall")]  # fmt: skip
    np.random.default_rng(0).shuffle(lines)
    text.write_text("\n".join(lines), "utf-8")
    return text, folder / "out", train(text, folder / "out")


def test_the_model_is_the_mixture_and_the_network_is_kept(run):
    _, out, result = run
    mixed, network = read_bundle(out), read_bundle(out / "network")
    assert (mixed.kind, network.kind) == ("mixture", "recurrent")
    assert result.evaluation == mixed.config["evaluation"]
    assert result.evaluation["held-out"]["nats"] < result.evaluation["held-out, network"]["nats"]
    alone = network.config["evaluation"]["held-out"]["nats"]
    assert result.evaluation["held-out, network"]["nats"] == pytest.approx(alone)
    for name, weight in zip(("network", "Kneser-Ney 5"), mixed.config["model"]["weights"], strict=False):
        assert f"- {name}: weight {weight:.3f}" in mixed.card
    assert "the model is a mixture (network 0." in result.summary()


def test_its_figure_is_of_weights_that_have_not_seen_what_they_are_measured_on(run):
    _, out, result = run
    corpus, mixed = open_corpus(out / "text"), load(out / "model")
    ids = corpus.heldout.ids
    crossed = cross_fit(np.array([part.score(ids) for part in mixed.parts]), middle_of(ids))
    exact = from_log_probabilities(crossed, corpus.heldout.characters)
    assert result.evaluation["held-out"]["nats"] == pytest.approx(exact.nats, rel=1e-4)


def test_it_writes_scores_and_writes_in_form(run, capsys):
    _, out, _ = run
    model = ostinato.load(out)
    assert model.write(tokens=20, seed=1) == model.write(tokens=20, seed=1)
    assert model.score("the old wind sings").perplexity < len(model.tokenizer.characters)
    for more in (["--lines", "2"], ["--acrostic", "to"], ["--precision", "int8", "--lines", "2"]):
        assert main(["write", str(out), "--seed", "1", *more]) == 0
        assert capsys.readouterr().out.strip()


def test_int8_is_of_the_network_alone(run):
    _, out, _ = run
    ids = open_corpus(out / "text").heldout.ids
    exact, small = load(out / "model"), load(out / "model", precision="int8")
    assert not np.array_equal(exact.parts[0].score(ids), small.parts[0].score(ids))
    assert small.score(ids).mean() == pytest.approx(exact.score(ids).mean(), abs=0.01)
    assert np.array_equal(exact.parts[1].score(ids), small.parts[1].score(ids))


def test_a_resumed_run_mixes_anew_and_keeps_the_mixture_until_then(run, tmp_path, monkeypatch):
    text, out, before = run
    shutil.copytree(out, tmp_path / "out")
    saved = []
    original = mixing.mixed_with_counts

    def spy(folder, *arguments):
        saved.append(read_bundle(folder).kind)
        return original(folder, *arguments)

    monkeypatch.setattr("ostinato.runs.tasks.language.mixed_with_counts", spy)
    result = train(text, tmp_path / "out", steps=90, resume=True)
    assert saved == ["mixture"]
    now = result.evaluation["held-out, network"]["nats"]
    assert now < before.evaluation["held-out, network"]["nats"]
    assert read_bundle(tmp_path / "out" / "network").config["evaluation"]["held-out"]["nats"] == pytest.approx(now)
    assert read_bundle(tmp_path / "out").kind == "mixture"


def test_a_network_that_is_better_alone_stays_the_model(run, tmp_path, monkeypatch):
    text, out, _ = run
    shutil.copytree(out, tmp_path / "out")
    monkeypatch.setattr(mixing, "cross_fit", lambda scores, middle: scores[0] - 1)
    monkeypatch.setattr(mixing, "cross_fit_gate", lambda heard, gate, middle: heard.scores[0] - 1)
    result = train(text, tmp_path / "out", steps=31, resume=True)
    assert read_bundle(tmp_path / "out").kind == "recurrent"
    assert not (tmp_path / "out" / "network").exists()
    assert "no mixture: none is reliably better than the network alone" in result.summary()


def test_overwriting_takes_the_network_along(run, tmp_path):
    text, out, _ = run
    shutil.copytree(out, tmp_path / "out")
    train(text, tmp_path / "out", "model.mixture=none", steps=2, overwrite=True)
    assert read_bundle(tmp_path / "out").kind == "recurrent"
    assert not (tmp_path / "out" / "network").exists()


def test_a_folder_of_somebody_else_is_left_alone(run, tmp_path):
    text, _, _ = run
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "mine").write_text("mine")
    with pytest.raises(TrainingError, match="network was not made by ostinato"):
        train(text, tmp_path, steps=2)
    train(text, tmp_path, "model.mixture=none", steps=2)
    train(text, tmp_path, "model.mixture=none", steps=2, overwrite=True)
    assert (tmp_path / "network" / "mine").read_text() == "mine"


def test_without_a_held_out_text_or_with_a_long_one_there_is_no_mixture(run, tmp_path, monkeypatch):
    text, _, _ = run
    result = train(text, tmp_path / "all", "text.heldout=0", steps=2)
    assert "no mixture: nothing is held out" in result.summary()
    monkeypatch.setattr("ostinato.runs.line_to_beat.MOST_TOKENS", 10)
    result = train(text, tmp_path / "long", steps=2)
    assert "tokens, too many to count" in result.summary()
    assert read_bundle(tmp_path / "long").kind == "recurrent"


def test_words_are_mixed_with_n_grams_alone(run, tmp_path, monkeypatch):
    text, _, _ = run
    monkeypatch.setattr("ostinato.runs.counts._MOST_VALUES", 20)
    train(text, tmp_path, "text.tokenizer=word", steps=2)
    kinds = [part["kind"] for part in json.loads((tmp_path / "model" / "config.json").read_text())["model"]["parts"]]
    assert kinds == ["recurrent", "ngram"]


def test_what_takes_a_network_takes_that_of_the_mixture(run):
    _, out, _ = run
    network = read_start(out)
    assert network.kind == "recurrent"
    alone = read_bundle(out / "network")
    assert set(network.tensors) == set(alone.tensors)
    for name in network.tensors:
        np.testing.assert_array_equal(network.tensors[name], alone.tensors[name])
    assert network.config["evaluation"]["held-out"] == read_bundle(out).config["evaluation"]["held-out, network"]


def test_the_network_in_a_mixture_is_a_model(run, tmp_path, capsys):
    _, out, _ = run
    model = ostinato.load(out)
    alone = ostinato.load(out / "network")
    assert model.network.score("the old wind sings") == alone.score("the old wind sings")
    assert alone.network is alone
    model.network.save(tmp_path / "copy")
    assert ostinato.load(tmp_path / "copy").score("the old wind sings") == alone.score("the old wind sings")
    ngram = ostinato.load(Path(__file__).parents[1] / "old" / "kneser-ney")
    assert ngram.network is None


def test_a_comparison_takes_the_network_of_a_mixture(run, tmp_path, capsys):
    text, out, _ = run
    options = ["--order", "2", "--window", "0", "--no-dynamic", "-o", str(tmp_path / "both"), "--json"]
    assert main(["compare", str(text), "--model", str(out), *options]) == 0
    rows = json.loads(capsys.readouterr().out)["comparisons"][0]["rows"]
    assert "lstm 16" in [row["model"] for row in rows]
    load(tmp_path / "both" / "model")


@pytest.mark.parametrize("how", ["linear", "gated"])
def test_the_kind_of_mixture_can_be_chosen(run, tmp_path, how):
    text, _, _ = run
    train(text, tmp_path, f"model.mixture={how}", steps=5)
    config = read_bundle(tmp_path).config
    assert config["kind"] == "mixture"
    assert ("gate" in config["model"]) == (how == "gated")


def test_a_text_too_long_for_a_gate_has_a_linear_mixture(run, tmp_path, monkeypatch):
    text, _, _ = run
    monkeypatch.setattr(mixing, "_MOST_GATED", 10)
    train(text, tmp_path / "best", steps=5)
    assert "weights" in read_bundle(tmp_path / "best").config["model"]
    result = train(text, tmp_path / "gated", "model.mixture=gated", steps=5)
    expected = "too long to fit a gate on (--set model.mixture=linear mixes without one); the network has "
    assert f"no mixture: the held-out text is {expected}" in result.summary()


def mixed(nats, tokens=10):
    scores = np.full(tokens, -nats / tokens)
    return mixing.Mixed((), scores, Evaluation(nats, tokens, tokens))


def test_more_parts_or_a_gate_must_be_worth_it():
    tried = [mixed(nats) for nats in (10.01, 10.0, 9.99)]
    assert mixing._chosen(tried, mixed(12).scores) is tried[0]
    assert mixing._chosen([*tried, mixed(9.0)], mixed(12).scores).evaluation.nats == 9
    assert mixing._chosen(tried, mixed(9.9).scores) is None
    assert mixing._chosen([], mixed(9.9).scores) is None


def test_a_gain_that_a_short_held_out_text_shows_by_chance_is_none():
    spread = np.random.default_rng(1).normal(0, 1, 40_000)
    for tokens, kept in ((200, False), (40_000, True)):
        gain = 0.05 + spread[:tokens] - spread[:tokens].mean()
        better = mixing.Mixed((), gain - 4, Evaluation(-(gain - 4).sum(), tokens, tokens))
        assert (mixing._chosen([better], np.full(tokens, -4.0)) is not None) == kept


def test_the_default_is_a_mixture_and_older_checkpoints_are_not():
    recipe = load_recipe("default")
    assert recipe.model.mixture is None
    size = CorpusSize(1000, 100, 300)
    assert resolve(recipe, size, 1e11).model.mixture == "best"
    recorded = to_mapping(resolve(recipe, size, 1e11))
    del recorded["model"]["mixture"]  # as an older version wrote it
    assert decide(recipe_from_mapping(recorded, "recorded")).model.mixture == "none"
