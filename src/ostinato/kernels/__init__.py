"""Compiled kernels on raw arrays, chosen by the CPU's instruction sets, with a NumPy twin where there are none."""

from ostinato.kernels.load import Kernels, choose_isa

__all__ = ["Kernels", "choose_isa"]
