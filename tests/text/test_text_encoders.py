"""Several processes encode a text to the ids that one makes."""

import os
import signal

import numpy as np
import pytest

from ostinato.errors import TextError
from ostinato.settings import TextSettings
from ostinato.text import build, encoders, prepare
from ostinato.text.encoders import Encoders, processes_for

TEXT = (
    "# one\nthe old cat sings, 春天 and ça\n\n# two\nthe sun\n" * 40 + "# three\n" + "a long one of many words " * 3000
)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("tokenizer", ["word", "whitespace"])
def test_the_same_ids(tmp_path, monkeypatch, tokenizer, direction):
    """Of documents that are gathered, and of one that comes in pieces."""
    from ostinato.text import documents, sources, writing

    for place in (documents, sources):
        monkeypatch.setattr(place, "PIECE", 4000)
    monkeypatch.setattr(writing, "_BATCH", 300)
    (tmp_path / "text").write_text(TEXT)
    settings = TextSettings(tokenizer=tokenizer, direction=direction, documents="^# ", heldout=0.1)
    one = prepare([tmp_path / "text"], settings, tmp_path / "one")
    monkeypatch.setattr(encoders, "LARGE", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    started = []
    monkeypatch.setattr(Encoders, "_start", lambda self, start=Encoders._start: started.append(1) or start(self))
    two = prepare([tmp_path / "text"], settings, tmp_path / "two")
    assert len(started) == 2
    assert np.array_equal(one.train.ids, two.train.ids)
    assert np.array_equal(one.heldout.ids, two.heldout.ids)


def test_what_a_process_cannot_do_is_done_here():
    """It is killed in between; a text that has no ids is an error of the caller's."""
    tokenizer = build("word", ["one two three\n"] * 3)
    with Encoders(tokenizer, 1) as both:
        assert both.submit(["one two"], False).result().tolist() == tokenizer.encode("one two").tolist()
        with pytest.raises(TextError, match="lone surrogate"):
            both.submit(["\ud800"], False).result()
        os.kill(both._workers[0].pid, signal.SIGKILL)
        for _ in range(2):
            assert (
                both.submit(["one", "two"], True).result().tolist()
                == tokenizer.encode_documents(["one", "two"]).tolist()
            )
    assert [worker.poll() for worker in both._workers] == [-signal.SIGKILL]


def test_an_error_ends_them():
    with pytest.raises(KeyError), Encoders(build("byte", []), 2) as both:
        raise KeyError
    assert all(worker.poll() is not None for worker in both._workers)


def test_small_texts_need_none(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    words, characters = (build(kind, ["of words of"], 1) for kind in ("word", "character"))
    sizes = (0, encoders.LARGE - 1, encoders.LARGE)
    assert [processes_for(size, words) for size in sizes] == [1, 1, encoders.MOST]
    assert processes_for(encoders.LARGE, characters) == 1
