"""The writing loop with small models whose every choice is known."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.generation import BlockModel, Piece, Sampler, Stop, TextModel, WriteRequest, Written, stream
from ostinato.generation.batch import BLOCK, Batch
from ostinato.generation.batch import write as write_requests
from ostinato.generation.random import uniforms
from ostinato.protocols import END_OF_DOCUMENT, StepModel
from ostinato.text.tokenizers import build
from ostinato.text.utf8 import Utf8State

TEXT = "# 分开\n春天的桥上\n你说雨停了\n\n夏天的灯下\n我等你回来\n# Night\nthe rain, the bridge\n"
TOKENIZERS = [build(kind, [TEXT] * 2, 1) for kind in ("character", "word", "byte", "whitespace")]
CHARACTERS = TOKENIZERS[0]


def asked(model, tokenizer, prompt="", heading="", seed=0, sampler=None, **options):
    request = WriteRequest(prompt=prompt, seed=seed, sampler=sampler or Sampler(), **options)
    return TextModel(model, tokenizer, heading), request


def write(*args, **options):
    return write_requests(*asked(*args, **options))


def generate(*args, **options):
    return stream(*asked(*args, **options))


class Hashed:
    """Logits are pseudo-random numbers of all that was read; a state is the tuple of what each row read."""

    def __init__(self, vocabulary_size, favoured=()):
        self.vocabulary_size = vocabulary_size
        self.favoured = list(favoured)
        self.read = []

    def initial_state(self, batch):
        return ((),) * batch

    def step(self, ids, state):
        assert len(ids) == len(state)
        state = tuple((*row, int(i)) for row, i in zip(state, ids, strict=True))
        self.read.append(len(ids))
        z = np.stack([self.logits(row) for row in state])
        return z, state

    def logits(self, row):
        z = np.random.default_rng([len(row), *row[-3:]]).normal(0, 3, self.vocabulary_size)
        z[self.favoured] += 4
        return z.astype(np.float32)

    def select(self, state, rows):
        return tuple(state[r] for r in rows)

    def score(self, ids):
        raise NotImplementedError


class Scripted(Hashed):
    """Writes one text, whatever it is given to read: after reading n ids in total, the next is script[n - skip]."""

    def __init__(self, tokenizer, script, skip=1):
        super().__init__(tokenizer.vocabulary_size)
        self.script = script if isinstance(script, list) else [*tokenizer.encode(script).tolist(), END_OF_DOCUMENT]
        self.skip = skip

    def logits(self, row):
        z = np.full(self.vocabulary_size, -30.0)
        z[self.script[min(max(len(row) - self.skip, 0), len(self.script) - 1)]] = 0
        return z


class Blocked(Hashed):
    """`Hashed` with a loop of its own, as a native engine has it."""

    blocks = 0

    def decode_block(self, ids, state, *, samplers, u, lengths, recent, forbidden, stops, before=()):
        self.blocks += 1
        drawn, after = [], []
        for b, row in enumerate(state):
            unread, out, sampler, past = int(ids[b]), [], samplers[b], list(recent[b])
            for t in range(lengths[b]):
                (z,), (row,) = self.step([unread], (row,))
                drawn_before = [[*before[b], *out]] if sampler.shifts else []
                z = np.where(forbidden[b], -np.inf, z)[None]
                unread = int(sampler(z, u[b, t : t + 1], [past], drawn_before)[0])
                past = [*past, unread][-sampler.remembers :] if sampler.remembers else []
                out.append(unread)
                if stops[b][unread]:
                    break
            drawn.append(out)
            after.append(row)
        return drawn, tuple(after)


def test_the_stand_ins_are_step_models():
    assert isinstance(Hashed(3), StepModel)
    assert isinstance(Blocked(3), BlockModel)
    assert not isinstance(Hashed(3), BlockModel)


def hashed(tokenizer=CHARACTERS, kind=Hashed):
    newline = tokenizer.encode("\n")[-1] if tokenizer.kind != "whitespace" else tokenizer.encode("的桥上")[-1]
    return kind(tokenizer.vocabulary_size, [newline, *range(257, tokenizer.vocabulary_size, 7)])


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.kind)
@pytest.mark.parametrize("kind", [Hashed, Blocked])
def test_rows_do_not_depend_on_their_company(tokenizer, kind):
    stop = Stop(tokens=40)
    sampler = Sampler(repetition_penalty=1.2, recent=5, top_p=0.95)
    together = write(hashed(tokenizer, kind), tokenizer, "春天 x", sampler=sampler, stop=stop, count=5, seed=3)
    alone = write(hashed(tokenizer, kind), tokenizer, "春天 x", sampler=sampler, stop=stop, count=2, seed=3)
    assert together[:2] == alone
    assert [w.row for w in together] == list(range(5))
    assert len({w.text for w in together}) == 5
    other = write(hashed(tokenizer, kind), tokenizer, "春天 x", sampler=sampler, stop=stop, count=2, seed=4)
    assert other != alone


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.kind)
def test_a_model_with_its_own_loop_writes_the_same(tokenizer):
    options = {"sampler": Sampler(repetition_penalty=1.5, recent=7), "count": 2, "seed": 11, "heading": "# "}
    for stop in (Stop(tokens=2 * BLOCK + 5), Stop(lines=3), Stop(texts=("天",))):
        own = hashed(tokenizer, Blocked)
        plain = write(hashed(tokenizer), tokenizer, "雨", stop=stop, **options)
        assert write(own, tokenizer, "雨", stop=stop, **options) == plain
        assert own.blocks


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.kind)
@pytest.mark.parametrize("at_once", [None, 1, 100])
def test_whole_blocks_give_the_same_texts_in_fewer_pieces(tokenizer, at_once):
    for stop in (
        Stop(tokens=2 * BLOCK + 5),
        Stop(lines=3),
        Stop(texts=("天", "的桥", "ai")),
        Stop(tokens=70, texts=("x",)),
    ):
        found = []
        for whole_blocks in (False, True):
            model, request = asked(
                hashed(tokenizer, Blocked), tokenizer, "雨", stop=stop, count=3, seed=5, heading="# ", sampler=Sampler()
            )
            batch, events = Batch(model, at_once if whole_blocks else None), []
            batch.admit(request, whole_blocks=whole_blocks)
            while batch:
                events += batch.advance()
            found.append(events)
        per_token, by_block = found
        for row in range(3):
            (plain,), (written,) = ([e for e in events if isinstance(e, Written) and e.row == row] for events in found)
            assert written == plain
            assert (written.ids, written.read) == (plain.ids, plain.read)
            pieces, longer = (
                [e for e in events if isinstance(e, Piece) and e.row == row and not e.title] for events in found
            )
            assert "".join(e.text for e in longer) == "".join(e.text for e in pieces) == written.text
            assert sum((e.ids for e in longer), ()) + written.rest == sum((e.ids for e in pieces), ()) + plain.rest
            assert len(longer) <= len(pieces)
        if tokenizer.kind != "byte" and stop.texts == () and at_once != 1:
            assert len(by_block) < len(per_token)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(0, 3), st.integers(0, 2**64 - 1))
def test_any_prompt_is_continued_and_every_piece_adds_up(prompt, which, seed):
    tokenizer = TOKENIZERS[which]
    model = hashed(tokenizer)
    events = list(generate(model, tokenizer, prompt, stop=Stop(tokens=30), count=2, seed=seed))
    for row in range(2):
        pieces = [e.text for e in events if isinstance(e, Piece) and e.row == row]
        (written,) = [e for e in events if isinstance(e, Written) and e.row == row]
        assert "".join(pieces) == written.text
        assert written.text.startswith(prompt)
        assert "\ufffd" not in written.text.removeprefix(prompt)
        assert all(pieces)
        assert written.tokens <= 30


def test_bytes_are_only_drawn_as_whole_characters():
    tokenizer = TOKENIZERS[2]
    flat = Scripted(tokenizer, [END_OF_DOCUMENT])
    flat.logits = lambda row: np.where(np.arange(257) == 0, -9.0, 0.0)
    texts = write(flat, tokenizer, stop=Stop(tokens=400), count=10, seed=2)
    assert "\ufffd" not in "".join(map(str, texts))
    assert max(map(ord, "".join(map(str, texts)))) > 0x7FF


def test_a_prompt_is_read_once_and_a_token_costs_one_step():
    model = hashed()
    write(model, CHARACTERS, "春天的桥上", stop=Stop(tokens=10))
    assert len(model.read) == 1 + 5 + 9  # the start, the prompt, and every drawn token but the last
    model = hashed()
    write(model, CHARACTERS, "春天的桥上", stop=Stop(tokens=10, lines=99), count=4)  # no row ends before its lines
    assert model.read == [1] * 5 + [4] * 10


def test_finished_rows_leave_the_batch():
    model = hashed()
    texts = write(model, CHARACTERS, stop=Stop(lines=2), count=6, seed=1)
    assert len({w.tokens for w in texts}) > 2
    assert model.read == [sum(w.tokens > n for w in texts) for n in range(len(model.read))]


def test_states_are_left_as_they_were():
    model = hashed()
    state = model.initial_state(1)
    before = copy.deepcopy(state)
    write(model, CHARACTERS, stop=Stop(tokens=5))
    assert state == before


def test_greedy_writes_what_the_model_holds_for_likeliest():
    got = write(Scripted(CHARACTERS, "春天的桥上\n你说"), CHARACTERS, sampler=Sampler(temperature=0), seed=99)
    assert got == [Written(0, "春天的桥上\n你说", None, "end of document", 9)]


def test_draws_use_row_and_position():
    model = hashed()
    (_, written) = write(model, CHARACTERS, stop=Stop(tokens=4), count=2, seed=9)
    ids, state, utf8 = [0], model.initial_state(1), Utf8State(CHARACTERS)
    for position in range(4):
        z, state = model.step(np.array(ids[-1:]), state)
        ids.append(int(Sampler()(np.where(utf8.allowed(), z, -np.inf), uniforms(9, [1], [position]))[0]))
        utf8.push(ids[-1])
    assert END_OF_DOCUMENT not in ids[1:]
    assert utf8.complete
    assert written.text == CHARACTERS.decode(np.array(ids)).rstrip("\n")


def test_the_end_of_the_document_waits_for_the_lines_asked_for():
    class Ending(Hashed):
        def logits(self, row):
            z = super().logits(row)
            z[END_OF_DOCUMENT] = 30
            return z

    model = Ending(CHARACTERS.vocabulary_size, CHARACTERS.encode("\n雨").tolist())
    (filled,) = write(model, CHARACTERS, "雨", stop=Stop(lines=3))
    assert filled.reason == "lines"
    assert sum(1 for line in filled.text.split("\n") if line.strip()) == 3
    (short,) = write(model, CHARACTERS, "雨", stop=Stop(lines=3, fill=False))
    assert (short.text, short.reason) == ("雨", "end of document")


def test_a_model_that_never_ends_is_stopped():
    model = Scripted(CHARACTERS, [CHARACTERS.encode("雨")[0]])
    (lines,) = write(model, CHARACTERS, stop=Stop(lines=2))
    assert (lines.reason, lines.tokens) == ("limit", 400)
    (document,) = write(model, CHARACTERS)
    assert (document.reason, document.tokens) == ("limit", 4096)
    (blank,) = write(Scripted(CHARACTERS, [CHARACTERS.encode("\n")[0]]), CHARACTERS, stop=Stop(lines=1))
    assert (blank.text, blank.reason) == ("", "limit")


class TestTitles:
    def test_the_model_makes_a_title_up_before_the_prompt(self):
        # reads <end> #, draws " 分开\n", reads 雨, goes on
        script = [*CHARACTERS.encode(" 分开\n").tolist(), 0, *CHARACTERS.encode("停了\n你说").tolist(), 0]
        model = Scripted(CHARACTERS, script, skip=2)
        events = list(generate(model, CHARACTERS, "雨", heading="# "))
        assert [(e.text, e.title) for e in events if isinstance(e, Piece)] == [
            *((c, True) for c in ("# ", "分", "开", "\n")),
            ("雨", False),
            *((c, False) for c in ("停", "了", "\n你", "说")),
        ]
        assert events[-1] == Written(0, "雨停了\n你说", "分开", "end of document", 10)

    def test_a_given_title_is_read_with_its_heading(self):
        model = hashed()
        events = list(generate(model, CHARACTERS, "雨", stop=Stop(tokens=1), heading="# ", title="分开"))
        assert len(model.read) == 1 + len("# 分开\n雨")
        assert events[:2] == [Piece(0, "# 分开\n", title=True), Piece(0, "雨")]
        assert events[-1].title == "分开"
        assert events[-1].text.startswith("雨")

    def test_a_prompt_with_a_heading_is_taken_as_it_stands(self):
        model = Scripted(CHARACTERS, "\n雨停了", skip=1 + len("# 分开"))
        (written,) = write(model, CHARACTERS, "# 分开", heading="# ")
        assert (written.text, written.title) == ("雨停了", "分开")
        model = Scripted(CHARACTERS, "停了", skip=1 + len("# 分开\n雨"))
        (written,) = write(model, CHARACTERS, "# 分开\n雨", heading="# ")
        assert (written.text, written.title) == ("雨停了", "分开")

    def test_lines_are_counted_without_the_title(self):
        model = hashed()
        (written,) = write(model, CHARACTERS, stop=Stop(lines=2), heading="# ", seed=5)
        assert sum(1 for line in written.text.split("\n") if line.strip()) == 2
        assert written.title is not None
        assert "\n" not in written.title

    def test_an_endless_title_is_ended(self):
        rain = CHARACTERS.encode("雨")[0]
        model = Scripted(CHARACTERS, [rain])
        (written,) = write(model, CHARACTERS, "桥", stop=Stop(tokens=3), heading="# ")
        assert (written.title, written.text) == ("雨" * 48, "桥雨雨雨")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"title": "x"}, "this model's texts have no titles"),
            ({"title": "x\ny", "heading": "# "}, "a title is one line, got 'x\\ny'"),
            ({"title": "x", "heading": "# ", "prompt": "# y"}, "the prompt already has a title"),
        ],
    )
    def test_titles_that_cannot_stand_there(self, options, message):
        with pytest.raises(UsageError, match=re.escape(message)):
            write(hashed(), CHARACTERS, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_wrong_use_is_refused_at_once(options, message):
    with pytest.raises(UsageError, match=message):
        generate(hashed(), CHARACTERS, **options)


@pytest.mark.parametrize("tokenizer", [t for t in TOKENIZERS if t.kind != "byte"], ids=lambda t: t.kind)
def test_only_known_characters_are_written(tokenizer):
    model = Hashed(tokenizer.vocabulary_size)
    stop = Stop(tokens=200)
    free, known = (write(model, tokenizer, count=4, stop=stop, only_known=only, heading="# ") for only in (False, True))
    assert set("".join(one.text + one.title for one in free)) - set(TEXT)
    assert not set("".join(one.text + one.title for one in known)) - set(TEXT)
    assert all(one.text for one in known)


def test_a_model_of_bytes_has_no_known_characters():
    tokenizer = next(t for t in TOKENIZERS if t.kind == "byte")
    with pytest.raises(UsageError, match="a model that writes bytes"):
        write(Hashed(tokenizer.vocabulary_size), tokenizer, only_known=True)


def test_an_empty_title_is_read_and_not_shown():
    model = Hashed(CHARACTERS.vocabulary_size)
    (written,) = write(model, CHARACTERS, "分", heading="# ", title="", stop=Stop(tokens=5))
    (given,) = write(model, CHARACTERS, "# \n分", heading="# ", stop=Stop(tokens=5))
    assert (written.text, written.title) == (given.text, "")
    events = list(generate(model, CHARACTERS, "分", heading="# ", title="", stop=Stop(tokens=5)))
    assert not any(isinstance(event, Piece) and event.title for event in events)
