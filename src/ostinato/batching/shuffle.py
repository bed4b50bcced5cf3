"""A random order of 0 .. n-1 that takes no memory: any part of it is computed when it is asked for."""

import numpy as np
import numpy.typing as npt

_ROUNDS = 6


class Shuffle:
    """A pseudo-random permutation of range(n), a function of `n` and `seed` alone.

    A balanced Feistel network over the smallest even number of bits that holds n, with cycle walking for the values
    outside it (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). The order of a billion windows
    costs no memory this way and a run resumes from a position alone.
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self._half_bits = np.uint64(max(1, (max(n - 1, 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half_bits)) - 1)
        self._keys = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**63, _ROUNDS, dtype=np.uint64)

    def __getitem__(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The elements at `positions`, each in 0 .. n-1; same shape, int64."""
        values = np.atleast_1d(np.asarray(positions)).astype(np.uint64)
        values = self._permute(values)
        outside = values >= self.n
        while outside.any():
            values[outside] = self._permute(values[outside])
            outside = values >= self.n
        return values.astype(np.int64).reshape(np.shape(positions))

    def _permute(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> self._half_bits, values & self._mask
        for key in self._keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
            mixed *= np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & self._mask)
        return (left << self._half_bits) | right
