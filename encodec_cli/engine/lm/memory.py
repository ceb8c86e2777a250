"""What the layers of Meta's language model remember of one run of frames."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["HEADS", "LmMemory"]

HEADS = 8
_SPARE_ROWS = 64


class LmMemory:
    """Keys and values of the frames so far, in rows up to `end`.

    When the rows are full, those still in sight move to the front. A head's rows follow each other,
    to be read in one go. In Meta's program heads lie side by side, which decides where within 16 or
    32 bytes a row starts; products with rows that start elsewhere add up in another order.

    Args:
        layers: of the model.
        dim: D of the model.
        past_context: frames in sight beside the present one.
        recomputed: rows, the zero vector included; a context of at most that many is projected
            again for every frame.

    Attributes:
        kept: of each layer, keys and values `[2, 1, HEADS, rows, D / HEADS]`.
        first: of each layer, inputs of the first frames `[recomputed, D]`; the first is the zero
            vector before them.
        end: rows taken.
    """

    def __init__(self, layers: int, dim: int, past_context: int, recomputed: int) -> None:
        self._context = past_context
        self._rows = 2 * past_context + _SPARE_ROWS
        size = dim // HEADS
        shape, strides = (2, 1, HEADS, self._rows, size), _strides(self._rows, size, _aligned(size))
        floats = 2 * strides[0]
        self.kept = [torch.empty(floats).as_strided(shape, strides) for _ in range(layers)]
        self.first = [torch.zeros(recomputed, dim) for _ in range(layers)]
        self.end = 1

    def extend(self, count: int) -> None:
        """Take rows for `count` frames; at most `_SPARE_ROWS`."""
        if self.end + count > self._rows:
            for kept in self.kept:
                in_sight = kept[:, :, :, self.end - self._context : self.end].clone()
                kept[:, :, :, : self._context] = in_sight
            self.end = self._context
        self.end += count

    def start(self, end: int) -> int:
        """The first row in sight of the last before `end`."""
        return max(0, end - 1 - self._context)


def _strides(rows: int, size: int, aligned: int) -> tuple[int, ...]:
    """Of `LmMemory.kept`: rows and heads start where they start in Meta's, within `aligned`."""
    row = -(-size // aligned) * aligned
    head = rows * row + size % aligned
    half = -(-HEADS * head // aligned) * aligned
    return half, 0, head, row, 1


@cache
def _aligned(size: int) -> int:
    """Floats within which the start of a row counts, for heads of `size`.

    Tried out: the fewest with which attention has the bits that it has with heads side by side.
    """
    shape, whole = (2, 1, HEADS, 64, size), HEADS * size
    beside = torch.linspace(-1, 1, 2 * 64 * whole).sin().view(2, 1, 64, HEADS, size).transpose(2, 3)
    query = torch.linspace(-2, 2, whole).cos().view(1, HEADS, 1, size)
    for aligned in (4, 8, 16):
        strides = _strides(64, size, aligned)
        kept = torch.empty(2 * strides[0]).as_strided(shape, strides).copy_(beside)
        pairs = [(kept[:, :, :, a:b], beside[:, :, :, a:b]) for a, b in ((0, 6), (1, 18), (3, 64))]
        if all(
            torch.equal(_attention(query, ours), _attention(query, meta)) for ours, meta in pairs
        ):
            return aligned
    return whole


def _attention(query: Tensor, kept: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, kept[0], kept[1])
