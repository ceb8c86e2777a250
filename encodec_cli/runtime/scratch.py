"""Memory for intermediate results."""

import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Numbers", "Scratch"]

Numbers = NDArray[np.floating[Any]]
"""Weights and intermediate results; fp32, but in tests."""


class Scratch(threading.local):
    """Memory for intermediate results, kept from block to block; each thread has its own.

    Fresh memory for each result would cost more than the arithmetic of the small layers: the
    system clears each page first.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Numbers] = {}

    def take(self, name: str, rows: int, width: int, dtype: DTypeLike) -> Numbers:
        """Memory `[rows, width]` that holds anything; the last user of `name` loses it."""
        size = rows * width
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != dtype:
            buffer = self._buffers[name] = np.empty(size, dtype)
        return buffer[:size].reshape(rows, width)
