"""The Python interface as the README shows it."""

import copy
import gc
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from contextlib import nullcontext

import pytest

torch = pytest.importorskip("torch")

import ostinato  # noqa: E402

SMALL = {"model.hidden_size": 16, "model.embedding_size": 8, "training.batch_size": 4, "training.window": 16}


@pytest.fixture(scope="module")
def model(tmp_path_factory, verses_text):
    path = tmp_path_factory.mktemp("api") / "verses.txt"
    path.write_text(verses_text, "utf-8")
    settings = {**SMALL, "text.documents": "^# "}
    return ostinato.train(path, out=path.parent / "m", steps=30, settings=settings, progress=False)


def test_write(model):
    text = model.write("风", lines=2, temperature=0.8, seed=7)
    assert text.startswith("风")
    assert text == model.write("风", lines=2, temperature=0.8, seed=7)
    assert len(model.write("风", tokens=5, count=3, seed=7)) == 3
    assert model.write(tokens=3) is not None
    with pytest.raises(ostinato.UsageError, match="temperature must be 0 or more"):
        model.write("风", temperature=-1)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda m: m.write("风", temprature=0.1), "temprature is no option of write: did you mean temperature\\?"),
        (lambda m: m.stream("风", nonsense=3), "nonsense is no option of write$"),
        (lambda m: m.write("风", lines="2"), "lines must be a whole number, got '2'"),
        (lambda m: m.write("风", count="2"), "count must be a whole number, got '2'"),
        (lambda m: m.write("风", temperature="hot"), "temperature must be a number, got 'hot'"),
        (lambda m: m.write(None, lines=1), "prompt must be a text or a list of texts, got None"),
        (lambda m: m.write(["风", 5], lines=1), "prompt must be a text, got 5"),
        (lambda m: m.score(3), "text must be a text or a list of texts, got 3"),
        (lambda m: m.score(["风", 3]), "text must be a text, got 3"),
        (lambda m: m.logprobs(3), "text must be a text, got 3"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(model, call, line):
    with pytest.raises(ostinato.UsageError, match=line):
        call(model)


def test_streamed_pieces_are_what_write_returns(model):
    pieces = list(model.stream("风", lines=3, seed=7))
    assert "".join(pieces) == model.write("风", lines=3, seed=7)
    assert len(pieces) > 3
    with pytest.raises(ostinato.UsageError, match="lines must be 1 or more"):
        model.stream("风", lines=0)


def test_many_prompts_are_written_as_if_each_were_alone(model):
    prompts = ["风", "山", "", "等你"]
    assert model.write(prompts, lines=2, seed=7) == [model.write(p, lines=2, seed=7) for p in prompts]
    assert model.write(prompts, tokens=4, seed=7, count=2) == [
        model.write(p, tokens=4, seed=7, count=2) for p in prompts
    ]
    assert model.write([], seed=1) == []
    assert model.write(["风"]) != model.write(["风"])  # no seed takes a new one


def test_many_texts_are_scored_at_once(model):
    texts = ["风在山里等你", "风", "x\ny", "等你等你等你"]
    for one, text in zip(model.score(texts), texts, strict=True):
        assert one.nats == pytest.approx(model.score(text).nats)
        assert (one.tokens, one.characters) == (model.score(text).tokens, len(text))
    with pytest.raises(ostinato.TextError, match="nothing to measure"):
        model.score(["风", ""])


def test_log_probabilities_of_tokens(model):
    got = model.logprobs("风在")
    assert [t.token for t in got] == ["风", "在", "<end>"]
    assert sum(t.log_probability for t in got) == pytest.approx(-model.score("风在").nats)


def test_a_form_does_not_go_with_tokens_or_stops(model):
    from ostinato import Form

    for options in ({"tokens": 5}, {"stop": "x"}):
        with pytest.raises(ostinato.UsageError, match=r"= does not go with form=, .* leave one out"):
            model.write(form=Form(length=5), **options)


def test_unknown_precisions_are_refused_where_they_are_given(model):
    with pytest.raises(ostinato.UsageError, match="precision must be one of fp32, int8, got 'fp8'"):
        ostinato.load(model.path, precision="fp8")


def test_history_and_html(model):
    assert [row["step"] for row in model.history][-1] == 30
    html = model._repr_html_()
    assert "language model of" in html
    assert ("<svg" in html) == (len(model.history) > 1)
    assert isinstance(model.history, list)
    shown = model.history._repr_html_()
    assert f"<p>{len(model.history)} rows</p>" in shown
    assert "heldout loss" in shown
    assert type(model.history)()._repr_html_() == "<div><p>0 rows</p></div>"


def test_a_picture_of_the_losses(model, tmp_path):
    picture = model.plot()
    assert "<svg" in picture._repr_svg_()
    for name in ("a.svg", "a.png"):
        picture.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(ostinato.UsageError, match=r"saved as \.svg or \.png"):
        picture.save(tmp_path / "a.gif")
    model.save(tmp_path / "alone")
    with pytest.raises(ostinato.UsageError, match="nothing to plot"):
        ostinato.load(tmp_path / "alone").plot()


def test_a_copied_model_writes_the_same_words(model, tmp_path):
    pytest.importorskip("pypinyin")
    from ostinato import Form

    assert model.known_words
    model.save(tmp_path / "copy")
    again = ostinato.load(tmp_path / "copy")
    assert again.known_words == model.known_words
    assert again.history == []
    options = {"form": Form(lines=2, length=5), "seed": 3}
    assert again.write(**options) == model.write(**options)


def test_a_pickled_or_copied_model_is_the_same_by_its_path(model, tmp_path, monkeypatch):
    expected = model.write("风", tokens=10, seed=3)
    copied, quick = copy.deepcopy(model), ostinato.load(model.path, precision="int8")
    assert copied is not model
    assert copied.write("风", tokens=10, seed=3) == expected
    assert pickle.loads(pickle.dumps(quick)).write("风", tokens=10, seed=3) == quick.write("风", tokens=10, seed=3)
    monkeypatch.chdir(model.path.parent)
    sent = pickle.dumps(ostinato.load(model.path.name))
    monkeypatch.chdir(tmp_path)  # the path that is sent does not depend on the folder
    assert len(sent) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_written, (pickle.loads(sent),)) == expected
    model.save(tmp_path / "gone")
    sent = pickle.dumps(ostinato.load(tmp_path / "gone"))
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    with pytest.raises(ostinato.BundleError, match="no model at"):
        pickle.loads(sent)


