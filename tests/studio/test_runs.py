"""Runs: what a folder says of them, training in a process of its own, and what survives."""

import io
import json
import os
import time
import zipfile

import pytest
from studio_tools import until

import ostinato
from ostinato.cli.main import main

TINY = {"model.hidden_size": 16, "training.window": 16, "training.batch_size": 4}


def state_of(studio, name):
    return studio.http.get(f"/studio/api/runs/{name}").json()["state"]


def test_a_run_of_the_terminal_is_listed_and_shown(studio):
    runs = {run["name"]: run for run in studio.http.get("/studio/api/runs").json()["runs"]}
    lstm = runs["lstm"]
    assert lstm["kind"] == "recurrent"
    assert lstm["has_model"]
    assert lstm["bits"] == pytest.approx(ostinato.load(studio.folder / "lstm").config["evaluation"]["held-out"][
        "bits_per_character"])  # fmt: skip
    assert runs["kneser-ney"]["kind"] == "ngram"
    shown = studio.http.get("/studio/api/runs/lstm").json()
    rows = (studio.folder / "lstm" / "metrics.jsonl").read_text().splitlines()
    assert [row["step"] for row in shown["rows"]] == [json.loads(row)["step"] for row in rows]
    assert shown["card"].startswith("# ")
    assert shown["recipe"]["model.cell"] == "lstm"


def test_a_model_can_be_carried_away(studio, tmp_path):
    answer = studio.http.get("/studio/api/runs/lstm/bundle.zip")
    assert "lstm.zip" in answer.headers["content-disposition"]
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path)
    text = "风在春里"
    assert ostinato.load(tmp_path / "lstm").score(text) == ostinato.load(studio.folder / "lstm").score(text)
    assert studio.http.get("/studio/api/runs/nothing/bundle.zip").status_code == 404


def test_renaming_copying_and_deleting(studio):
    copied = studio.http.post("/studio/api/runs/songs/duplicate", json={}).json()
    assert copied["name"] == "songs 2"
    assert studio.http.post("/api/score", json={"model": "songs 2", "text": "风"}).status_code == 200
    assert studio.http.patch("/studio/api/runs/songs 2", json={"name": "lstm"}).status_code == 409
    assert studio.http.patch("/studio/api/runs/songs 2", json={"name": "歌"}).json()["name"] == "歌"
    assert studio.http.post("/api/score", json={"model": "songs 2", "text": "风"}).status_code == 404
    assert studio.http.post("/api/score", json={"model": "歌", "text": "风"}).status_code == 200
    (studio.folder / "歌" / "mine.txt").write_text("my own notes")
    refused = studio.http.delete("/studio/api/runs/歌")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "foreign")
    assert "mine.txt" in refused.json()["error"]["message"]
    (studio.folder / "歌" / "mine.txt").unlink()
    assert studio.http.delete("/studio/api/runs/歌").json() == {"deleted": "歌"}
    assert not (studio.folder / "歌").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"text": "none.txt"}, "no text is called"),
        ({"text": "verses.txt", "recipe": "nothing"}, "no recipe is called"),
        ({"text": "verses.txt", "settings": {"model.cell": "brain"}}, "model.cell must be one of"),
        ({"text": "verses.txt", "settings": {"model.sell": "gru"}}, "no field"),
        ({"text": "verses.txt", "settings": {"nonsense": 1}}, "unknown table"),
        ({"text": "verses.txt", "settings": {"text.test_files": "/etc/passwd"}}, "files of this machine"),
        ({"text": "verses.txt", "settings": {"text.heldout_files": "/etc/passwd"}}, "files of this machine"),
        ({"text": "verses.txt", "minutes": 1, "steps": 4}, "one of them"),
        ({"text": "verses.txt", "minutes": -1}, "minutes must be"),
        ({"text": "verses.txt", "start": "nobody"}, "no run is called"),
        ({"text": "verses.txt", "name": "../up"}, "a name has none of"),
        ({"text": "verses.txt", "name": "texts"}, "a folder of the studio's own"),
        ({"text": "verses.txt", "settings": {"task.name": "tag"}}, "language models"),
    ],
)
def test_what_cannot_be_trained_is_said_at_once(studio, body, said):
    answer = studio.http.post("/studio/api/runs", json=body)
    assert answer.status_code in (400, 404)
    assert said in answer.json()["error"]["message"]


