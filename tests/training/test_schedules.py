"""Learning-rate schedules, plateaus and budgets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.settings import SCHEDULES
from ostinato.training.schedules import Budget, Plateau, schedule_factor


@given(st.sampled_from(SCHEDULES), st.floats(0, 1), st.floats(0, 1))
def test_factors_stay_between_zero_and_one(schedule, progress, warmup):
    assert 0 <= schedule_factor(schedule, progress, warmup) <= 1


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("plateau", [1, 1, 1, 1]),
        ("linear", [0, 1, 0.5, 0]),
        ("cosine", [0, 1, 0.5, 0]),
        ("one-cycle", [0.04, 1, 0.50005, 0.0001]),
    ],
)
def test_shapes(schedule, expected):
    values = [schedule_factor(schedule, p, 0.2) for p in (0.0, 0.2, 0.6, 1.0)]
    assert values == pytest.approx(expected, abs=1e-9)


def test_a_plateau_cuts_after_more_than_patience_bad_evaluations():
    plateau = Plateau()
    for loss in (3.0, 2.0, 2.1, 2.2):
        plateau.observe(loss, patience=2)
    assert plateau.cuts == 0
    plateau.observe(2.0, patience=2)  # equal is no improvement
    assert (plateau.cuts, plateau.stale, plateau.best) == (1, 0, 2.0)


def test_the_budget_that_ends_first_counts():
    assert Budget(100, None).progress(25, 1e9) == 0.25
    assert Budget(None, 60.0).progress(10**9, 30.0) == 0.5
    assert Budget(100, 60.0).progress(90, 30.0) == 0.9
    assert Budget(100, 60.0).progress(500, 30.0) == 1.0
    assert not math.isnan(Budget(None, None).progress(1, 1.0))