def _written(model):
    return model.write("风", tokens=10, seed=3)


def test_write_in_form(model):
    pytest.importorskip("pypinyin")
    from ostinato.form import Form

    text = model.write(lines=2, form=Form(length=5, acrostic="风雨", language="zh"), seed=1)
    assert [line[0] for line in text.split("\n")] == ["风", "雨"]
    assert all(len(line) == 5 for line in text.split("\n"))


def test_score_save_and_load(model, tmp_path):
    figure = model.score("风在山里等你").bits_per_character
    model.save(tmp_path / "copy")
    again = ostinato.load(tmp_path / "copy")
    assert again.score("风在山里等你").bits_per_character == figure
    assert json.dumps(again.config) == json.dumps(model.config)
    assert repr(again).startswith("<ostinato.Model mixture")
    int8 = ostinato.load(tmp_path / "copy", precision="int8").score("风在山里等你").bits_per_character
    assert int8 == pytest.approx(figure, rel=0.02)


def test_saving_replaces_models_and_nothing_else(model, tmp_path):
    model.save(tmp_path / "copy")
    model.save(tmp_path / "copy")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.txt").write_text("mine")
    for target in (tmp_path / "photos", tmp_path / "photos" / "cat.txt", model.path.parent):
        with pytest.raises(ostinato.BundleError, match=r"is not part of a saved model|it is a file"):
            model.save(target)
    assert (tmp_path / "photos" / "cat.txt").read_text() == "mine"


