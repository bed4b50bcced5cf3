"""What int8 weights cost."""

import numpy as np
import pytest
from runtime_kit import NAMES, SHAPES, SMALL, TOKENIZER, saved

from ostinato.errors import UsageError
from ostinato.runtime import PrecisionLoss, load, precision_loss


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_the_loss_is_that_of_the_scores(tmp_path, shape):
    bundle = saved(tmp_path / "model", shape)
    ids = TOKENIZER.encode("春天的桥上\n你说雨停了\nthe rain")
    loss = precision_loss(bundle, ids)
    expected = [np.exp(-load(bundle, precision=p).score(ids).mean()) for p in ("fp32", "int8")]
    np.testing.assert_allclose((loss.fp32, loss.int8), expected)
    assert loss.tokens == len(ids)
    assert "held-out tokens" in str(loss)
    assert abs(loss.increase) < 0.05


def test_without_a_text_the_model_writes_one(tmp_path):
    bundle = saved(tmp_path / "model", SMALL)
    loss = precision_loss(bundle, seed=2)
    assert loss == precision_loss(bundle, seed=2)
    assert loss.own_text
    assert loss.tokens == 4096
    assert abs(loss.increase) < 0.02
    assert "of its own writing" in str(loss)


def test_the_line_for_the_card():
    line = str(PrecisionLoss(fp32=100.0, int8=100.25, tokens=12345, own_text=False))
    assert (
        line
        == "int8 weights: perplexity 100.250 per token against 100.000 with fp32 (+0.25%), on 12,345 held-out tokens"
    )


def test_nothing_to_measure(tmp_path):
    with pytest.raises(UsageError, match="cannot be measured on an empty text"):
        precision_loss(saved(tmp_path / "model", SMALL), np.array([], np.uint16))


def test_no_change_has_no_sign():
    line = str(PrecisionLoss(fp32=100.0, int8=99.9999, tokens=12345, own_text=False))
    assert "(0.00%)" in line