def events(studio, name, until_state, seconds=120):
    """The events of a run until it is in a state."""
    found, kind = [], ""
    end = time.monotonic() + seconds
    with studio.http.stream("GET", f"/studio/api/runs/{name}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            assert time.monotonic() < end, found[-3:]
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
                if kind == "run" and found[-1][1]["state"] == until_state:
                    return found
    raise AssertionError("the stream ended")


@pytest.mark.slow
def test_training_is_watched_stopped_continued_and_outlives_the_studio(start, tmp_path):
    folder = tmp_path / "dir"
    studio = start(folder)
    text = "".join(f"风{a}在{b}里等{c}\n" for a in "一二三四五" for b in "春夏秋冬" for c in "你我他她它") * 5
    studio.http.post("/studio/api/texts", json={"name": "verse", "text": text})
    asked = {"text": "verse.txt", "minutes": 30, "start": "none", "settings": {**TINY, "training.evaluate_every": 0.5}}
    run = studio.http.post("/studio/api/runs", json=asked).json()
    assert (run["name"], run["state"], run["budget"]["minutes"]) == ("verse", "starting", 30)
    busy = studio.http.delete("/studio/api/runs/verse")
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "busy")
    watched = events(studio, "verse", "running")
    assert {"rows", "samples", "run"} <= {kind for kind, _ in watched}
    shown = until(lambda: (s := studio.http.get("/studio/api/runs/verse").json())["samples"] and s)
    assert shown["rows"]
    assert 0 <= shown["progress"] <= 1
    assert shown["left"] > 60
    assert shown["lines"]["ngram"]["loss"] > 0
    assert shown["recipe"]["model.hidden_size"] == 16
    assert studio.stop() == 0  # the studio ends, training does not
    again = start(folder)
    assert state_of(again, "verse") == "running"
    assert again.http.post("/studio/api/runs/verse/stop").json()["state"] == "stopping"
    until(lambda: state_of(again, "verse") == "interrupted")
    stopped = again.http.get("/studio/api/runs/verse").json()
    assert stopped["text"] == "verse.txt"
    assert stopped["resumable"]
    steps = stopped["steps"]
    more = again.http.post("/studio/api/runs/verse/resume", json={"more_minutes": 0.05})
    assert more.status_code == 200, more.text
    until(lambda: state_of(again, "verse") == "finished")
    assert again.http.get("/studio/api/runs/verse").json()["steps"] > steps
    assert again.http.delete("/studio/api/runs/verse").status_code == 200
    assert not (folder / "verse").exists()


@pytest.mark.slow
def test_a_run_that_fails_says_why(studio):
    studio.http.post("/studio/api/texts", json={"name": "short", "text": "only this"})
    run = studio.http.post("/studio/api/runs", json={"text": "short.txt", "name": "short"}).json()
    assert run["state"] == "starting"
    failed = until(lambda: (r := studio.http.get("/studio/api/runs/short").json())["state"] == "failed" and r)
    assert "characters" in failed["message"]
    assert not failed["has_model"]
    assert studio.http.delete("/studio/api/runs/short").status_code == 200
    assert "short" not in [run["name"] for run in studio.http.get("/studio/api/runs").json()["runs"]]


def test_a_model_of_counts_is_made_too(studio):
    asked = {"text": "verses.txt", "name": "counts", "recipe": "kneser-ney"}
    assert studio.http.post("/studio/api/runs", json=asked).status_code == 201
    until(lambda: state_of(studio, "counts") == "finished")
    answer = studio.http.post("/api/write", json={"model": "counts", "prompt": "风", "tokens": 5, "seed": 1})
    assert answer.json()["texts"][0]["text"].startswith("风")
    studio.http.delete("/studio/api/runs/counts")


def test_a_run_of_the_terminal_over_a_failed_one_counts(studio):
    jobs = studio.folder / ".studio" / "jobs" / "runs"
    for name, content in (("songs.json", '{"text": "verses.txt", "started": 5}'), ("songs.out", ""),
                          ("songs.log", "ostinato: no such text\n")):  # fmt: skip
        (jobs / name).write_text(content)
        os.utime(jobs / name, (5, 5))
    assert state_of(studio, "songs") == "finished"
    later = time.time() + 100
    os.utime(jobs / "songs.log", (later, later))
    failed = studio.http.get("/studio/api/runs/songs").json()
    assert (failed["state"], failed["message"]) == ("failed", "no such text")
    for name in ("songs.json", "songs.out", "songs.log"):
        (jobs / name).unlink()


def test_settings_are_those_of_the_dataclasses(studio):
    schema = studio.http.get("/studio/api/settings").json()
    fields = {field["key"]: field for section in schema["sections"] for field in section["fields"]}
    assert fields["model.cell"]["choices"] == ["rnn", "rnn-relu", "gru", "lstm"]
    assert fields["model.hidden_size"]["type"] == "integer"
    assert fields["model.hidden_size"]["auto"]
    assert fields["model.dropout"]["high"] == 0.95
    assert fields["model.tied"]["type"] == "boolean"
    recipes = {recipe["name"]: recipe for recipe in schema["recipes"]}
    assert set(recipes["default"]["values"]) == set(fields)
    assert recipes["kneser-ney"]["changes"]["ngram.smoothing"] == "kneser-ney"


def test_the_command_refuses_what_it_cannot_use(tmp_path, capsys):
    (tmp_path / "file").write_text("a file")
    assert main(["studio", str(tmp_path / "file"), "--no-open"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(f"{tmp_path / 'file'} is a file, and the studio needs a folder: name another\n")
    assert len(said.splitlines()) == 1
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "texts").write_text("a file")
    assert main(["studio", str(tmp_path / "half"), "--no-open"]) == 2
    assert "texts is a file, and the studio needs a folder: move it away" in capsys.readouterr().err
    assert main(["studio", str(tmp_path / "file" / "below"), "--no-open"]) == 2
    assert "cannot use the folder" in capsys.readouterr().err
    assert main(["studio", str(tmp_path / "dir"), "--no-open", "--port", "70000"]) == 2
    assert main(["studio", str(tmp_path / "dir"), "--no-open", "--max-upload", "0"]) == 2
