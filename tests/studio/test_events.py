"""What is told as it happens."""

import json

import httpx

from ostinato.studio.events import Tail


def test_a_tail_gives_whole_lines_once_and_begins_anew_with_another_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    tail = Tail(path)
    assert tail.read() == ([], False)
    path.write_bytes(b"one\ntwo\nthr")
    assert tail.read() == ([b"one", b"two"], True)
    assert tail.read() == ([], False)
    with path.open("ab") as file:
        file.write(b"ee\n")
    assert tail.read() == ([b"three"], False)
    (tmp_path / "other").write_bytes(b"new\n")
    (tmp_path / "other").replace(path)
    assert tail.read() == ([b"new"], True)
    path.unlink()
    assert tail.read() == ([], True)
    path.symlink_to("/etc/hostname")
    assert tail.read() == ([], False)


def test_the_lists_come_at_once_and_when_they_change(studio):
    seen, kind, posted = [], "", None
    with studio.http.stream("GET", "/studio/api/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                seen.append((kind, json.loads(line[6:])))
            if len(seen) == 3 and posted is None:
                posted = httpx.post(
                    f"{studio.url}/studio/api/texts", json={"name": "told", "text": "a text\n" * 20},
                    headers={"authorization": f"Bearer {studio.token}"}, timeout=60,
                )  # fmt: skip
            if len(seen) == 4:
                break
    assert posted.status_code == 201
    assert [k for k, _ in seen] == ["texts", "runs", "comparisons", "texts"]
    assert "told.txt" in [text["name"] for text in seen[3][1]["texts"]]
    studio.http.delete("/studio/api/texts/told.txt")


def test_two_runs_of_one_text_begun_at_once_have_two_names(studio):
    asked = {"text": "verses.txt", "recipe": "kneser-ney", "name": "twice"}
    names = [studio.http.post("/studio/api/runs", json=asked).json()["name"] for _ in range(2)]
    assert len(set(names)) == 2
