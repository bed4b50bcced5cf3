"""Writing in the studio: tokens as they come, alternatives, copies, lines, sounds, kept texts."""

import json

import numpy as np
import pytest

import ostinato
from ostinato.evaluation.surprisal import surprisals

FORM = {"lines": 4, "length": "5", "rhyme": "AABB"}


def written(studio, **body):
    """The events of a writing."""
    with studio.http.stream("POST", "/studio/api/write", json=body) as answer:
        if answer.status_code != 200:
            return answer.status_code, json.loads(answer.read())
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return 200, [json.loads(line) for line in lines[:-1]]


def tokens_of(events, index=0):
    return [token for event in events if event.get("index") == index for token in event.get("tokens", [])]


def finals(events):
    return [event for event in events if "reason" in event]


@pytest.mark.parametrize("name", ["lstm", "gru-words", "rnn-bytes", "kneser-ney", "songs"])
def test_every_token_comes_with_its_surprisal(studio, name):
    model = ostinato.load(studio.folder / name)
    status, events = written(studio, model=name, prompt="风在", tokens=20, seed=5, top=3)
    assert status == 200
    assert events[0] == {"seed": 5}
    (final,) = finals(events)
    assert final["text"] == model.write("风在", tokens=20, seed=5)
    tokens = tokens_of(events)
    assert "".join(token["text"] for token in tokens) == final["text"]
    assert [t["start"] for t in tokens[1:]] == [t["end"] for t in tokens[:-1]]
    assert "".join(t["text"] for t in tokens if t["prompt"]) == "风在"
    for token in tokens:
        assert len(token["top"]) == 3
        assert token["top"][0]["probability"] >= token["top"][1]["probability"]
    if name in ("lstm", "rnn-bytes"):  # these have no titles, and the text is read as score reads it
        ids = model.tokenizer.encode(final["text"])
        bits, _ = surprisals(model.step_model, ids)
        assert sum(token["bits"] for token in tokens) == pytest.approx(float(np.sum(bits)), rel=1e-3)


def test_several_texts_and_a_title(studio):
    _, events = written(studio, model="songs", prompt="风", title="夜", lines=2, count=3, seed=1)
    assert {event["title"] for event in finals(events)} == {"夜"}
    for final in finals(events):
        mine = tokens_of(events, final["index"])
        assert "".join(token["text"] for token in mine).startswith(final["text"])
    _, own = written(studio, model="songs", prompt="风", lines=2, seed=1)
    assert any(event.get("title") is True and event["piece"] for event in own)


def test_a_text_in_form_and_one_from_right_to_left_have_tokens_too(studio):
    pytest.importorskip("pypinyin")
    for body in ({"model": "songs", "form": {"lines": 2, "length": "5"}}, {"model": "backward", "tokens": 12}):
        status, events = written(studio, seed=3, **body)
        assert status == 200, events
        (final,) = finals(events)
        assert "".join(token["text"] for token in tokens_of(events)) == final["text"]


def test_what_cannot_be_written_is_said(studio):
    status, answer = written(studio, model="lstm", form={"lines": 1, "length": "5", "include": ["鑫鑫鑫鑫鑫鑫"]})
    assert status in (400, 422)
    assert answer["error"]["message"]
    assert written(studio, model="nobody")[0] == 404
    assert written(studio, model="lstm", temperature=-1)[0] == 400
    assert written(studio, model="lstm", top=1000)[0] == 400


def test_alternatives_at_a_place(studio):
    answer = studio.http.post("/studio/api/next", json={"model": "lstm", "text": "风在春里等", "k": 5}).json()["next"]
    assert len(answer) == 5
    model = ostinato.load(studio.folder / "lstm")
    first = answer[0]
    scored = model.logprobs("风在春里等" + first["text"])[-2]
    assert first["probability"] == pytest.approx(np.exp(scored.log_probability), abs=1e-4)
    assert [one["probability"] for one in answer] == sorted((one["probability"] for one in answer), reverse=True)
    everything = studio.http.post("/studio/api/next", json={"model": "lstm", "k": 200}).json()["next"]
    assert 0.5 < sum(one["probability"] for one in everything) < 1.0001


def test_what_stands_in_the_training_text_is_found_with_its_place(studio):
    model = ostinato.load(studio.folder / "lstm")
    training = model.tokenizer.decode(model.training_text.ids[:60])
    copied = training[4:24]
    given = f"鑫鑫{copied}鑫鑫"
    answer = studio.http.post("/studio/api/copies", json={"model": "lstm", "text": given, "tokens": 6}).json()
    longest = max(answer["copies"], key=lambda one: one["tokens"])
    assert given[longest["start"] : longest["end"]] == copied
    assert answer["longest"] == longest["tokens"]
    novelty = model.novelty(given).longest
    assert (novelty.length, novelty.document) == (longest["tokens"], longest["document"])
    assert training.endswith(longest["after"]) or longest["after"]
    assert studio.http.post("/studio/api/copies", json={"model": "lstm", "text": ""}).json()["copies"] == []


def test_line_by_line(studio):
    pytest.importorskip("pypinyin")
    asked = {"model": "songs", "lines": ["风在春里等你"], "count": 3, "form": {"lines": 4, "length": "6"}}
    first = studio.http.post("/studio/api/suggest", json=asked)
    assert first.status_code == 200, first.text
    assert 1 <= len(first.json()["lines"]) <= 3
    assert first.json() == studio.http.post("/studio/api/suggest", json=asked).json()
    assert not first.json()["complete"]
    ends = studio.http.post("/studio/api/suggest", json={**asked, "lines": ["a", "b", "c", "d"]})
    assert ends.json()["ends_stanza"] in (True, False)


def test_rhymes_to_choose_from(studio):
    pytest.importorskip("pypinyin")
    sounds = studio.http.get("/studio/api/sounds?language=zh&scheme=13&model=lstm").json()["sounds"]
    assert len(sounds) == 13
    assert sounds[0]["lines"] >= sounds[1]["lines"]
    assert "江阳" in {sound["sound"] for sound in sounds}
    english = studio.http.get("/studio/api/sounds?language=en").json()["sounds"]
    assert "AY T" in {sound["sound"] for sound in english}
    assert studio.http.get("/studio/api/sounds?language=xx").status_code == 400
    assert studio.http.get("/studio/api/sounds?scheme=99").status_code == 400


def test_texts_are_kept(studio):
    kept = {"text": "<script>alert(1)</script>\n夜", "model": "lstm", "branches": [1, 2]}
    assert studio.http.put("/studio/api/writings/歌", json=kept).json() == {"name": "歌"}
    assert studio.http.get("/studio/api/writings/歌").json() == kept
    (listed,) = studio.http.get("/studio/api/writings").json()["writings"]
    assert (listed["name"], listed["characters"]) == ("歌", len(kept["text"]))
    assert studio.http.put("/studio/api/writings/歌", json={"no": "text"}).status_code == 400
    assert studio.http.put("/studio/api/writings/歌", json={"text": "x" * (2 << 20)}).status_code == 413
    assert studio.http.delete("/studio/api/writings/歌").status_code == 200
    assert studio.http.get("/studio/api/writings/歌").status_code == 404


def test_the_routes_of_serve_are_there(studio):
    body = {"model": "lstm", "prompt": "风", "max_tokens": 3, "seed": 1}
    assert studio.http.post("/v1/completions", json=body).json()["choices"][0]["text"]
    names = {model["id"] for model in studio.http.get("/v1/models").json()["data"]}
    assert {"lstm", "kneser-ney"} <= names
    assert studio.http.get("/api/info").status_code == 200
