"""Repeatable randomness with random access: hashes of (key, counter), never a generator's state."""

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Bits = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)

# Minutes a wave takes, and how far it moves a price: a week's drift down to a minute's jitter.
_OCTAVES = (
    (9973, 0.030),
    (1433, 0.010),
    (241, 0.0045),
    (59, 0.0022),
    (13, 0.0011),
    (3, 0.0005),
)


def mixed(numbers: Bits) -> Bits:
    """Scramble 64-bit numbers: the finisher of splitmix64."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


def keys_of(seed: int, tokens: Int, purpose: int) -> Bits:
    """Make one key for each token; each purpose gets keys of its own."""
    start = mixed(np.array([seed * 1_000 + purpose], np.uint64))
    return mixed(start + tokens.astype(np.uint64) * _GOLDEN)


def hashed(keys: Bits, counters: Int) -> Bits:
    """Hash each key with each counter; the arrays are broadcast."""
    return mixed(keys + counters.astype(np.uint64) * _GOLDEN)


def fraction(bits: Bits, shift: int, width: int = 12) -> NDArray[np.float64]:
    """Read `width` bits from `shift` on as a number from 0 up to, but not including, 1."""
    field = (bits >> np.uint64(shift)) & np.uint64((1 << width) - 1)
    return np.asarray(field / float(1 << width))


def integer(bits: Bits, shift: int, width: int = 12) -> Int:
    """Read `width` bits from `shift` on as an integer."""
    return ((bits >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def drift(keys: Bits, first: int, count: int) -> NDArray[np.float64]:
    """Return a smooth walk around zero for each key at `count` consecutive minutes.

    The value at a minute does not depend on which range was asked for.
    """
    minutes = np.arange(first, first + count)
    total = np.zeros((len(keys), count))
    for octave, (period, amplitude) in enumerate(_OCTAVES):
        cell, rest = np.divmod(minutes, period)
        lattice = np.arange(cell[0], cell[-1] + 2) * 16 + octave
        heights = fraction(hashed(keys[:, None], lattice), 0, 48) * (2 * amplitude) - amplitude
        steps = np.diff(heights, axis=1)
        ease = (rest / period) ** 2 * (3 - 2 * rest / period)
        column = cell - cell[0]
        total += heights[:, column] + steps[:, column] * ease
    return total
