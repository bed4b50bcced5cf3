"""Whatever is sent to whichever address: an answer in JSON, never a fault of the studio."""

import json
import random

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
