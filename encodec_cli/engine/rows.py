"""Blocks of several streams as rows, time first: what the compiled layers take and give.

Rows of C numbers lie one behind the other, so a convolution with k taps is one matrix product: its
operand is the same memory read as rows of k C numbers, each C (times the stride) further on.

    buffer of one stream, k = 3       matrix [T, 3 C], no copy
      h h | x0 x1 x2 ...                h  h  x0
      history, then the new rows        h  x0 x1
                                        x0 x1 x2
"""

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Rows", "Scratch"]


@dataclass
class Rows:
    """The next rows of each stream of a batch.

    `data` is `[B, T, C]`; of stream b, rows `starts[b]` to `stops[b]` are valid, and `last[b]` says
    that none follow. Streams that go on stop at the same row, those that end sooner, or later by
    what a layer has looked ahead. Where they begin, that much is dropped: all before their start.
    """

    data: Tensor
    starts: list[int]
    stops: list[int]
    last: list[bool]

    @classmethod
    def whole(cls, data: Tensor, lengths: list[int], last: list[bool]) -> "Rows":
        """The first `lengths[b]` rows of each stream."""
        return cls(data, [0] * len(lengths), lengths, last)

    def with_data(
        self, data: Tensor, starts: list[int] | None = None, stops: list[int] | None = None
    ) -> "Rows":
        """Other rows of the same streams."""
        return Rows(
            data,
            self.starts if starts is None else starts,
            self.stops if stops is None else stops,
            self.last,
        )

    def valid(self) -> list[Tensor]:
        """`[n, C]` of each stream."""
        return [x[i:j] for x, i, j in zip(self.data, self.starts, self.stops, strict=True)]


class Scratch(threading.local):
    """Memory for intermediate results, kept from block to block; each thread has its own.

    Fresh memory for each result would cost more than the arithmetic of the small layers: the
    system clears each page first.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Uninitialised memory of that shape, type and device; the last user of `name` loses it."""
        size = 1
        for length in shape:
            size *= length
        buffer = self._buffers.get(name)
        if (
            buffer is None
            or buffer.numel() < size
            or buffer.dtype != like.dtype
            or buffer.device != like.device
        ):
            buffer = torch.empty(size, dtype=like.dtype, device=like.device)
            self._buffers[name] = buffer
        return buffer[:size].view(shape)
