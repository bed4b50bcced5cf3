"""Which kernels run, and why: the environment's say, machines without them, libraries of other versions."""

import ctypes
import os

import pytest

from ostinato.errors import UsageError
from ostinato.kernels import load
from ostinato.kernels.load import ISAS, choose_isa


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.delenv("OSTINATO_ISA", raising=False)
    load.find_library.cache_clear()
    yield
    load.find_library.cache_clear()


def test_the_built_library_loads():
    library, where = load.find_library()
    if library is None and "no compiled library" in where:
        pytest.skip(where)
    assert library is not None, where


def test_the_best_available_is_the_default():
    names = load.available()
    chosen = choose_isa()
    assert chosen.isa == names[-1]
    assert names[0] == "numpy"
    assert list(names[1:]) == [name for name in ISAS if name in names]
    assert (chosen.library is None) == (chosen.isa == "numpy")


def test_environment_and_argument_choose(monkeypatch):
    for name in load.available():
        monkeypatch.setenv("OSTINATO_ISA", name)
        assert (choose_isa().isa, choose_isa().why) == (name, "OSTINATO_ISA asks for it")
    monkeypatch.setenv("OSTINATO_ISA", "nonsense")
    assert choose_isa("numpy").why == "isa asks for it"


def test_unknown_name(monkeypatch):
    monkeypatch.setenv("OSTINATO_ISA", "avx1024")
    with pytest.raises(UsageError, match=r"OSTINATO_ISA must be one of numpy, portable, .*got 'avx1024'"):
        choose_isa()


def test_without_a_library(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "__file__", str(tmp_path / "load.py"))
    monkeypatch.delenv("OSTINATO_LIBRARY", raising=False)
    assert choose_isa() == load.Kernels(
        "numpy", "there is no compiled library: the package was built without a C++ compiler", None, ("numpy",)
    )
    monkeypatch.setenv("OSTINATO_ISA", "avx2")
    with pytest.raises(UsageError, match="OSTINATO_ISA=avx2 cannot be used here: there is no compiled library"):
        choose_isa()


def test_a_given_library_that_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("OSTINATO_LIBRARY", str(tmp_path / "absent.so"))
    assert "is no file" in choose_isa().why
    load.find_library.cache_clear()
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setenv("OSTINATO_LIBRARY", str(broken))
    assert "does not load" in choose_isa().why


def test_a_library_of_another_interface(monkeypatch, tmp_path):
    class Other:
        def ostinato_interface_version(self):
            return load.INTERFACE_VERSION + 1

    (tmp_path / "libostinato.so").touch()
    monkeypatch.setattr(load, "__file__", str(tmp_path / "load.py"))
    monkeypatch.delenv("OSTINATO_LIBRARY", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: Other())
    assert "build again" in choose_isa().why


def test_the_interface_numbers_agree():
    header = os.path.join(os.path.dirname(load.__file__), "csrc", "api.h")
    if not os.path.exists(header):
        pytest.skip("the C++ sources are not here: a wheel")
    with open(header) as file:
        assert f"kInterfaceVersion = {load.INTERFACE_VERSION};" in file.read()
