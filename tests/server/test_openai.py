"""The `openai` package against a real server."""

import asyncio
import math

import openai
import pytest
from server_tools import OLD

import ostinato


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture(scope="module")
def model():
    return ostinato.load(OLD / "lstm" / "model")


def test_models_are_listed(client):
    assert [m.id for m in client.models.list()] == ["lstm", "songs", "backward", "kneser-ney", "gru-words"]
    assert client.models.retrieve("songs").id == "songs"


@pytest.mark.parametrize("name", ["lstm", "kneser-ney", "gru-words"])
def test_a_completion_is_what_write_gives(client, name):
    model = ostinato.load(OLD / name / "model")
    answer = client.completions.create(
        model=name, prompt=["风在", "the "], max_tokens=20, temperature=0.7, seed=5, n=2, extra_body={"top_k": 9}
    )
    expected = [
        text.removeprefix(prompt)
        for prompt in ("风在", "the ")
        for text in model.write(prompt, tokens=20, temperature=0.7, top_k=9, seed=5, count=2)
    ]
    assert [c.text for c in answer.choices] == expected
    assert [c.index for c in answer.choices] == [0, 1, 2, 3]
    assert {c.finish_reason for c in answer.choices} <= {"length", "stop"}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens == len(model.ids("风在")) + len(model.ids("the ")) - 2


def test_a_title_that_the_model_makes_up_is_no_part_of_the_completion(client):
    model = ostinato.load(OLD / "songs" / "model")
    answer = client.completions.create(model="songs", prompt="风", max_tokens=20, temperature=0.8, seed=3, logprobs=0)
    assert "风" + answer.choices[0].text == model.write("风", tokens=20, seed=3)
    assert len(answer.choices[0].logprobs.tokens) <= 20
    headed = client.completions.create(model="songs", prompt="# 歌", max_tokens=20, seed=3, stop="\n")
    assert headed.choices[0].finish_reason in ("stop", "length")


def test_a_stream_is_the_same_text_and_ends_with_the_usage(client):
    asked = {"model": "lstm", "prompt": "山", "max_tokens": 40, "temperature": 0.9, "seed": 11, "n": 2}
    whole = client.completions.create(**asked)
    texts, reasons, usage = ["", ""], [None, None], None
    for chunk in client.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        if not chunk.choices:
            usage = chunk.usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [c.text for c in whole.choices]
    assert reasons == [c.finish_reason for c in whole.choices]
    assert usage == whole.usage


def test_streamed_log_probabilities_are_those_of_the_whole(client):
    asked = {"model": "lstm", "prompt": "山", "max_tokens": 12, "seed": 4, "logprobs": 3, "echo": True}
    whole = client.completions.create(**asked).choices[0]
    tokens, values, text, offsets = [], [], "", []
    for chunk in client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            text += choice.text
            if choice.logprobs:
                tokens += choice.logprobs.tokens
                values += choice.logprobs.token_logprobs
                offsets += choice.logprobs.text_offset
    assert text == whole.text
    assert tokens == whole.logprobs.tokens
    assert values == whole.logprobs.token_logprobs
    assert offsets == whole.logprobs.text_offset
    assert all(len(top) in (3, 4) for top in whole.logprobs.top_logprobs)


def test_an_echoed_prompt_is_scored_as_score_does(client, model):
    text = "你在雨里等风"
    answer = client.completions.create(model="lstm", prompt=text, max_tokens=0, echo=True, logprobs=1)
    scored = answer.choices[0].logprobs
    assert answer.choices[0].text == text
    assert scored.token_logprobs == pytest.approx([p.log_probability for p in model.logprobs(text)[:-1]], abs=1e-5)
    assert "".join(scored.tokens) == text
    assert scored.text_offset == list(range(len(text)))


def test_stop_cuts_the_same_text(client):
    asked = {"model": "lstm", "prompt": "风", "max_tokens": 60, "seed": 2}
    plain = client.completions.create(**asked).choices[0]
    stop = plain.text[10:12]
    cut = client.completions.create(**asked, stop=[stop, "never there"]).choices[0]
    assert (cut.text, cut.finish_reason) == (plain.text[: plain.text.find(stop)].rstrip("\n"), "stop")


