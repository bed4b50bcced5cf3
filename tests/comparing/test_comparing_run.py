"""What a comparison refuses."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ostinato.comparing.run import _network
from ostinato.errors import UsageError


def test_a_mixture_without_a_network_is_no_network():
    with pytest.raises(UsageError, match="m is a mixture without a network, and a comparison mixes models itself"):
        _network(SimpleNamespace(kind="mixture", network=None, path=Path("m")))
    alone = SimpleNamespace(kind="ngram", network=None, path=Path("m"))
    assert _network(alone) is alone
