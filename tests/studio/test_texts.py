"""Texts in, what is understood of them, texts out."""

import pytest

SONG = "# 歌\n风在春里等你\n你在风里等春\n\n" * 20


def add(studio, name, content):
    return studio.http.post(
        "/studio/api/texts", params={"name": name}, content=content, headers={"content-type": "text/plain"}
    )


def test_a_file_is_understood_before_anything_is_trained(studio):
    text = add(studio, "songs.txt", SONG.encode("gb18030")).json()
    assert (text["name"], text["kind"], text["files"]) == ("songs.txt", "file", 1)
    report = studio.http.get("/studio/api/texts/songs.txt", params={"documents": "^# "}).json()["report"]
    assert report["encodings"] == [{"file": "songs.txt", "encoding": "gb18030", "guessed": True}]
    assert report["train"]["documents"] + report["heldout"]["documents"] == 20
    assert report["samples"][0] == "# 歌\n风在春里等你\n你在风里等春"
    assert report["language"] == "zh"
    assert report["vocabulary"] > 257
    assert report["notes"] == ["songs.txt: no encoding is marked, read as gb18030"]
    again = studio.http.get("/studio/api/texts/songs.txt", params={"documents": "^# "}).json()["report"]
    assert again == report
    words = studio.http.get("/studio/api/texts/songs.txt", params={"tokenizer": "word"}).json()["report"]
    assert words["tokenizer"] == "word"
    wrong = studio.http.get("/studio/api/texts/songs.txt", params={"tokenizer": "runes"})
    assert wrong.status_code == 400
    assert studio.http.delete("/studio/api/texts/songs.txt").status_code == 200
    assert studio.http.get("/studio/api/texts/songs.txt").status_code == 404


def test_a_name_that_is_taken_gets_a_number(studio):
    names = [add(studio, "same.txt", SONG.encode()).json()["name"] for _ in range(2)]
    assert names == ["same.txt", "same 2.txt"]
    renamed = studio.http.patch("/studio/api/texts/same 2.txt", json={"name": "other.txt"})
    assert renamed.json()["name"] == "other.txt"
    assert studio.http.patch("/studio/api/texts/other.txt", json={"name": "same.txt"}).status_code == 409
    for name in ("same.txt", "other.txt"):
        studio.http.delete(f"/studio/api/texts/{name}")


def test_a_text_is_pasted(studio):
    answer = studio.http.post("/studio/api/texts", json={"name": "mine", "text": SONG})
    assert (answer.status_code, answer.json()["name"]) == (201, "mine.txt")
    assert (studio.folder / "texts" / "mine.txt").read_text("utf-8") == SONG
    studio.http.delete("/studio/api/texts/mine.txt")
    lone = {"content": b'{"name": "mine", "text": "a\\ud800"}', "headers": {"content-type": "application/json"}}
    assert studio.http.post("/studio/api/texts", **lone).status_code == 400
    assert studio.http.post("/studio/api/texts", json={"name": "mine"}).status_code == 400


@pytest.mark.parametrize("content", [b"", b"\0\1\2\3" * 100, b"PK\x03\x04broken"])
def test_what_is_no_text_is_refused_with_the_reason(studio, content):
    answer = add(studio, "no.txt", content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_text")
    assert "no.txt" in answer.json()["error"]["message"]
    assert not (studio.folder / "texts" / "no.txt").exists()


def test_the_bundled_texts_are_there_and_stay(studio):
    names = {text["name"]: text["kind"] for text in studio.http.get("/studio/api/texts").json()["texts"]}
    assert names["lyrics-en"] == "bundled"
    assert studio.http.delete("/studio/api/texts/lyrics-en").status_code == 400
    report = studio.http.get("/studio/api/texts/lyrics-en").json()["report"]
    assert report["language"] == "en"
    assert report["rhyme"]["lines"] > 1000
