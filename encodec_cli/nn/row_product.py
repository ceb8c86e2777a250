"""Products of a matrix with one row at a time, read at the speed of memory.

Predicting a frame reads every weight once, so memory sets the pace. MKL multiplies four rows of a
matrix at a time, four streams that end after a few hundred bytes; prefetching, which has to find
its feet anew in each, then reaches a third of what memory gives. Here the rows of every four lie a
quarter of the matrix apart, which makes four streams of the whole matrix:

    matrix     0 1 2 3 | 4 5 6 7 | 8 9 ...        one product
    in memory  0 4 8 ... | 1 5 9 ... | 2 6 10 ... | 3 7 11 ...
    products   (0 1 2 3) (4 5 6 7) (8 9 ...       a batch of small ones

That costs memory once more, for several rows at a time want the matrix as it was.

Whether small products round like the one they replace is up to the library and the processor. It is
tried out once for every matrix, and where it is not so, the matrix stays in one piece.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BoundProduct", "LastRowProduct", "RowProduct"]

_STREAMS = 4
_PIECE_ROWS = 1024  # of a matrix; what stays in the cache for several rows of x


@dataclass(frozen=True, eq=False)
class BoundProduct:
    """A product with its place for the row and for the result.

    Attributes:
        x: the row `[A]`.
        y: the result, until the next run: `[B]` or, of a product in parts, `[P, B / P]`.
        y_tensor: the same memory, `[1, B]` or `[P, B / P]`.
        run: computes y from x.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    y_tensor: Tensor
    run: Callable[[], object]

    def __call__(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[A] -> [B]`, valid until the next run."""
        self.x[:] = row
        self.run()
        return self.y


class RowProduct:
    """`bias + weight @ x` for one row x, with the bits of torch's product of that one row.

    Args:
        weight: `[B, A]`, fp32.
        bias: `[B]`.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._rows, self._width = weight.shape
        self._weight, self._bias = weight.contiguous(), bias.contiguous()
        self._small: Tensor | None = None
        probe = _probe(self._width)
        expected = self.bind()(probe)
        batch = self._batch(torch.from_numpy(np.stack([probe, probe]))).numpy()
        self._batched = np.array_equal(batch, np.stack([expected, expected]))
        if self._rows % _STREAMS == 0:
            small = self._weight.view(-1, _STREAMS, self._width).transpose(0, 1).contiguous()
            self._small = small.permute(1, 2, 0)  # [B / 4, A, 4]
            if not np.array_equal(self.bind()(probe), expected):
                self._small = None

    def rows(self, x: Tensor) -> Tensor:
        """`[T, A] -> [T, B]`, each row as if it came alone."""
        if self._batched:
            return self._batch(x)
        return torch.cat([torch.addmm(self._bias, row[None], self._weight.t()) for row in x])

    def _batch(self, x: Tensor) -> Tensor:
        """`[T, A] -> [T, B]`; a piece of the matrix is read once for all rows."""
        pieces = (torch.split(t, _PIECE_ROWS) for t in (self._weight, self._bias))
        products = [
            torch.baddbmm(bias.expand(len(x), 1, -1), x[:, None], piece.t().expand(len(x), -1, -1))
            for piece, bias in zip(*pieces, strict=True)
        ]
        return torch.cat(products, dim=2)[:, 0]

    def bind(self, x: Tensor | None = None) -> BoundProduct:
        """This product from the row x `[1, A]`, or a new one, into memory of its own."""
        if x is None:
            x = torch.zeros(1, self._width)
        y = torch.empty(1, self._rows)
        if self._small is None:
            run = partial(torch.addmm, self._bias, x, self._weight.t(), out=y)
        else:
            count = len(self._small)
            bias, out = (t.view(count, 1, _STREAMS) for t in (self._bias, y))
            run = partial(torch.baddbmm, bias, x.expand(count, 1, -1), self._small, out=out)
        return BoundProduct(x.numpy()[0], y.numpy()[0], y, run)


class LastRowProduct:
    """`bias + weight @ x` with the bits that it has as the last row of a product of several rows.

    The weights of each part lie together as that product reads them, all columns of a row of x.

    Args:
        weight: `[B, A]`, fp32.
        bias: `[B]`.
        rows: of the product; those before the last are zeros.
        parts: P, pieces of B.
    """

    def __init__(self, weight: Tensor, bias: Tensor, *, rows: int, parts: int) -> None:
        self._weight, self._bias, self._rows, self._parts = weight, bias, rows, parts
        self._small: Tensor | None = None
        probe = _probe(weight.shape[1])
        expected = self.bind()(probe)
        part = weight.view(parts, -1, weight.shape[1])
        self._small = part.transpose(1, 2).contiguous()  # [P, A, B / P]
        if not np.array_equal(self.bind()(probe), expected):
            self._small = None

    def bind(self) -> BoundProduct:
        """This product with a place for its row."""
        x = torch.zeros(self._rows, self._weight.shape[1])
        if self._small is None:
            y = torch.empty(self._rows, len(self._bias))
            run = partial(torch.addmm, self._bias, x, self._weight.t(), out=y)
            last = y[-1].view(self._parts, -1)
        else:
            y = torch.empty(self._parts, self._rows, len(self._bias) // self._parts)
            bias = self._bias.view(self._parts, 1, -1).expand_as(y)
            run = partial(torch.baddbmm, bias, x.expand(self._parts, -1, -1), self._small, out=y)
            last = y[:, -1]
        return BoundProduct(x.numpy()[-1], last.numpy(), last, run)


def _probe(width: int) -> NDArray[np.float32]:
    """A row to try products with."""
    return np.linspace(-1, 1, width, dtype=np.float32)
