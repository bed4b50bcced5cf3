"""Shared by all tests: where the real corpora are, a tiny training text."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models of the tests are too small for two threads

# Whoever runs the tests (nohup, a shell's &) may ignore signals, and what the tests start would inherit that.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL),
                        (getattr(signal, "SIGHUP", signal.SIGTERM), signal.SIG_DFL)):  # fmt: skip
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

DATA = Path(__file__).parents[2] / "shared" / "data"

VERSES = "".join(
    f"# 歌{n}\n{a}在{b}里等{c}\n{c}在{a}里等{b}\nthe {n} winds\n\n"
    for n, (a, b, c) in enumerate([(x, y, z) for x in "风雨山海" for y in "春秋夜" for z in "你我他"])
)


@pytest.fixture(autouse=True)
def _denormals_stay():
    """Training sets denormals to zero for the whole process; hypothesis needs them."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real corpora; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the real corpora are not here ({DATA})")
    return DATA


@pytest.fixture(scope="session")
def verses_text():
    """36 small two-script songs with titles."""
    return VERSES


@pytest.fixture
def verses(tmp_path):
    """A file with `verses_text`."""
    path = tmp_path / "verses.txt"
    path.write_text(VERSES, "utf-8")
    return path


@pytest.fixture
def cells_stay():
    """What a test registers is forgotten after it."""
    from ostinato.cells import registry

    kept = dict(registry._cells), dict(registry._files), set(registry._loaded)
    yield
    for now, before in zip((registry._cells, registry._files, registry._loaded), kept, strict=True):
        now.clear()
        now.update(before)
