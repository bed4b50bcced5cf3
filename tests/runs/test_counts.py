"""Which models of counts a run makes."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ostinato.runs.counts import _has_time


def _corpus(tokens: int, vocabulary: int) -> Any:
    return cast(
        Any,
        SimpleNamespace(train=SimpleNamespace(tokens=tokens), tokenizer=SimpleNamespace(vocabulary_size=vocabulary)),
    )


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "minutes", "made"),
    [
        (1_003_855, 65, 10, True), (1_003_855, 65, 1, True), (1_003_855, 65, 0.5, False), (3_477_687, 341, 10, True),
        (3_477_687, 341, 2, False), (3_477_687, 341, None, True), (5_000_000, 65, None, False),
        (200_000, 2_394, 10, False),
    ],
)  # fmt: skip
def test_a_context_mixing_model_is_made_where_it_pays_and_there_is_time(
    tokens: int, vocabulary: int, minutes: float | None, made: bool
) -> None:
    assert _has_time(_corpus(tokens, vocabulary), minutes) is made
