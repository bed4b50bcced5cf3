"""Recipes: reading, checking, overriding, writing back."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BundleError, SettingsError
from ostinato.settings import (
    SECTIONS,
    ModelSettings,
    Recipe,
    TextSettings,
    apply_overrides,
    load_recipe,
    recipe_from_mapping,
    recipe_names,
    recorded_settings,
    to_mapping,
    to_toml,
    with_budget,
)


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_round_trip(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "copy.toml").write_text(to_toml(recipe), "utf-8")
    copy = load_recipe(str(tmp_path / "copy.toml"))
    assert dataclasses.replace(copy, name=name) == recipe


def test_the_promised_recipes_are_there():
    assert {"default", "scratch-rnn", "concise-rnn", "words"} <= set(recipe_names())


@pytest.mark.parametrize(
    ("settings", "name", "shape"),
    [
        ({}, "lstm 256", "lstm, 1 × 256"),
        ({"cell": "gru", "layers": 2}, "gru 2 × 256", "gru, 2 × 256"),
        ({"context": 8}, "window of 8", "window of 8 tokens, 256"),
    ],
)
def test_a_network_in_words(settings, name, shape):
    model = ModelSettings(hidden_size=256, **settings)
    assert (model.name, model.shape) == (name, shape)


def test_overrides_take_toml_values_and_bare_words():
    recipe = apply_overrides(
        Recipe(),
        ["model.cell=gru", "model.tied = true", "training.clip=1", "text.documents='^# '", "model.dropout=auto"],
    )
    assert (recipe.model.cell, recipe.model.tied, recipe.training.clip) == ("gru", True, 1.0)
    assert recipe.text.documents == "^# "
    assert recipe.model.dropout is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.sell=gru", r"\[model\] has no field 'sell'; its fields are cell, layers"),
        ("modle.cell=gru", r"unknown table \[modle\]; a recipe has text, model, training"),
        ("model.cell=transformer", r"model.cell must be one of rnn, rnn-relu, gru, lstm, got 'transformer'"),
        ("model.layers=0", "model.layers must be between 1 and 16, got 0"),
        ("model.layers=two", "model.layers must be a whole number, got 'two'"),
        ("model.hidden_size=2.5", 'model.hidden_size must be a whole number or "auto", got 2.5'),
        ("model.tied=1", "model.tied must be true or false, got 1"),
        ("model.dropout=1.5", "model.dropout must be between 0 and 0.95, got 1.5"),
        ("training.clip=nan", "training.clip must be a finite number, got nan"),
        ("training.minutes=inf", "training.minutes must be a finite number, got inf"),
        ("ngram.k=1e308", "ngram.k must be between 0 and 1000000000, got 1e\\+308"),
        ("model.hidden_size=65536", "model.hidden_size must be between 1 and 16384, got 65536"),
        ("training.epochs=1e308", "training.epochs must be between 0.001 and 1000000000"),
        (f"training.steps={2**70}", "training.steps must be between 1 and 2147483647, got 1180591620717411303424"),
        (f"training.clip={10**400}", "training.clip must be a finite number, got inf"),
        ("hidden_size=3", "write it as section.key=value"),
        ("model.cell", "write it as section.key=value"),
    ],
)
def test_wrong_overrides_say_what_is_allowed(override, message):
    with pytest.raises(SettingsError, match=message):
        apply_overrides(Recipe(), [override])


def test_wrong_recipe_files(tmp_path):
    with pytest.raises(
        SettingsError, match="no recipe 'sonata': file not found; give a TOML file or one of base, concise-rnn"
    ):
        load_recipe("sonata")
    bad = tmp_path / "bad.toml"
    bad.write_text("[model\n", "utf-8")
    with pytest.raises(SettingsError, match="is not a TOML file"):
        load_recipe(str(bad))
    bad.write_text("model = 3\n", "utf-8")
    with pytest.raises(SettingsError, match=r"model must be a table like \[model\], got 3"):
        load_recipe(str(bad))


def test_a_budget_replaces_the_recipes_own():
    recipe = with_budget(load_recipe("scratch-rnn"), minutes=2, epochs=None, steps=None, seed=9)
    t = recipe.training
    assert (t.minutes, t.epochs, t.steps, t.seed) == (2.0, None, None, 9)
    assert with_budget(recipe, minutes=None, epochs=None, steps=None, seed=None) == recipe
    with pytest.raises(SettingsError, match=r"^minutes must be between 0.001 and 10000000, got 0.0"):
        with_budget(recipe, minutes=0, epochs=None, steps=None, seed=None)


def test_control_characters_survive_toml(tmp_path):
    recipe = recipe_from_mapping({"text": {"documents": "^\x7f\x01\t\u2028"}}, "test")
    (tmp_path / "r.toml").write_text(to_toml(recipe), "utf-8")
    assert load_recipe(str(tmp_path / "r.toml")).text == recipe.text


@given(st.data())
def test_any_valid_recipe_survives_toml(data):
    recipe = Recipe(name="x")
    for section, cls in SECTIONS.items():
        field = data.draw(st.sampled_from(dataclasses.fields(cls)))
        if field.metadata["among"]:
            value = data.draw(st.sampled_from(field.metadata["among"]))
        elif field.type is str:
            value = data.draw(
                st.text(st.characters(codec="utf-8", exclude_categories=["Cs"])).filter(lambda s: s != "auto")
            )
        else:
            continue
        recipe = recipe_from_mapping({section: {field.name: value}}, "x", recipe)
    import tomllib

    assert recipe_from_mapping(tomllib.loads(to_toml(recipe)), "x") == recipe
    assert recipe_from_mapping(to_mapping(recipe), "x") == recipe


def test_recorded_settings():
    table = {"tokenizer": "word", "min_count": None, "heldout": {"tokens": 5}, "names": ["a"], "split": {"share": 0.2}}
    assert recorded_settings(TextSettings, {"text": table}, "m") == TextSettings(tokenizer="word", heldout=0.2)
    assert recorded_settings(TextSettings, {"text": {"heldout": 12}}, "m") == TextSettings()
    assert recorded_settings(ModelSettings, {}, "m") == ModelSettings()


@pytest.mark.parametrize("table", [{"limit": "x"}, [], None, {"split": None}, {"split": {}}])
def test_damaged_recorded_settings(table):
    with pytest.raises(BundleError, match=r"^m holds no \[text\] settings that can be read"):
        recorded_settings(TextSettings, {"text": table}, "m")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_recipe_in_any_encoding(tmp_path, encoding):
    path = tmp_path / "r.toml"
    path.write_bytes('# 雨下了一整夜，我们不说话\r\n[text]\r\ndocuments = "^第"\r\n'.encode(encoding))
    assert load_recipe(str(path)).text.documents == "^第"


@pytest.mark.parametrize("name", ["wikitext-2", "ptb"])
def test_benchmark_recipes_count_as_published(name, real_data, tmp_path):
    import zipfile

    from ostinato.text import prepare

    with zipfile.ZipFile(real_data / "wikitext-2.zip") as archive:
        (member,) = [file for file in archive.namelist() if file.endswith("valid.txt")]
        (tmp_path / "valid.txt").write_bytes(archive.read(member))
    recipe = load_recipe(name)
    corpus = prepare([tmp_path / "valid.txt"], recipe.text, tmp_path / "text")
    assert corpus.train.tokens == 217_646 + 1  # the end of the text
    assert (recipe.model.layers, recipe.model.hidden_size, recipe.training.optimizer) == (2, 650, "sgd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\ncell = " + "[" * 100 + "]" * 100, "nested"),
        ("[model]\ncell = " + "[" * 100_000, "nested"),
        ("[training]\nseed = 1\nseed = 2", "is not a TOML file"),
        ("[training]\nlearning_rate = inf", "learning_rate"),
        ("[training]\nlearning_rate = nan", "learning_rate"),
        ("# " + "x" * (17 << 20), "more than the 16,777,216 bytes that are read here"),
    ],
    ids=range(6),
)
def test_a_recipe_is_read_strictly(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(SettingsError, match=message) as refused:
        load_recipe(str(tmp_path / "r.toml"))
    assert len(str(refused.value)) < 600
