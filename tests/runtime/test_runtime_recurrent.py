"""A bundle as a StepModel: what it computes, that it writes as the Python loop does, that it is safe to share."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_kit import NAMES, SHAPES, SMALL, TOKENIZER, VOCABULARY, saved, weights

from ostinato.errors import GenerationError, UsageError
from ostinato.generation import BlockModel, Sampler, Stop, TextModel, WriteRequest
from ostinato.generation import write as write_request
from ostinato.kernels.load import NUMPY, available
from ostinato.protocols import END_OF_DOCUMENT, StepModel, read_on, score_many
from ostinato.runtime import load

EACH_ISA = pytest.mark.parametrize("isa", available())
EACH_COMPILED = pytest.mark.parametrize("isa", available()[1:])


class Plain:
    """A model without its loop below Python."""

    def __init__(self, model):
        self.vocabulary_size = model.vocabulary_size
        self.initial_state, self.step = model.initial_state, model.step
        self.select, self.score = model.select, model.score


@pytest.fixture(scope="module", params=SHAPES, ids=NAMES)
def bundle(request, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("bundle") / "model", request.param)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("bundle") / "model", SMALL)


@EACH_ISA
def test_a_bundle_becomes_a_step_model(bundle, isa):
    model = load(bundle.path, isa=isa)
    assert isinstance(model, StepModel)
    assert isinstance(model, BlockModel) == (isa != NUMPY)
    assert model.vocabulary_size == VOCABULARY
    assert model.kernels.isa == isa
    state = model.initial_state(3)
    logits, state = model.step(np.array([0, 5, 9], np.uint16), state)
    assert logits.shape == (3, VOCABULARY)
    again, _ = model.step(np.array([9], np.uint32), model.select(model.initial_state(1), np.array([0])))
    np.testing.assert_allclose(again[0], logits[2], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(model.select(state, np.array([2, 0, 2])), state[:, [2, 0, 2]])


@EACH_ISA
def test_score_is_the_sum_of_steps(bundle, isa):
    model = load(bundle, isa=isa)
    ids = np.append(TOKENIZER.encode("春天的桥上\n你说"), np.uint16(END_OF_DOCUMENT))
    state, previous, expected, hidden = model.initial_state(1), END_OF_DOCUMENT, [], []
    for token in ids:
        logits, state = model.step(np.array([previous], np.uint32), state)
        z = logits[0].astype(np.float64)
        expected.append(z[token] - np.log(np.exp(z).sum()))
        hidden.append(model.hidden(state)[0])
        previous = token
    np.testing.assert_allclose(model.score(ids), expected, rtol=0, atol=1e-5)
    for found, wanted in zip(model.read(ids), (expected, hidden), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert model.score(ids[:0]).shape == (0,)
    assert [part.shape[0] for part in model.read(ids[:0])] == [0, 0]


@EACH_COMPILED
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_writes_what_the_python_loop_writes(bundle, isa, precision):
    model = load(bundle, isa=isa, precision=precision)
    samplers = [
        Sampler(),
        Sampler(temperature=0),
        Sampler(temperature=0.7, top_k=12),
        Sampler(top_p=0.8),
        Sampler(min_p=0.05, temperature=1.3),
        Sampler(repetition_penalty=1.7, recent=9, top_k=30, top_p=0.95, min_p=0.01),
    ]
    seeds = 8 if isa == available()[-1] and precision == "fp32" else 1
    for number, sampler in enumerate(samplers):
        for seed in range(seeds):
            asked = {
                "sampler": sampler,
                "stop": Stop(tokens=40, lines=6),
                "seed": 100 * number + seed,
                "count": 1 + seed % 3,
            }
            assert write(model, TOKENIZER, "春", **asked) == write(Plain(model), TOKENIZER, "春", **asked)


@EACH_COMPILED
def test_a_text_does_not_depend_on_those_beside_it(small, isa):
    model = load(small, isa=isa)
    asked = {"stop": Stop(tokens=12), "seed": 5}
    many = write(model, TOKENIZER, count=66, **asked)
    assert write(model, TOKENIZER, count=3, **asked) == many[:3]
    assert len({text.text for text in many}) > 60


def write(model, tokenizer, prompt="", seed=0, sampler=None, **options):
    request = WriteRequest(prompt=prompt, seed=seed, sampler=sampler or Sampler(), **options)
    return write_request(TextModel(model, tokenizer), request)


def python_block(model, ids, state, *, samplers, u, lengths, recent, forbidden, stops, before):
    """`decode_block` by steps and the Python sampler, a row at a time."""
    drawn, states = [], []
    for b, token in enumerate(ids):
        row, history, here, sampler = [], list(recent[b]), state[:, [b]], samplers[b]
        for number in u[b, : lengths[b]]:
            logits, here = model.step(np.array([token], np.uint32), here)
            z = logits.astype(np.float64)
            z[:, forbidden[b]] = -np.inf
            recent_ids = [history[-sampler.remembers :]] if sampler.remembers else []
            token = sampler(z, np.array([number]), recent_ids, [[*before[b], *row]])[0]
            row.append(int(token))
            history.append(int(token))
            if stops[b][token]:
                break
        drawn.append(row)
        states.append(here)
    return drawn, np.concatenate(states, axis=1)


SAMPLERS = st.builds(
    Sampler,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 2, 7, 150, 10**6]),
    top_p=st.sampled_from([1.0, 0.999, 0.5, 1e-9]),
    min_p=st.sampled_from([0.0, 0.02, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 2.0, 0.5]),
    recent=st.sampled_from([0, 1, 5, 64]),
    bias=st.one_of(
        st.just(()),
        st.lists(
            st.tuples(st.integers(0, VOCABULARY - 1), st.sampled_from([-100.0, -1.5, 0.25, 3.0])),
            max_size=9, unique_by=lambda pair: pair[0],
        ).map(tuple),
    ),
    presence_penalty=st.sampled_from([0.0, 0.0, 1.5, -0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.7, -0.25]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    samplers=st.lists(SAMPLERS, min_size=1, max_size=5),
    length=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    shared=st.booleans(),
)
def test_blocks_equal_steps_with_what_each_row_owns(small, samplers, length, seed, shared):
    model = load(small)
    if not isinstance(model, BlockModel):
        pytest.skip("there is no loop below Python here")
    random, rows = np.random.default_rng(seed), len(samplers)
    ids = random.integers(0, VOCABULARY, rows).astype(np.uint32)
    state = random.standard_normal(model.initial_state(rows).shape).astype(np.float32) / 2
    unchanged = state.copy()
    forbidden = [random.random(VOCABULARY) < 0.2 for _ in range(rows)]
    asked = {
        "samplers": samplers,
        "u": random.random((rows, length)),
        "lengths": [length, *random.integers(1, length + 1, rows - 1).tolist()],
        "recent": [
            [*random.integers(0, VOCABULARY, random.integers(0, 9)), int(i)][-one.remembers :] if one.remembers else []
            for i, one in zip(ids, samplers, strict=True)
        ],
        "forbidden": forbidden[:1] * rows if shared else forbidden,
        "stops": [random.random(VOCABULARY) < 0.1 for _ in range(rows)],
        "before": [random.integers(0, VOCABULARY, random.integers(0, 30)).tolist() for _ in range(rows)],
    }
    drawn, after = model.decode_block(ids, state, **asked)
    expected, states = python_block(model, ids, state, **asked)
    assert drawn == expected
    np.testing.assert_array_equal(after, states)
    np.testing.assert_array_equal(state, unchanged)


@EACH_COMPILED
def test_what_cannot_be_drawn(small, isa, tmp_path):
    model = load(small, isa=isa)
    nothing = np.zeros(VOCABULARY, np.bool_)
    asked = {"samplers": [Sampler()], "u": np.zeros((1, 3)), "lengths": [3], "recent": [[]], "stops": [nothing]}
    state = model.initial_state(1)
    with pytest.raises(GenerationError, match="the request allows no token"):
        model.decode_block(np.array([1]), state, forbidden=[np.ones(VOCABULARY, np.bool_)], **asked)
    with pytest.raises(UsageError, match="token ids must lie in 0"):
        model.decode_block(np.array([VOCABULARY], np.uint32), state, forbidden=[nothing], **asked)
    huge = {name: np.full_like(tensor, 3e38) for name, tensor in weights(SMALL).items()}
    with pytest.raises(GenerationError, match="scores are not finite numbers"):
        load(saved(tmp_path / "huge", SMALL, tensors=huge), isa=isa).decode_block(
            np.array([1]), state, forbidden=[nothing], **asked
        )


@EACH_ISA
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.cell)
def test_a_prompt_read_in_blocks_gives_the_state_of_steps(tmp_path, shape, isa, precision):
    model = load(saved(tmp_path / "m", shape), isa=isa, precision=precision)
    ids = np.random.default_rng(3).integers(0, VOCABULARY, 150).astype(np.uint32)
    state = model.initial_state(1)
    for token in ids:
        _, state = model.step(np.array([token]), state)
    got = read_on(model, ids, model.initial_state(1))
    if isa == "numpy":  # BLAS may sum in another order for another shape
        np.testing.assert_allclose(got, state, atol=1e-5)
    else:
        np.testing.assert_array_equal(got, state)
    np.testing.assert_array_equal(read_on(model, ids[:0], state), state)


@EACH_ISA
def test_many_texts_score_as_each_alone(small, isa):
    model, random = load(small, isa=isa), np.random.default_rng(4)
    texts = [random.integers(0, VOCABULARY, n).astype(np.uint32) for n in [3, 0, 1, 40, *random.integers(1, 20, 130)]]
    for got, ids in zip(score_many(model, texts), texts, strict=True):
        np.testing.assert_allclose(got, model.score(ids), rtol=1e-6, atol=1e-9)


@EACH_ISA
def test_ids_that_are_none(small, isa):
    model = load(small, isa=isa)
    for ids, message in [
        (np.array([-1]), r"token ids must lie in 0 \.\. "),
        (np.array([2**40]), r"token ids must lie in 0 \.\. "),
        (np.array([VOCABULARY], np.uint16), rf"token ids must lie in 0 \.\. {VOCABULARY - 1}, got {VOCABULARY}"),
        (np.array([1.5]), r"ids must be whole numbers of shape \(\w+,\), got float64"),
        (np.array([[1]]), r"ids must be whole numbers of shape \(\w+,\), got int64 \(1, 1\)"),
    ]:
        with pytest.raises(UsageError, match=message):
            model.step(ids, model.initial_state(1))
        with pytest.raises(UsageError, match=message):
            model.score(ids)


def test_several_threads_write_with_two_models(tmp_path):
    models = [load(saved(tmp_path / shape.cell, shape), threads=2) for shape in SHAPES[:2]]
    asked = {"stop": Stop(tokens=60), "count": 2}
    expected = [[write(m, TOKENIZER, seed=seed, **asked) for seed in range(4)] for m in models]
    results = {}

    def work(model, seed):
        results[model, seed] = write(models[model], TOKENIZER, seed=seed, **asked)

    threads = [threading.Thread(target=work, args=(m, s)) for m in range(2) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[results[m, s] for s in range(4)] for m in range(2)] == expected


def run_python(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_waiting_takes_no_time(small):
    model = load(small, threads=2)
    write(model, TOKENIZER, stop=Stop(tokens=50), seed=1)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_writes_too(small):
    code = f"""
        import os
        from ostinato.generation import Stop, TextModel, WriteRequest, write
        from ostinato.bundle import read_bundle
        from ostinato.runtime import load
        from pathlib import Path
        bundle = read_bundle(Path({str(small.path)!r}))
        model = load(bundle, threads=2)
        asked = WriteRequest(stop=Stop(tokens=40), seed=3)
        texts = lambda: [w.text for w in write(TextModel(model, bundle.tokenizer), asked)]
        expected = texts()
        child = os.fork()
        if child == 0:
            os._exit(0 if texts() == expected else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert texts() == expected
    """
    run_python(code)


def test_torch_is_not_needed(small):
    code = f"""
        import sys
        from ostinato.runtime import load
        model = load({str(small.path)!r})
        model.step(__import__("numpy").array([1]), model.initial_state(1))
        assert "torch" not in sys.modules
    """
    run_python(code)
