"""Arithmetic within groups of consecutive rows. `starts` is true where a group begins."""

import numpy as np
from numpy.typing import NDArray

_SPAN = np.int64(1) << 33  # more than any volume or epoch second: they are unsigned 32-bit


def previous(
    values: NDArray[np.int64], base: NDArray[np.int64], starts: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Shift by one within each group; the first of a group gets its base."""
    shifted = np.concatenate([values[:1], values[:-1]])
    return np.where(starts, base, shifted)


def running_max(
    values: NDArray[np.int64], base: NDArray[np.int64], starts: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the maximum so far within each group, which begins with its base."""
    first = np.where(starts, np.maximum(values, base), values)
    if ((first[1:] >= first[:-1]) | starts[1:]).all():  # nothing late: as nearly always
        return first
    offset = (np.cumsum(starts) - 1) * _SPAN
    return np.asarray(np.maximum.accumulate(first + offset) - offset)


def newest(is_meant: NDArray[np.bool_], starts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the place of the last row so far within each group that is meant, -1 before it."""
    index = np.arange(len(starts))
    last = np.maximum.accumulate(np.where(is_meant, index, -1))
    first = np.maximum.accumulate(np.where(starts, index, 0))
    return np.where(last >= first, last, -1)


def stable_order(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what sorts by id and then by place; many times as fast as a stable argsort."""
    keys = (ids << 32) | np.arange(len(ids), dtype=np.int64)
    keys.sort()
    return keys & 0xFFFFFFFF
