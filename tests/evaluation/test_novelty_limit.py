import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import UsageError
from ostinato.evaluation.novelty import TrainingText, suffix_array
from ostinato.evaluation.novelty_limit import CopyLimit
from ostinato.protocols import StepModel

V = 5


class Uniform:
    """Every token equally likely; the state counts what was read."""

    vocabulary_size = V

    def initial_state(self, batch):
        return np.zeros(batch, dtype=np.int64)

    def step(self, ids, state):
        return np.zeros((len(ids), V)), state + 1

    def select(self, state, rows):
        return state[rows]

    def score(self, ids):
        return np.full(len(ids), -np.log(V))


def limited(training, limit):
    ids = np.array(training, dtype=np.uint16)
    return CopyLimit(Uniform(), TrainingText(ids, suffix_array(ids)), limit)


@settings(deadline=None)
@given(st.lists(st.integers(0, V - 1), min_size=1, max_size=60), st.integers(1, 4), st.integers(0, 1000))
def test_no_longer_copy_is_ever_written(training, limit, seed):
    model = limited(training, limit)
    assert isinstance(model, StepModel)
    random = np.random.default_rng(seed)
    logits, state = model.step(np.array([0]), model.initial_state(1))
    written = []
    while len(written) < 40:
        assert logits[0, 0] == 0
        token = int(random.choice(np.flatnonzero(logits[0] == 0)))
        written.append(token)
        logits, state = model.step(np.array([token]), state)
    grams = {tuple(training[i : i + limit + 1]) for i in range(len(training) - limit)}
    for i in range(len(written) - limit):
        gram = tuple(written[i : i + limit + 1])
        assert 0 in gram or gram not in grams


def test_copies_up_to_the_limit_are_allowed():
    model = limited([1, 2, 3, 4, 0], 2)
    _, state = model.step(np.array([1]), model.initial_state(1))
    logits, state = model.step(np.array([2]), state)
    assert np.isneginf(logits[0]).tolist() == [False, False, False, True, False]
    logits, _ = model.step(np.array([2]), state)
    assert np.isfinite(logits).all()


def test_tokens_that_the_training_text_lacks_cannot_spell_a_copy():
    model = limited([1, 2], 2)
    logits, _ = model.step(np.array([1]), model.initial_state(1))
    assert np.isfinite(logits[0]).tolist() == [True, True, True, False, False]


def test_rows_are_selected_with_what_they_read():
    model = limited([1, 2, 3, 0], 2)
    _, state = model.step(np.array([1, 3]), model.initial_state(2))
    logits, _ = model.step(np.array([2, 2]), model.select(state, np.array([1, 0])))
    assert np.isneginf(logits[:, 3]).tolist() == [False, True]
    assert model.score(np.array([1, 2])).tolist() == [-np.log(V)] * 2


def test_refuses_a_limit_of_nothing():
    with pytest.raises(UsageError, match="1 token or more, got 0"):
        limited([1, 0], 0)
