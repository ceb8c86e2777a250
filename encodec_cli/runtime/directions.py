"""The directions of the latents in which codebooks differ, where a wide search compares."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["directions"]

_ENERGY = 0.99
_WORTH_WHILE = 0.9
_MANY = 4
"""Vectors for each dimension from which on every second one tells as much as all."""


def directions(codebooks: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.float32] | None:
    """The fewest directions that hold 99 % of the energy of codebooks `[bins, D]`.

    Returns orthonormal columns `[D, d]`: the first principal components, with the same weight for
    each codebook. None if that would leave out less than a tenth of the D dimensions.

    Vectors of 128 dimensions often vary in far fewer. A search that compares only those takes that
    much less time for each sum it keeps, and the time is better spent on keeping more.
    """
    width = codebooks[0].shape[1]
    energy = np.zeros((width, width), dtype=np.float32)
    for book in codebooks:
        some = book[::2] if len(book) >= _MANY * width else book
        unit = some / np.maximum(np.abs(some).max(), np.finfo(np.float32).tiny)
        share = unit.T @ unit
        energy += share / max(float(np.trace(share)), 1.0)
    values, vectors = np.linalg.eigh(energy)
    held = np.cumsum(values[::-1])
    count = 1 + int(np.count_nonzero(held < _ENERGY * held[-1]))
    if count > _WORTH_WHILE * width:
        return None
    return np.ascontiguousarray(vectors[:, ::-1][:, :count], dtype=np.float32)
