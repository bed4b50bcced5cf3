"""Looking inside over HTTP."""

import base64

import numpy as np
import pytest

import ostinato

TEXT = "风在春里等你\n你在风里等春\n"


def ask(studio, what, **body):
    return studio.http.post(f"/studio/api/look/{what}", json=body)


@pytest.mark.parametrize("name", ["lstm", "gru-words", "kneser-ney", "backward", "rnn-bytes"])
def test_surprisal_is_score_s(studio, name):
    answer = ask(studio, "surprisal", model=name, text=TEXT, top=2).json()
    expected = ostinato.load(studio.folder / name).score(TEXT)
    assert answer["bits_per_character"] == pytest.approx(expected.bits_per_character, rel=1e-3)
    assert "".join(token["text"] for token in answer["tokens"]) == TEXT
    assert answer["tokens"][0]["start"] == 0


@pytest.mark.parametrize(("name", "size"), [("lstm", None), ("gru-words", None), ("rnn-bytes", None)])
def test_hidden_units_are_the_model_s(studio, name, size):
    answer = ask(studio, "hidden", model=name, text=TEXT, search="春").json()
    model = ostinato.load(studio.folder / name)
    ids = model.tokenizer.encode(TEXT)
    _, expected = model.step_model.read(np.append(ids, 0).astype(np.uint32))
    numbers = np.frombuffer(base64.b64decode(answer["hidden"]), np.int8).reshape(len(ids), answer["size"])
    np.testing.assert_allclose(numbers / 127 * answer["scale"], expected[1:], atol=answer["scale"] / 250)
    assert "".join(answer["tokens"]) == TEXT
    for name_ in ("line_end", "line_start", "position", "search"):
        follows = answer["follows"][name_]
        strengths = np.abs(np.array(follows["correlation"]))[follows["order"]]
        assert (np.diff(strengths) <= 1e-6).all()
    assert "quotes" not in answer["follows"]


def test_a_mixture_shows_its_network_and_its_own_surprisal(studio):
    model = ostinato.load(studio.folder / "mixture")
    answer = ask(studio, "hidden", model="mixture", text=TEXT).json()
    ids = model.tokenizer.encode(TEXT)
    assert answer["size"] == model.network.config["model"]["hidden_size"]
    nats = [-bits * np.log(2) for bits in answer["bits"]]
    np.testing.assert_allclose(nats, model.step_model.score(ids), atol=1e-3)
    assert ask(studio, "gates", model="mixture", text=TEXT, unit=0).status_code == 200


@pytest.mark.parametrize(("name", "parts"), [("lstm", "ifgoch"), ("gru-words", "rznh"), ("rnn-bytes", "h")])
def test_gates_of_a_unit(studio, name, parts):
    answer = ask(studio, "gates", model=name, text=TEXT, unit=1).json()
    assert list(answer["series"]) == list(parts)
    hidden = ask(studio, "hidden", model=name, text=TEXT).json()
    numbers = np.frombuffer(base64.b64decode(hidden["hidden"]), np.int8).reshape(-1, hidden["size"])
    np.testing.assert_allclose(answer["series"]["h"], numbers[:, 1] / 127 * hidden["scale"], atol=0.01)


def test_the_gradient_of_the_loss_by_distance(studio):
    answer = ask(studio, "gradients", model="lstm", distance=12).json()
    assert answer["distances"] == list(range(13))
    assert [(curve["name"], curve["trained"]) for curve in answer["curves"]] == [
        ("lstm", True), ("rnn", False), ("gru", False), ("lstm", False)
    ]  # fmt: skip
    for curve in answer["curves"]:
        assert curve["norms"][0] == 1
        assert all(norm >= 0 for norm in curve["norms"])


def test_the_embedding(studio):
    answer = studio.http.get("/studio/api/look/neighbours", params={"model": "lstm", "token": "风", "k": 5}).json()
    assert len(answer["neighbours"]) == 5
    similar = [one["similarity"] for one in answer["neighbours"]]
    assert similar == sorted(similar, reverse=True)
    missing = studio.http.get("/studio/api/look/neighbours", params={"model": "lstm", "token": "风在"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_token")
    drawn = studio.http.get("/studio/api/look/map", params={"model": "lstm", "most": 15}).json()
    assert 3 <= len(drawn["points"]) <= 15
    assert all(-1 <= point[axis] <= 1 for point in drawn["points"] for axis in "xy")
    counts = [point["count"] for point in drawn["points"]]
    assert counts == sorted(counts, reverse=True)


def test_two_models_on_one_text(studio):
    answer = ask(studio, "difference", models=["lstm", "gru-words"], text=TEXT).json()
    assert len(answer["a"]) == len(answer["b"]) == len(TEXT)
    assert answer["totals"]["a"] == pytest.approx(sum(answer["a"]) / len(TEXT), abs=1e-3)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("hidden", {"model": "kneser-ney", "text": TEXT}), ("gates", {"model": "lstm", "text": TEXT, "unit": 10_000}),
        ("hidden", {"model": "lstm", "text": ""}), ("hidden", {"model": "lstm", "text": TEXT, "layer": 7}),
        ("gradients", {"model": "lstm", "distance": 100_000}), ("surprisal", {"model": "lstm", "text": ""}),
        ("hidden", {"model": "backward", "text": TEXT}), ("gradients", {"model": "kneser-ney"}),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_said(studio, what, body):
    answer = ask(studio, what, **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_text_that_is_too_long(studio):
    assert ask(studio, "surprisal", model="lstm", text="风" * 20_001).status_code == 400
    assert ask(studio, "hidden", model="lstm", text="风" * 4097).status_code == 400
