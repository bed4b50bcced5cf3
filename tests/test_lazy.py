"""Names that are loaded when they are first used."""

import sys
import tomllib
from importlib import import_module
from types import ModuleType

import pytest

from ostinato.lazy import lazily


@pytest.mark.parametrize("package", ["ostinato", "ostinato.generation", "ostinato.text"])
def test_every_promised_name_is_there_and_no_other(package):
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is getattr(module, name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing_of_this_name'"):
        module.nothing_of_this_name  # noqa: B018


def test_a_name_is_loaded_when_it_is_used_and_then_kept(monkeypatch):
    package = ModuleType("some_package")
    monkeypatch.setitem(sys.modules, "some_package", package)
    load = lazily("some_package", {"sqrt": "math", "missing": "no_such_module"})
    assert not vars(package).get("sqrt")
    assert load("sqrt")(9) == 3
    assert package.sqrt(9) == 3
    with pytest.raises(ModuleNotFoundError):
        load("missing")


def test_the_version_is_written_once():
    from pathlib import Path

    import ostinato

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    provider = project["tool"]["scikit-build"]["metadata"]["version"]
    assert provider == {"provider": "scikit_build_core.metadata.regex", "input": "src/ostinato/__init__.py"}
    assert ostinato.__version__ in (Path(__file__).parents[1] / provider["input"]).read_text("utf-8")