def test_novelty_needs_the_training_text(model, tmp_path):
    assert model.novelty("风在春里等你").longest.length > 1
    model.save(tmp_path / "copy")
    with pytest.raises(ostinato.UsageError, match="copies cannot be found"):
        ostinato.load(tmp_path / "copy").novelty("风")


def test_a_backward_model_writes_towards_its_prompt(verses):
    settings = {**SMALL, "text.direction": "backward"}
    model = ostinato.train(verses, steps=10, settings=settings, progress=False)
    assert model.write("等你", tokens=6, seed=1).endswith("等你")
    with pytest.raises(ostinato.UsageError, match="would read the title last"):
        model.write("等你", title="风")
    folder = model.path.parents[1]
    assert folder.exists()
    del model
    gc.collect()
    assert not folder.exists()


def test_ngram_models_are_models_too(verses):
    model = ostinato.train(verses, recipe="kneser-ney", settings={"ngram.order": 3}, progress=False)
    assert model.score("风在山里等你").perplexity > 1
    assert isinstance(model.write("风", tokens=5, seed=1), str)


@pytest.fixture
def ctrl_c():
    """Ctrl-C is a KeyboardInterrupt, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run_is_saved_and_interrupts(verses, tmp_path, monkeypatch):
    monkeypatch.setattr("ostinato.runs.network.stop_on_signals", lambda *_: nullcontext([signal.SIGINT]))
    options = {"settings": SMALL, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        ostinato.train(verses, out=tmp_path / "m", steps=4, **options)
    monkeypatch.undo()
    assert ostinato.load(tmp_path / "m").score("风").perplexity > 1
    model = ostinato.train(verses, out=tmp_path / "m", steps=6, resume=True, **options)
    assert model.path == tmp_path / "m" / "model"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.usefixtures("ctrl_c")
def test_a_temporary_folder_goes_with_ctrl_c_and_stays_with_a_model(verses, temporary, monkeypatch):
    monkeypatch.setattr("ostinato.runs.network.stop_on_signals", lambda *_: nullcontext([signal.SIGINT]))
    with pytest.raises(KeyboardInterrupt):
        ostinato.train(verses, steps=2, settings=SMALL, progress=False)
    assert list(temporary.glob("ostinato-*")) == []
    monkeypatch.setattr("ostinato.runs.network.stop_on_signals", lambda *_: nullcontext([signal.SIGTERM]))
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        model = ostinato.train(verses, steps=2, settings=SMALL, progress=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert model.path.is_relative_to(temporary)


def test_a_temporary_folder_goes_with_a_process_that_is_terminated(verses, temporary):
    code = (
        "import contextlib, json, signal, sys, ostinato, ostinato.runs.network as running\n"
        "running.stop_on_signals = lambda *_: contextlib.nullcontext([signal.SIGTERM])\n"
        "ostinato.train(sys.argv[1], steps=2, settings=json.loads(sys.argv[2]), progress=False)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, verses, json.dumps(SMALL)], env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == -signal.SIGTERM, run.stderr
    assert list(temporary.glob("ostinato-*")) == []


@pytest.mark.parametrize("recipe", ["default", "kneser-ney"])
def test_a_temporary_folder_goes_with_what_is_raised(tmp_path, temporary, recipe):
    with pytest.raises(ostinato.TextError, match="does not exist"):
        ostinato.train(tmp_path / "nothing.txt", recipe=recipe, progress=False)
    assert list(temporary.iterdir()) == []


def test_what_cannot_be_resumed(verses, tmp_path):
    with pytest.raises(ostinato.UsageError, match="counted anew each time: leave out resume=True"):
        ostinato.train(verses, out=tmp_path / "m", recipe="kneser-ney", resume=True)
    with pytest.raises(ostinato.UsageError, match="name it with out="):
        ostinato.train(verses, resume=True)
    assert not (tmp_path / "m").exists()


def test_a_missing_model_is_a_missing_file_and_a_bad_value_a_bad_value(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        ostinato.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="lines must be"):
        model.write(lines=0)


def test_where_lines_are_documents_lines_are_counted(verses):
    settings = {**SMALL, "text.documents": "lines"}
    model = ostinato.train(verses, steps=30, settings=settings, progress=False)
    text = model.write("风", lines=3, seed=1)
    assert sum(1 for line in text.split("\n") if line.strip()) == 3
    assert len(text) < 600


def test_wrong_calls():
    with pytest.raises(ostinato.UsageError, match="no text given"):
        ostinato.train()
    with pytest.raises(ostinato.UsageError, match=r"makes language models, got task.name = tag: .* --task tag"):
        ostinato.train("tags.tsv", settings={"task.name": "tag"})
    with pytest.raises(ostinato.SettingsError, match="has no field 'sell'"):
        ostinato.train("lyrics-zh", settings={"model.sell": "gru"})
    with pytest.raises(AttributeError, match="has no attribute 'compose'"):
        ostinato.compose  # noqa: B018
    assert "train" in dir(ostinato)


@pytest.mark.parametrize("flushed", [False, True])
def test_training_leaves_the_caller_s_denormal_mode(verses, tmp_path, flushed):
    torch.set_flush_denormal(flushed)
    settings = {"model.hidden_size": 8, "training.batch_size": 4, "training.window": 8}
    ostinato.train(verses, out=tmp_path / "m", steps=2, settings=settings, progress=False)
    assert (float(torch.tensor(1e-300, dtype=torch.float64) * 1e-10) == 0.0) is flushed


def test_text_itself_is_learnt_from(verses_text, tmp_path):
    songs = [song for song in verses_text.split("# ") if song]
    settings = {"model": {"hidden_size": 8, "embedding_size": 4, "mixture": "none"},
                "training": {"batch_size": 2, "window": 8}}  # fmt: skip
    options = {"steps": 3, "settings": settings, "progress": False}
    one = ostinato.train(text=verses_text, out=tmp_path / "one", **options)
    many = ostinato.train(text=(song for song in songs), out=tmp_path / "many", **options)
    assert one.config["model"]["hidden_size"] == 8
    split = many.config["text"]
    assert split["train"]["documents"] + split["heldout"]["documents"] == len(songs)
    assert (tmp_path / "one" / "metrics.jsonl").is_file()
    for wrong, message in ((3, "an iterable of texts"), ([3], "an iterable of texts"), (["\udc80"], "no UTF-8 form")):
        with pytest.raises(ostinato.UsageError, match=message):
            ostinato.train(text=wrong)
    with pytest.raises(ostinato.UsageError, match="not both"):
        ostinato.train("a.txt", text="b")


def test_a_recipe_and_a_task_have_a_door_at_the_top(tmp_path):
    from ostinato.settings import ModelSettings, TrainingSettings

    recipe = ostinato.Recipe(
        model=ModelSettings(hidden_size=8, embedding_size=4), training=TrainingSettings(steps=4, batch_size=4)
    )
    (tmp_path / "moods.tsv").write_text("text\tmood\n" + "ab\tx\nba\ty\n" * 10, "utf-8")
    model = ostinato.train_task(tmp_path / "moods.tsv", task="classify", recipe=recipe, out=tmp_path / "m",
                                settings={"task.label": "mood"}, progress=False)  # fmt: skip
    assert ostinato.load(tmp_path / "m").predict(["ab", "ba"]) == model.predict(["ab", "ba"])
    assert set(model.predict(["ab"])) <= {"x", "y"}
    with pytest.raises(ostinato.UsageError, match="files to learn from, or records="):
        ostinato.train_task(task="tag")
    with pytest.raises(ostinato.UsageError, match="task is language"):
        ostinato.train_task("a", task="language")
    with pytest.raises(ostinato.SettingsError, match=r"model.layers must be between 1 and 16, got 99"):
        ModelSettings(layers=99)


def test_a_language_model_does_not_predict(model):
    with pytest.raises(ostinato.BundleError, match="which cannot predict"):
        model.predict(["x"])
