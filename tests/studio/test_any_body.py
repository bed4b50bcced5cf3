"""Whatever is sent to whichever address: an answer in JSON, never a fault of the studio."""

import json
import random
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "src" / "ostinato" / "studio" / "page"
VALUES = [
    None, True, -1, 0, 3, 1e308, "", "风", "a" * 500, "../x", "<b>", "\x00", "\ud800", [], ["风"], [1, 2], {},
    {"a": {"b": []}}, "lstm", "verses.txt", 2**70, -2**70, 0.5,
]  # fmt: skip
NEVER = ("/studio/api/runs", "/studio/api/comparisons")
"""Addresses that begin processes where a body happens to be right."""


def test_no_body_and_no_name_is_a_fault(studio):
    paths = studio.http.get("/openapi.json").json()["paths"]
    draw = random.Random(7)
    asked = 0
    for path, methods in sorted(paths.items()):
        if not path.startswith("/studio/") or path.endswith("/events") or path in NEVER:
            continue
        for method, about in sorted(methods.items()):
            if method == "delete":
                continue
            for _ in range(6):
                address = path.replace("{name}", draw.choice(["lstm", "nothing", "a b", "%00", "..", "x" * 300, "%ff"]))
                body = {"headers": {"content-type": "application/json"}, "content": json.dumps(made(about, draw))}
                query = {
                    name: str(draw.choice(VALUES)).replace("\ud800", "?")
                    for name in ("model", "token", "k", "most", "language", "path")
                }
                given = body if method in ("post", "put", "patch") else {}
                answer = studio.http.request(method, address, params=query, **given)
                asked += 1
                assert answer.status_code not in (500,), (method, address, body, answer.text)
                if answer.status_code >= 400:
                    assert answer.json()["error"]["message"], (method, address)
                    assert str(studio.folder) not in answer.text
    assert asked > 100
    assert not [line for line in studio.said if "a fault of ostinato" in line]


def made(about, draw):
    """A body with some fields right, some not."""
    content = about.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields = content.get("schema", {}).get("properties", {})
    known = {"model": "lstm", "text": "风在春里", "models": ["lstm", "songs"], "name": "lstm"}
    found = {}
    for name in fields:
        chosen = draw.random()
        if chosen < 0.5 and name in known:
            found[name] = known[name]
        elif chosen < 0.9:
            found[name] = draw.choice(VALUES)
    return found if draw.random() < 0.9 else draw.choice(VALUES)


@pytest.mark.parametrize(
    ("method", "address", "body", "message"),
    [
        ("POST", "runs", {"text": "verses.txt", "minuts": 0.3}, 'unknown field "minuts": did you mean minutes?'),
        ("POST", "runs", {"text": "verses.txt", "minuts": None}, 'unknown field "minuts": did you mean minutes?'),
        ("POST", "comparisons", {"text": "verses.txt", "ordr": 2}, 'unknown field "ordr": did you mean order?'),
        ("POST", "texts", {"name": "a", "text": "b", "title": "c"},
         'unknown field "title": the fields are name, text'),
        ("POST", "folders", {"name": "a", "nmae": "b"}, 'unknown field "nmae": did you mean name?'),
        ("PATCH", "runs/lstm", {"name": "a", "force": True}, 'unknown field "force": the fields are name'),
        ("POST", "runs/lstm/resume", {"minutes": 1}, 'unknown field "minutes": did you mean more_minutes?'),
        ("POST", "write", {"model": "lstm", "form": {"ryhme": "AABA"}},
         'unknown field "ryhme" of form: did you mean rhyme?'),
        ("POST", "suggest", {"model": "lstm", "form": {"xyz": 1}}, 'unknown field "xyz" of form: the fields are lines'),
        ("POST", "look/gates", {"model": "lstm", "text": "风", "unitt": 1},
         'unknown field "unitt": did you mean unit?'),
    ],
)  # fmt: skip
def test_unknown_fields_are_refused(studio, method, address, body, message):
    names = {run["name"] for run in studio.http.get("/studio/api/runs").json()["runs"]}
    answer = studio.http.request(method, f"/studio/api/{address}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
    assert {run["name"] for run in studio.http.get("/studio/api/runs").json()["runs"]} == names


def test_the_routes_of_serve_pass_unknown_fields_over(studio):
    body = {"model": "lstm", "prompt": "风", "max_tokens": 2, "user": "somebody", "no_such_field": 1}
    assert studio.http.post("/v1/completions", json=body).status_code == 200
    assert studio.http.post("/api/write", json={"model": "lstm", "tokens": 2, "no_such_field": 1}).status_code == 200


def test_the_page_sends_known_fields_only(studio):
    """What stands in its sources as `post("/studio/api/...", { ... })`."""
    paths = studio.http.get("/openapi.json").json()["paths"]
    asked = 0
    for file in PAGE.rglob("*.js"):
        posted = re.compile(r'post\("(/studio/api/[\w/]+)", \{(.*?)\}\);?$', re.M | re.S)
        for address, fields in posted.findall(file.read_text("utf-8")):
            content = paths[address]["post"].get("requestBody", {}).get("content", {})
            if not content:
                continue  # bytes or JSON, which the address itself tells apart
            known = content["application/json"]["schema"]["properties"]
            flat = re.sub(r"\([^()]*(\([^()]*(\([^()]*\))*[^()]*\))*[^()]*\)|\[[^\]]*\]", "", fields)
            spread = re.findall(r"\{ (\w+)", fields)
            sent = {*re.findall(r"(?:^|,)\s*(\w+)\s*(?=[:,]|$)", flat), *spread}
            assert sent, (file.name, address)
            assert sent <= set(known), (file.name, address, sent - set(known))
            asked += 1
    assert asked >= 7
