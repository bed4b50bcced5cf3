"""Names that are loaded when they are first used."""

from importlib import import_module

import pytest


@pytest.mark.parametrize("package", ["ostinato", "ostinato.generation", "ostinato.text"])
def test_every_promised_name_is_there_and_no_other(package):
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing_of_this_name'"):
        module.nothing_of_this_name  # noqa: B018