def test_bias_and_penalties_change_what_is_drawn(client, model):
    asked = {"model": "lstm", "prompt": "风", "max_tokens": 40, "temperature": 0}
    ends = {"0": -100, str(model.tokenizer.encode("\n")[0]): -100}
    plain = client.completions.create(**asked, logit_bias=ends).choices[0]
    assert plain.finish_reason == "length"
    first = str(model.tokenizer.encode(plain.text[0])[0])
    assert plain.text[0] not in client.completions.create(**asked, logit_bias={**ends, first: -100}).choices[0].text
    penalised = client.completions.create(**asked, logit_bias=ends, frequency_penalty=2, presence_penalty=2).choices[0]
    assert len(set(penalised.text)) > len(set(plain.text))


def test_best_of_returns_the_likeliest(client):
    asked = {"model": "lstm", "prompt": "风", "max_tokens": 8, "seed": 6}
    every = client.completions.create(**asked, n=4, logprobs=0).choices
    best = client.completions.create(**asked, n=1, best_of=4).choices
    means = {c.text: sum(c.logprobs.token_logprobs) / len(c.logprobs.token_logprobs) for c in every}
    assert [c.text for c in best] == [max(means, key=means.get)]


def test_a_chat_continues_the_text_of_its_messages(client, model):
    messages = [{"role": "system", "content": "风"}, {"role": "user", "content": [{"type": "text", "text": "山在"}]}]
    asked = {"model": "lstm", "messages": messages, "max_tokens": 20, "seed": 9, "temperature": 0.8}
    answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
    assert "风\n山在" + answer.choices[0].message.content == model.write("风\n山在", tokens=20, seed=9)
    first = answer.choices[0].logprobs.content[0]
    assert len(first.top_logprobs) == 2
    assert first.logprob <= first.top_logprobs[0].logprob <= 0
    streamed = "".join(
        choice.delta.content or ""
        for chunk in client.chat.completions.create(**asked, stream=True)
        for choice in chunk.choices
    )
    assert streamed == answer.choices[0].message.content


def test_many_at_once_get_what_each_gets_alone(client, server):
    async def ask(one, seed):
        answer = await one.completions.create(
            model="lstm", prompt="风", max_tokens=30 + seed, seed=seed, n=1 + seed % 3
        )
        return [c.text for c in answer.choices]

    async def every():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as one:
            together = await asyncio.gather(*(ask(one, seed) for seed in range(16)))
            stream = await one.completions.create(model="lstm", prompt="风", max_tokens=30, seed=0, stream=True)
            return together, "".join([c.text async for chunk in stream for c in chunk.choices])

    together, streamed = asyncio.run(every())
    for seed, texts in enumerate(together):
        alone = client.completions.create(model="lstm", prompt="风", max_tokens=30 + seed, seed=seed, n=1 + seed % 3)
        assert texts == [c.text for c in alone.choices]
    assert streamed == together[0][0]


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        ({"model": "none"}, openai.NotFoundError, "not served here"),
        ({"temperature": -1}, openai.BadRequestError, "temperature must be 0 to 100, got -1"),
        ({"temperature": "warm"}, openai.BadRequestError, "temperature must be a number"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "max_tokens must be at most"),
        ({"n": 1000}, openai.BadRequestError, "n must be at most 64"),
        ({"prompt": [1, 10**6]}, openai.BadRequestError, "token ids must lie in 0 .. 291"),
        ({"suffix": "end"}, openai.BadRequestError, "suffix is not supported"),
        ({"logprobs": 21}, openai.BadRequestError, "logprobs must be 0 to 20"),
        ({"logit_bias": {"abc": 1}}, openai.BadRequestError, "logit_bias must name token ids"),
        ({"stop": ""}, openai.BadRequestError, "stop string is empty"),
        ({"best_of": 1, "n": 2}, openai.BadRequestError, "best_of must be at least n"),
        ({"model": "backward"}, openai.BadRequestError, "right to left"),
    ],
)
def test_wrong_values_get_an_error_that_says_what_is_wrong(client, asked, kind, says):
    with pytest.raises(kind, match=says) as caught:
        client.completions.create(**{"model": "lstm", "prompt": "风", **asked})
    assert caught.value.body["message"]
    assert caught.value.response.headers["x-request-id"].startswith("req-")


def test_nulls_and_unknown_fields_are_passed_over(client):
    nothing = dict.fromkeys(("seed", "logprobs", "stop", "suffix", "logit_bias", "best_of", "user", "n"), None)
    answer = client.completions.create(model="lstm", prompt="风", max_tokens=3, extra_body={**nothing, "mirostat": 2})
    assert len(answer.choices) == 1
    assert math.isfinite(answer.created)
