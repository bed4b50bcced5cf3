"""The context-mixing model: the twin's bits, a distribution, a state, and that it stays as it is."""

import copy

import numpy as np
import pytest

from ostinato.errors import BundleError, UsageError
from ostinato.kernels.mixing import frequencies
from ostinato.mixing import fit_mixing, from_tensors, to_tensors
from ostinato.protocols import END_OF_DOCUMENT, StepModel
from ostinato.text.tokenizers import build

ids_of_end = np.array([END_OF_DOCUMENT], np.uint32)


def _ids(tokenizer, text):
    documents = [tokenizer.encode(part).astype(np.uint32) for part in text.split("\n\n")]
    return np.concatenate([np.append(d, np.uint32(END_OF_DOCUMENT)) for d in documents])


@pytest.fixture(scope="module")
def learnt(verses_text):
    tokenizer = build("character", [verses_text])
    ids = _ids(tokenizer, verses_text)
    return tokenizer, ids, fit_mixing(ids, tokenizer)


def test_it_is_a_step_model_that_learnt(learnt):
    tokenizer, ids, model = learnt
    assert isinstance(model, StepModel)
    frequencies = np.bincount(ids, minlength=tokenizer.vocabulary_size) / len(ids)
    assert -model.score(ids).mean() < 0.3 * -np.log(frequencies[ids]).mean()


def test_steps_give_a_distribution_and_what_score_gives(learnt):
    _, ids, model = learnt
    logits, state = model.step(ids_of_end, model.initial_state(1))
    scores = []
    for token in ids[:150]:
        assert abs(np.exp(logits).sum() - 1) < 1e-12
        scores.append(logits[0, token])
        logits, state = model.step(np.array([token]), state)
    np.testing.assert_array_equal(scores, model.score(ids[:150]))


def test_a_state_is_a_value(learnt):
    _, ids, model = learnt
    _, state = model.step(ids[:3], model.initial_state(3))
    kept = copy.deepcopy(state)
    first, _ = model.step(ids[10:13], state)
    np.testing.assert_array_equal(state, kept)
    again, _ = model.step(ids[10:13], kept)
    np.testing.assert_array_equal(first, again)
    picked, _ = model.step(ids[[12, 10]], model.select(state, np.array([2, 0])))
    np.testing.assert_array_equal(picked, first[[2, 0]])
    parts = [model.select(state, np.array([row])) for row in range(3)]
    np.testing.assert_array_equal(model.join(parts), state)


def test_scoring_and_adapting_leave_the_model_as_it_was(learnt):
    _, ids, model = learnt
    before = copy.deepcopy(model.arrays)
    static = model.score(ids[:400])
    adapting = model.score_adapting(ids[:400])
    model.step(ids[:2], model.initial_state(2))
    for name, array in vars(before).items():
        if name != "tree":
            np.testing.assert_array_equal(getattr(model.arrays, name), array)
    assert adapting[0] == static[0]
    assert not np.array_equal(adapting, static)


def test_the_same_text_gives_the_same_model(learnt):
    tokenizer, ids, model = learnt
    again = to_tensors(fit_mixing(ids, tokenizer))
    for name, tensor in to_tensors(model).items():
        np.testing.assert_array_equal(tensor, again[name])


def test_the_twin_learns_and_says_the_same_bits(learnt, verses_text, monkeypatch):
    tokenizer, ids, _ = learnt
    part = ids[:260]
    compiled = fit_mixing(part, tokenizer)
    scores, adapting = compiled.score(ids[200:420]), compiled.score_adapting(ids[200:420])
    logits, _ = compiled.step(ids[5:7], compiled.initial_state(2))
    frequent = frequencies(compiled.arrays)
    monkeypatch.setenv("OSTINATO_ISA", "numpy")
    np.testing.assert_array_equal(frequencies(compiled.arrays), frequent)
    twin = fit_mixing(part, tokenizer)
    for name, tensor in to_tensors(compiled).items():
        np.testing.assert_array_equal(tensor, to_tensors(twin)[name], err_msg=name)
    np.testing.assert_array_equal(twin.score(ids[200:420]), scores)
    np.testing.assert_array_equal(twin.score_adapting(ids[200:420]), adapting)
    np.testing.assert_array_equal(twin.step(ids[5:7], twin.initial_state(2))[0], logits)


def test_saved_and_loaded_it_is_the_same(learnt):
    _, ids, model = learnt
    loaded = from_tensors(model.settings, to_tensors(model))
    np.testing.assert_array_equal(loaded.score(ids[:300]), model.score(ids[:300]))
    assert loaded.parameter_count == model.parameter_count


@pytest.mark.parametrize("name", ["tree", "records", "slots.used", "weights", "classes"])
def test_a_damaged_model_is_told_in_one_line(learnt, name):
    _, _, model = learnt
    tensors = to_tensors(model)
    with pytest.raises(BundleError, match="train or copy"):
        from_tensors(model.settings, {k: v for k, v in tensors.items() if k != name})
    with pytest.raises(BundleError, match="train or copy"):
        from_tensors(model.settings, {**tensors, name: tensors[name][:-1]})


def test_a_tree_with_a_circle_is_told():
    from ostinato.kernels.mixing_tables import Tree

    with pytest.raises(BundleError, match="tree"):
        Tree.of(np.array([[1, 1], [-1, -2]], np.int32))
    with pytest.raises(BundleError, match="tree"):
        Tree.of(np.array([[0, -1], [-2, -3]], np.int32))


def test_what_it_is_not_made_for_is_told(learnt, monkeypatch):
    tokenizer, ids, model = learnt
    monkeypatch.setattr("ostinato.mixing.fit.LARGEST_VOCABULARY", 100)
    with pytest.raises(UsageError, match="made for vocabularies of 2 to 100 tokens"):
        fit_mixing(ids, tokenizer)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="no tokens"):
        fit_mixing(ids[:0], tokenizer)
    with pytest.raises(UsageError, match="token ids"):
        model.step(np.array([model.vocabulary_size]), model.initial_state(1))


def test_full_tables_still_learn(learnt, monkeypatch):
    tokenizer, ids, _ = learnt
    monkeypatch.setattr("ostinato.mixing.fit._MOST_PLACES", 1 << 10)
    crowded = fit_mixing(ids, tokenizer)
    assert -crowded.score(ids).mean() < 2.5
    logits, _ = crowded.step(ids[:1], crowded.initial_state(1))
    assert abs(np.exp(logits).sum() - 1) < 1e-12


def test_one_token_and_two_tokens():
    tokenizer = build("byte", ["ab"])
    model = fit_mixing(np.array([66, 0]), tokenizer)
    assert np.isfinite(model.score(np.array([66, 0, 67]))).all()
