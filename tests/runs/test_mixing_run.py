import json

import pytest

import ostinato
from ostinato.cli.main import main
from ostinato.errors import UsageError
from ostinato.runs import train
from ostinato.settings import load_recipe


def test_it_is_trained_saved_and_used_like_any_other_model(verses, tmp_path):
    result = train([str(verses)], out=tmp_path / "m", recipe=load_recipe("context-mixing"))
    model = ostinato.load(tmp_path / "m")
    assert model.config["kind"] == "context-mixing"
    assert model.config["evaluation"] == result.evaluation
    assert result.evaluation["held-out"]["perplexity"] < result.evaluation["held-out, unigram"]["perplexity"]
    assert model.score("风在春里等你").bits_per_character < 8
    assert model.write("风", lines=2, seed=3) == model.write("风", lines=2, seed=3)
    assert "counters of 20 contexts" in model.card
    assert "MB" in result.summary()


def test_command_line(verses, tmp_path, capsys):
    out = str(tmp_path / "m")
    assert main(["train", str(verses), "-o", out, "--recipe", "context-mixing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["megabytes"] > 0
    assert main(["train", str(verses), "-o", out, "--recipe", "context-mixing", "--resume"]) == 2
    assert "counted anew each time" in capsys.readouterr().err
    assert main(["write", out, "--precision", "int8"]) == 2
    assert "has no int8 weights" in capsys.readouterr().err
    assert main(["info", out]) == 0
    assert "context-mixing" in capsys.readouterr().out


def test_a_large_vocabulary_is_declined_and_leaves_nothing(verses, tmp_path, monkeypatch):
    monkeypatch.setattr("ostinato.mixing.fit.LARGEST_VOCABULARY", 20)
    with pytest.raises(UsageError, match="made for vocabularies of 2 to 20 tokens"):
        train([str(verses)], out=tmp_path / "m", recipe=load_recipe("context-mixing"))
    assert not (tmp_path / "m" / "model").exists()


def test_it_is_a_part_of_a_saved_mixture(verses, tmp_path):
    import numpy as np

    from ostinato.bundle import write_bundle
    from ostinato.ngram import Mixture, SavedPart, join_parts

    paths = [tmp_path / name for name in ("kneser-ney", "context-mixing")]
    for path in paths:
        train([str(verses)], out=path, recipe=load_recipe(path.name))
    models = [ostinato.load(path) for path in paths]
    weights = np.array([0.3, 0.7])
    saved = [SavedPart(m.config["kind"], m.config["model"], m.tensors) for m in models]
    model, tensors = join_parts(saved, weights)
    config = {**models[0].config, "kind": "mixture", "model": model}
    write_bundle(tmp_path / "both", config=config, tokenizer=models[0].tokenizer, tensors=tensors, card="both")
    both = ostinato.load(tmp_path / "both")
    ids = both.ids("风在春里等你")
    parts = Mixture(tuple(m.step_model for m in models), weights)
    np.testing.assert_array_equal(both.step_model.score(ids), parts.score(ids))
    assert both.write("风", lines=2, seed=3)
