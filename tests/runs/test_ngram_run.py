import json

import pytest

import ostinato
from ostinato.cli.main import main
from ostinato.errors import TrainingError
from ostinato.runs import train
from ostinato.settings import apply_overrides, load_recipe


def recipe_with(*overrides):
    return apply_overrides(load_recipe("kneser-ney"), list(overrides))


def test_a_counted_model_writes_and_scores_like_any_other(verses, tmp_path):
    result = train([str(verses)], out=tmp_path / "m", recipe=recipe_with("text.documents='^# '"))
    model = ostinato.load(tmp_path / "m")
    assert model.config["kind"] == "ngram"
    assert model.config["evaluation"] == result.evaluation
    assert result.evaluation["held-out"]["perplexity"] < result.evaluation["held-out, unigram"]["perplexity"]
    assert model.score("风在春里等你").bits_per_character < 8
    assert model.write("风", lines=2, seed=3) == model.write("风", lines=2, seed=3)
    assert "5 n-grams of orders 1 to 5" not in result.summary()
    assert "kneser-ney, order 5" in model.card


def test_command_line(verses, tmp_path, capsys):
    out = str(tmp_path / "m")
    assert main(["train", str(verses), "-o", out, "--recipe", "kneser-ney", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["ngrams"]) == 5
    assert main(["train", str(verses), "-o", out, "--recipe", "kneser-ney"]) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["train", str(verses), "-o", out, "--recipe", "kneser-ney", "--overwrite"]) == 0
    assert "n-grams of orders 1 to 5" in capsys.readouterr().out
    assert main(["train", str(verses), "-o", out, "--recipe", "kneser-ney", "--resume"]) == 2
    assert "counted anew each time" in capsys.readouterr().err


def test_python_interface(verses, tmp_path):
    model = ostinato.train(verses, recipe="kneser-ney", settings={"ngram.order": 3}, out=tmp_path / "m")
    assert model.config["model"]["order"] == 3


def test_maximum_likelihood_says_what_it_never_saw(tmp_path):
    text = tmp_path / "t.txt"
    text.write_text("abcabcabcabcabcabcabcabcabcabc xyz", "utf-8")
    result = train([str(text)], out=tmp_path / "m", recipe=recipe_with("ngram.smoothing=maximum-likelihood"))
    assert "maximum likelihood gives them probability 0" in result.notes[-1]
    assert result.evaluation["held-out"]["perplexity"] is None
    assert "perplexity infinite" in result.summary()


@pytest.mark.parametrize(
    "overrides", [("ngram.smoothing=add-k", "ngram.k=0.1"), ("ngram.prune=1",), ("text.heldout=0",)]
)
def test_other_settings(verses, tmp_path, overrides):
    result = train([str(verses)], out=tmp_path / "m", recipe=recipe_with(*overrides))
    assert ostinato.load(tmp_path / "m").score("风").perplexity > 1
    assert bool(result.evaluation) == (overrides != ("text.heldout=0",))


def test_refuses_a_file_as_folder(verses):
    with pytest.raises(TrainingError, match="is a file; choose another"):
        train([str(verses)], out=verses, recipe=recipe_with())
