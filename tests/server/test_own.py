"""Our own addresses, what evaluation harnesses ask, health and metrics, against a real server."""

import json

import httpx
import pytest
from server_tools import OLD

import ostinato
from ostinato.cli.main import main


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=30) as found:
        yield found


def score_of(capsys, name, text, tmp_path):
    """What `ostinato score --json --per-token` prints."""
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    assert main(["score", str(OLD / name / "model"), str(path), "--json", "--per-token"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", ["lstm", "kneser-ney", "backward"])
def test_score_is_what_ostinato_score_prints(http, name):
    text = "你在雨里等风 the winds"
    answer = http.post("/api/score", json={"model": name, "text": text, "per_token": True}).json()
    expected = ostinato.load(OLD / name / "model")
    assert answer["perplexity"] == pytest.approx(expected.score(text).perplexity, rel=1e-5)
    assert [t["id"] for t in answer["per_token"]] == expected.ids(text).tolist()
    assert min(t["rank"] for t in answer["per_token"]) >= 1
    short = http.post("/api/score", json={"model": name, "text": text}).json()
    assert short["bits_per_character"] == pytest.approx(answer["bits_per_character"], rel=1e-5)


def test_an_evaluation_harness_gets_what_score_prints(http, capsys, tmp_path):
    """The requests of lm-eval's `local-completions` with its remote tokenizer: rolling log-likelihood and a choice."""
    text = "你在雨里等风"
    info = http.get("/tokenizer_info", params={"model": "lstm"}).json()
    asked = {"model": "lstm", "prompt": info["eos_token"], "add_special_tokens": False}
    eos = http.post("/tokenize", json=asked).json()["tokens"]
    assert eos == [0]
    ids = http.post("/tokenize", json={"model": "lstm", "prompt": text, "add_special_tokens": False}).json()["tokens"]
    assert http.post("/detokenize", json={"model": "lstm", "tokens": ids}).json() == {"prompt": text}
    prompts = [eos + ids, ids[:3] + ids[3:]]
    body = {
        "model": "lstm", "prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True
    }  # fmt: skip
    choices = http.post("/v1/completions", json=body).json()["choices"]
    assert [len(c["logprobs"]["token_logprobs"]) for c in choices] == [len(prompt) + 1 for prompt in prompts]
    rolling, choice = (c["logprobs"] for c in choices)
    scored = score_of(capsys, "lstm", text, tmp_path)["per_token"]
    bits = [token["bits"] for token in scored]
    log2 = 0.6931471805599453
    assert sum(rolling["token_logprobs"][1:-1]) == pytest.approx(-sum(bits[:-1]) * log2, abs=1e-4)
    assert sum(choice["token_logprobs"][3:-1]) == pytest.approx(-sum(bits[3:-1]) * log2, abs=1e-4)
    greedy = [
        value == max(top.values())
        for value, top in zip(choice["token_logprobs"], choice["top_logprobs"], strict=True)
    ]  # fmt: skip
    assert greedy[:-1] == [token["rank"] == 1 for token in scored[:-1]]


def test_tokens_that_look_alike_have_different_names():
    from ostinato.server.tokens import TokenNames

    for name in ("gru-words", "window", "rnn-bytes"):
        tokenizer = ostinato.load(OLD / name / "model").tokenizer
        names = TokenNames(tokenizer)
        assert len({names[i] for i in range(tokenizer.vocabulary_size)}) == tokenizer.vocabulary_size


def test_write_takes_a_whole_request(http):
    asked = {"model": "songs", "prompt": "风", "title": "歌", "lines": 3, "seed": 8, "count": 2}
    answer = http.post("/api/write", json=asked).json()
    model = ostinato.load(OLD / "songs" / "model")
    assert [t["text"] for t in answer["texts"]] == model.write("风", title="歌", lines=3, seed=8, count=2)
    assert answer["texts"][0]["title"] == "歌"
    parts = http.post("/api/write", json={**asked, "stream": True}).text.split("\n\n")
    events = [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]
    assert parts[-2] == "data: [DONE]"
    assert events[0] == {"seed": 8}
    assert [e["text"] for e in events if "reason" in e] == [t["text"] for t in answer["texts"]]
    shown = "".join(e["piece"] for e in events if e.get("index") == 0 and "piece" in e and not e["title"])
    assert shown == answer["texts"][0]["text"]


def test_a_form_is_kept_or_refused(http):
    form = {"length": "2-6", "lines": 2, "language": "zh"}
    answer = http.post("/api/write", json={"model": "lstm", "form": form, "seed": 1})
    model = ostinato.load(OLD / "lstm" / "model")
    if answer.status_code == 200:
        expected = model.write(form=ostinato.Form(length="2-6", lines=2, language="zh"), seed=1)
        assert answer.json()["texts"][0]["text"] == expected
    else:
        assert answer.status_code == 422
    wrong = http.post("/api/write", json={"model": "lstm", "form": form | {"rhyme": "night", "acrostic": "abcdef"}})
    assert wrong.status_code in (400, 422)
    assert wrong.json()["error"]["message"]


def test_hidden_units(http):
    answer = http.post("/api/hidden", json={"model": "lstm", "text": "风雨", "units": [3, 0]}).json()
    model = ostinato.load(OLD / "lstm" / "model")
    _, hidden = model.step_model.read(model.ids("风雨"))
    assert answer["hidden"] == [[round(v, 5) for v in row] for row in hidden[:, [3, 0]].tolist()]
    assert answer["tokens"] == ["风", "雨", "<end>"]
    assert http.post("/api/hidden", json={"model": "lstm", "text": "风", "units": [99]}).status_code == 400
    assert http.post("/api/hidden", json={"model": "kneser-ney", "text": "风"}).status_code == 400


def test_health_metrics_and_the_document(http):
    assert http.get("/health").json() == http.get("/ready").json() == {"status": "ok"}
    http.post("/v1/completions", json={"model": "lstm", "prompt": "风", "max_tokens": 4})
    counted = http.get("/metrics").text
    assert 'ostinato_requests_total{route="/v1/completions",status="200"}' in counted
    assert 'ostinato_rows{model="lstm"} 0.0' in counted
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/completions", "/v1/chat/completions", "/api/write", "/api/score", "/health"} <= set(paths)
    assert paths["/v1/completions"]["post"]["requestBody"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("DELETE", "/v1/models", None, 405),
        ("POST", "/v1/completions", b"{", 400),
        ("POST", "/v1/completions", b"[" * 100_000, 400),
        ("POST", "/v1/completions", b'{"prompt": "a", "temperature": NaN}', 400),
        ("POST", "/v1/completions", b'{"prompt": "a", "max_tokens": ' + b"9" * 400 + b"}", 400),
        ("POST", "/v1/completions", b"[]", 400),
        ("POST", "/v1/completions", b"{}", 400),
        ("POST", "/v1/completions", b'{"model": "lstm", "prompt": []}', 400),
        ("POST", "/v1/completions", b'{"model": "lstm", "prompt": "\\ud800"}', 400),
        ("POST", "/v1/completions", b"\xff", 400),
        ("POST", "/v1/completions", b" " * (1 << 20) + b"{}", 413),
        ("POST", "/v1/chat/completions", b'{"model": "lstm", "messages": []}', 400),
        ("POST", "/v1/chat/completions", b'{"model": "lstm", "messages": [{"role": "user"}], "tools": [1]}', 400),
        ("POST", "/tokenize", b'{"model": "lstm", "prompt": 5}', 400),
        ("POST", "/detokenize", b'{"model": "lstm", "tokens": [292]}', 400),
        ("POST", "/api/score", b'{"model": "lstm", "text": ""}', 400),
        ("POST", "/api/write", b'{"model": "lstm", "title": "a"}', 400),
        ("POST", "/api/write", b'{"model": "lstm", "form": {"include": [""]}}', 400),
    ],
)
def test_what_cannot_be_is_refused_with_an_error_object(http, method, path, body, status):
    answer = http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_a_page_on_the_web_cannot_ask(http):
    assert http.post("/v1/completions", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert http.get("/v1/models", headers={"host": "evil.example:8000"}).status_code == 403
