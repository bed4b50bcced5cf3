import re

import pytest

from ostinato.errors import UsageError
from ostinato.generation import Sampler, Stop, WriteRequest


class SomeForm:
    def __init__(self, lines=None):
        self.lines = lines

    def with_lines(self, lines):
        return SomeForm(lines)


def test_a_request_draws_its_seed_when_it_is_made():
    assert WriteRequest(seed=7).seed == 7
    assert WriteRequest.of(seed=7) == WriteRequest(seed=7)
    assert len({WriteRequest().seed, WriteRequest.of(seed=None).seed, WriteRequest.of().seed}) == 3
    assert WriteRequest().sampler == Sampler(temperature=0.8) == WriteRequest.of().sampler


def test_loose_values_make_a_request():
    got = WriteRequest.of(
        "x", lines=2, tokens=9, stop="y", top_k=3, repetition_penalty=1.1, seed=1, count=2, max_copy=5
    )
    assert got == WriteRequest(
        prompt="x", stop=Stop(lines=2, tokens=9, texts=("y",)), seed=1, count=2, max_copy=5,
        sampler=Sampler(temperature=0.8, top_k=3, repetition_penalty=1.1),
    )  # fmt: skip


def test_lines_are_those_of_a_stanza_of_the_form():
    got = WriteRequest(form=SomeForm(), stop=Stop(lines=3))
    assert got.form.lines == 3
    assert got.stop == Stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"count": True}, "count must be 1 or more, got True"),
        ({"max_copy": 0}, "max_copy must be 1 or more, got 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"title": "a\nb"}, "a title is one line"),
        ({"prompt": None}, "prompt must be a text, got None"),
        ({"search": "depth"}, "search must be sample or beam, got 'depth'"),
        ({"form": SomeForm(), "tokens": 5}, "tokens= does not go with form="),
        ({"form": SomeForm(), "stop": ("x",)}, "stop= does not go with form="),
        ({"temperature": -1}, "temperature must be 0 or more, got -1"),
        ({"lines": 0}, "lines must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_where_it_is_asked(options, message):
    prompt = options.pop("prompt", "")
    with pytest.raises(UsageError, match=re.escape(message)):
        WriteRequest.of(prompt, **options)
