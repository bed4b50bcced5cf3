"""What has been read of a mapped file leaves this process's memory, whatever view of it is given."""

import mmap

import numpy as np
import pytest

from ostinato.files import unload


class Counting(mmap.mmap):
    calls = 0

    def madvise(self, *given):
        self.calls += 1
        return super().madvise(*given)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "numbers"
    np.arange(4096, dtype="<f4").tofile(path)
    return path


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system has no madvise")
@pytest.mark.parametrize(("access", "calls"), [(mmap.ACCESS_READ, 1), (mmap.ACCESS_COPY, 0)])
def test_of_a_buffer_whatever_view(file, access, calls):
    with file.open("rb") as opened:
        mapped = Counting(opened.fileno(), 0, access=access)
    array = np.frombuffer(mapped, np.uint8)[8:].view("<f4")[2:].reshape(-1, 2)
    unload(array)
    assert mapped.calls == calls
    assert array[0].tolist() == [4.0, 5.0]


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_of_a_memmap_nothing_is_lost(file, mode):
    array = np.memmap(file, "<f4", mode)
    if mode != "r":
        array[7] = 70.0
    for view in (array, array[2:], np.asarray(array)):
        unload(view)
    assert array[7] == (7.0 if mode == "r" else 70.0)


def test_what_is_no_file_is_left_alone():
    unload(np.arange(3))
    unload(np.frombuffer(b"abcd", np.uint8))
