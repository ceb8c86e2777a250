"""Products of a matrix with one row at a time, read at the speed of memory.

Predicting a frame reads every weight once, so the speed of memory limits it. MKL multiplies four
rows of a matrix at a time: four streams that end after a few hundred bytes. The processor's
prefetcher starts over with each, and reaches a third of the speed of memory. Here the rows of every
four lie a quarter of the matrix apart, which makes four long streams of the whole matrix:

    matrix     0 1 2 3 | 4 5 6 7 | 8 9 ...        one product
    in memory  0 4 8 ... | 1 5 9 ... | 2 6 10 ... | 3 7 11 ...
    products   (0 1 2 3) (4 5 6 7) (8 9 ...       a batch of small ones

That takes the memory of a second copy, because products of several rows need the matrix as it was.

Whether small products round like the one they replace depends on the library and the processor. It
is tried once for every matrix. Where they do not, the matrix stays in one piece.

The `forward` methods are written for TorchScript as well.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from encodec_cli.engine.lm.big_pages import in_big_pages

__all__ = ["MANY_ROWS", "LastRowProduct", "RowProduct", "in_fast_memory"]

MANY_ROWS = 4
"""Rows of a product from which on the last row's bits do not depend on their number."""

_STREAMS = 4
_PIECE_ROWS = 1024  # of a matrix; what stays in the cache for several rows of x
_ENOUGH_ROWS = 16  # where no fewer are found to be
_TRIED_ROWS = 20


class RowProduct(nn.Module):
    """`bias + weight @ x` for one row x, with the bits of torch's product of that one row.

    Args:
        weight: `[B, A]`, fp32.
        bias: `[B]`.

    Attributes:
        pieces: the weight in small ones `[B / 4, A, 4]`; empty where it stays in one piece.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        rows, width = weight.shape
        self.weight, self.bias = weight.contiguous(), bias.contiguous()
        self.pieces, self._pieces_bias = torch.empty(0), torch.empty(0)
        probe = _probe(width)
        expected = self(probe)
        self._batched = torch.equal(self._batch(probe.repeat(2, 1)), expected.repeat(2, 1))
        if rows % _STREAMS == 0:
            small = self.weight.view(-1, _STREAMS, width).transpose(0, 1).contiguous()
            self.pieces = small.permute(1, 2, 0)
            self._pieces_bias = self.bias.view(-1, 1, _STREAMS)
            if not torch.equal(self(probe), expected):
                self.pieces = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """`[A] -> [B]`"""
        count = self.pieces.size(0)
        if count == 0:
            return torch.addmm(self.bias, x.view(1, -1), self.weight.t()).view(-1)
        return torch.baddbmm(self._pieces_bias, x.expand(count, 1, -1), self.pieces).view(-1)

    def rows(self, x: Tensor) -> Tensor:
        """`[T, A] -> [T, B]`, each row as if it came alone."""
        if self._batched:
            return self._batch(x)
        return torch.cat([torch.addmm(self.bias, row[None], self.weight.t()) for row in x])

    def _batch(self, x: Tensor) -> Tensor:
        """`[T, A] -> [T, B]`; a piece of the matrix is read once for all rows."""
        pieces = (torch.split(t, _PIECE_ROWS) for t in (self.weight, self.bias))
        products = [
            torch.baddbmm(bias.expand(len(x), 1, -1), x[:, None], piece.t().expand(len(x), -1, -1))
            for piece, bias in zip(*pieces, strict=True)
        ]
        return torch.cat(products, dim=2)[:, 0]


class LastRowProduct(nn.Module):
    """`bias + weight @ x` with the bits that it has as the last row of a product of many rows.

    MKL adds up each half of such a row by itself, one fused multiply-add after the other, as rows
    of 1, 2^k and -2^k show. `embedding_bag` does so too, and takes x alone, while MKL must be given
    four rows and copies the matrix first.

    Args:
        weight: `[B, A]`, fp32.
        bias: `[B]`.
        shape: of a result, B elements.

    Attributes:
        pieces: the weight turned, `[A, B]`; empty where sums of halves have other bits.
        enough_rows: of a product, from which on all of its rows have these bits.
    """

    def __init__(self, weight: Tensor, bias: Tensor, shape: list[int]) -> None:
        super().__init__()
        self.weight, self.bias = weight.contiguous(), bias.contiguous()
        self.pieces = torch.empty(0)
        self._bias, self._shape, self._rows = bias.reshape(shape), shape, MANY_ROWS
        self._parts = [2, *shape]
        width = weight.shape[1]
        self._columns = torch.arange(width, dtype=torch.int32)
        self._halves = torch.tensor([0, width // 2], dtype=torch.int32)
        probe, expected, found = _probe(width), torch.empty(shape), torch.empty(shape)
        self(probe, expected)
        self.pieces = self.weight.t().contiguous()
        self(probe, found)
        if not torch.equal(found, expected):
            self.pieces = torch.empty(0)
        self.enough_rows = self._find_enough_rows()

    def _find_enough_rows(self) -> int:
        x = _probe(_TRIED_ROWS * self.weight.shape[1]).sin().view(_TRIED_ROWS, -1)
        expected = torch.empty(_TRIED_ROWS, *self._shape)
        for row, out in zip(x, expected, strict=True):
            self(row, out)
        enough = _ENOUGH_ROWS
        for count in range(_TRIED_ROWS, MANY_ROWS - 1, -1):
            product = torch.addmm(self.bias, x[:count], self.weight.t())
            if not torch.equal(product.view(count, *self._shape), expected[:count]):
                break
            enough = min(enough, count)
        return enough

    def forward(self, x: Tensor, out: Tensor) -> None:
        """`[A]`, the result goes to `out`."""
        if self.pieces.size(0) == 0:
            products = torch.addmm(self.bias, x.expand(self._rows, -1), self.weight.t())
            out.copy_(products[0].view(self._shape))
        else:
            halves = torch.embedding_bag(
                self.pieces, self._columns, self._halves, False, 0, False, x
            )[0]
            first, second = halves.view(self._parts).unbind()
            torch.add(self._bias + first, second, out=out)


def in_fast_memory(modules: Iterable[nn.Module]) -> None:
    """Put the pieces of all products in `modules` side by side."""
    inside = [inner for module in modules for inner in module.modules()]
    products = [inner for inner in inside if isinstance(inner, RowProduct | LastRowProduct)]
    copies = in_big_pages([product.pieces for product in products])
    for product, pieces in zip(products, copies, strict=True):
        product.pieces = pieces


def _probe(width: int) -> Tensor:
    """A row to try products with."""
    return torch.linspace(-1, 1, width)
