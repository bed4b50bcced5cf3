"""The hash that all randomness comes from: sampling, the order of minibatches, dropout. A function, not a generator."""

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
FIRST = 0xBF58476D1CE4E5B9
SECOND = 0x94D049BB133111EB


def mix(z: int) -> int:
    """One step of SplitMix64 on a 64-bit state (Steele, Lea and Flood, OOPSLA 2014, figure 16)."""
    z = (z + GAMMA) & MASK
    z = ((z ^ z >> 30) * FIRST) & MASK
    z = ((z ^ z >> 27) * SECOND) & MASK
    return z ^ z >> 31
