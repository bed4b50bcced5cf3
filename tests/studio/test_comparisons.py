"""Comparisons in processes of their own, and their table."""

import pytest
from studio_tools import until

from ostinato.studio.comparisons import joined


def row(model, bits, group="n-gram"):
    return {"model": model, "bits_per_character": bits, "group": group}


def test_tables_of_several_models_become_one():
    base = {"tokenizer": "character", "vocabulary": 300, "tokens": 50, "characters": 49}
    first = {**base, "rows": [row("unigram", 5.0, "baseline"), row("Kneser-Ney 5", 3.0), row("lstm 8", 2.5, "network"),
                              row("cache", 4.0, "adapting"), row("lstm 8 + cache", 2.2, "adapting")],
             "notes": ["a", "b"]}  # fmt: skip
    second = {**base, "rows": [row("unigram", 5.0, "baseline"), row("Kneser-Ney 5", 3.0), row("lstm 8", 2.4, "network"),
                               row("cache", 4.0, "adapting"), row("lstm 8 + cache", 2.1, "adapting")],
              "notes": ["b"]}  # fmt: skip
    (table,) = joined([[first], [second]], ["one", "two"])
    assert [r["model"] for r in table["rows"]] == [
        "unigram", "Kneser-Ney 5", "one: lstm 8", "two: lstm 8", "cache", "one: lstm 8 + cache", "two: lstm 8 + cache"
    ]  # fmt: skip
    assert table["notes"] == ["a", "b"]
    other = {**second, "tokenizer": "word"}
    assert [t["tokenizer"] for t in joined([[first], [other]], ["one", "two"])] == ["character", "word"]
    assert joined([[first], []], ["one", "two"])[0]["rows"][2]["model"] == "one: lstm 8"


@pytest.mark.slow
def test_two_models_and_the_n_grams_on_one_text(studio):
    asked = {"text": "verses.txt", "models": ["lstm", "songs"], "order": 3}
    started = studio.http.post("/studio/api/comparisons", json=asked)
    assert (started.status_code, started.json()["state"]) == (201, "running")
    name = started.json()["name"]
    assert studio.http.delete(f"/studio/api/comparisons/{name}").status_code == 409
    done = until(lambda: (c := studio.http.get(f"/studio/api/comparisons/{name}").json())["state"] != "running" and c)
    assert done["state"] == "finished", done
    names = [r["model"] for table in done["table"] for r in table["rows"]]
    assert any(n.startswith("lstm: ") for n in names)
    assert any(n.startswith("songs: ") for n in names)
    assert done["picture"]
    picture = studio.http.get(f"/studio/api/comparisons/{name}/picture.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["content-security-policy"]
    assert [c["name"] for c in studio.http.get("/studio/api/comparisons").json()["comparisons"]] == [name]
    assert studio.http.delete(f"/studio/api/comparisons/{name}").status_code == 200
    assert studio.http.get(f"/studio/api/comparisons/{name}").status_code == 404


@pytest.mark.slow
def test_a_comparison_is_stopped(studio):
    asked = {"text": "lyrics-en", "minutes": 5, "name": "long"}
    studio.http.post("/studio/api/comparisons", json=asked)
    until(lambda: studio.http.get("/studio/api/comparisons/long").json()["log"])
    assert studio.http.post("/studio/api/comparisons/long/stop").json()["state"] == "stopping"
    until(lambda: studio.http.get("/studio/api/comparisons/long").json()["state"] != "stopping")
    assert studio.http.get("/studio/api/comparisons/long").json()["state"] == "interrupted"
    studio.http.delete("/studio/api/comparisons/long")


def test_what_cannot_be_compared(studio):
    for body in ({"text": "none.txt"}, {"text": "verses.txt", "models": ["nobody"]}):
        assert studio.http.post("/studio/api/comparisons", json=body).status_code == 404
    assert studio.http.post("/studio/api/comparisons", json={"text": "verses.txt", "order": 99}).status_code == 400
    assert studio.http.get("/studio/api/comparisons/none/picture.svg").status_code == 404
