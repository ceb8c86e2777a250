"""One layer of Meta's language model, a frame at a time, with the keys and values of frames past.

The arithmetic coder needs the very bits that Meta's program computes, so the order of operations
is part of the format. That program projects keys and values of the whole context anew for every
frame, as one matrix product; here they are kept:

    rows of the product   1     2 or 3     4 and more
    kernel                A     B          C             each rounds in its own way

With 4 rows or more a row's result does not depend on the others. So the newest row is projected in
a block of `_BLOCK` rows, the others zeros, and the first frames, whose contexts are smaller, as
Meta's program does it: all rows anew. All other products have one row there, and here.

Small arrays are copied and added by numpy, whose calls cost a fraction of torch's.

Source: Meta's `encodec` package, `modules/transformer.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.nn.row_product import LastRowProduct, RowProduct

__all__ = ["HEADS", "LmLayer", "LmLayerStep"]

HEADS = 8
_BLOCK = 4
_ANEW = 16
_SPARE_ROWS = 64
_ALIGNED = 8  # floats; as many as AVX reads at once


@dataclass(frozen=True, eq=False)
class LmLayer:
    """Weights of one layer, D wide, `hidden` in the middle."""

    queries: RowProduct
    kept: LastRowProduct
    """Keys and values in the parts `[2 * HEADS, D / HEADS]`."""
    kept_weight: Tensor
    """`[2 * D, D]`"""
    kept_bias: Tensor
    """`[2 * D]`"""
    out: RowProduct
    widen: RowProduct
    narrow: RowProduct
    norm1: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], prefix: str) -> "LmLayer":
        """The layer of the tensors that `prefix` precedes, named like torch's encoder layer's."""

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return state[f"{prefix}{name}weight"], state[f"{prefix}{name}bias"]

        weight, bias = pair("self_attn.in_proj_")
        dim = weight.shape[1]
        return cls(
            queries=RowProduct(weight[:dim], bias[:dim]),
            kept=LastRowProduct(weight[dim:], bias[dim:], rows=_BLOCK, parts=2 * HEADS),
            kept_weight=weight[dim:],
            kept_bias=bias[dim:],
            out=RowProduct(*pair("self_attn.out_proj.")),
            widen=RowProduct(*pair("linear1.")),
            narrow=RowProduct(*pair("linear2.")),
            norm1=pair("norm1."),
            norm2=pair("norm2."),
        )

    @staticmethod
    def shapes(dim: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """The tensors of a layer."""
        return {
            "self_attn.in_proj_weight": (3 * dim, dim),
            "self_attn.in_proj_bias": (3 * dim,),
            "self_attn.out_proj.weight": (dim, dim),
            "self_attn.out_proj.bias": (dim,),
            "linear1.weight": (hidden, dim),
            "linear1.bias": (hidden,),
            "linear2.weight": (dim, hidden),
            "linear2.bias": (dim,),
            **{f"norm{i}.{part}": (dim,) for i in (1, 2) for part in ("weight", "bias")},
        }


class LmLayerStep:
    """A layer with what it remembers of one run.

    Keys and values of the frames so far lie in rows up to `end`; when their memory is full, those
    still in sight move to the front. A head's rows follow each other, to be read in one go. Within
    32 bytes they start where they start in Meta's program, which has the heads side by side:
    products with rows that start elsewhere add up in another order.
    """

    def __init__(self, layer: LmLayer, past_context: int) -> None:
        self._layer = layer
        self._context = past_context
        self._shape = layer.norm1[0].shape
        dim = self._shape[0]
        size = dim // HEADS

        self._rows = 2 * past_context + _SPARE_ROWS
        row = -(-size // _ALIGNED) * _ALIGNED
        head = self._rows * row + size % _ALIGNED
        half = HEADS * (self._rows * row + _ALIGNED)
        shape, strides = (2, 1, HEADS, self._rows, size), (half, 0, head, row, 1)
        self._keys, self._values = kept = torch.empty(2 * half).as_strided(shape, strides)
        self._kept = kept.numpy()[:, 0]
        self._end = 1  # the zero vector before the first frame

        self._first = torch.zeros(_ANEW, dim)
        self._kept_product = layer.kept.bind()
        self._newest = self._kept_product.y.reshape(2, HEADS, size)

        self._queries = layer.queries.bind()
        self._query_heads = self._queries.y_tensor.view(1, HEADS, 1, size)
        self._out = layer.out.bind()
        self._widen = layer.widen.bind()
        wide = torch.empty_like(self._widen.y_tensor)
        self._gelu = partial(F.gelu, self._widen.y_tensor, out=wide)  # type: ignore[call-arg]
        self._narrow = layer.narrow.bind(wide)
        self._sum_row = torch.empty(1, dim)
        self._sum = self._sum_row.numpy()[0]

    def __call__(self, rows: NDArray[np.float32]) -> None:
        """Replace the inputs `[T, D]` of the next frames by the outputs."""
        alone = len(rows) if len(rows) == 1 else max(0, _ANEW - self._end)
        for row in rows[:alone]:
            self._one(row)
        if len(rows) > alone:
            x = torch.from_numpy(rows[alone:])
            x.copy_(self._several(x))

    def _one(self, row: NDArray[np.float32]) -> None:
        """A frame in buffers that stay, with as few calls as it takes."""
        layer = self._layer
        self._make_room(1)
        if self._end < _ANEW:
            self._keep_anew(row)
        else:
            self._kept_product(row)
            self._kept[:, :, self._end] = self._newest
        self._end += 1
        self._queries(row)
        seen = self._attend(self._query_heads, self._end)
        self._norm(row, self._out(seen.numpy().reshape(-1)), layer.norm1)
        self._widen(row)
        self._gelu()
        self._narrow.run()
        self._norm(row, self._narrow.y, layer.norm2)

    def _several(self, x: Tensor) -> Tensor:
        """`[T, D] -> [T, D]`, what frames do not share done for all at once."""
        layer, count = self._layer, len(x)
        self._make_room(count)
        start, self._end = self._end, self._end + count
        block = F.pad(x, (0, 0, _BLOCK - 1, 0))
        new = torch.addmm(layer.kept_bias, block, layer.kept_weight.t())[_BLOCK - 1 :]
        self._kept[:, :, start : self._end] = self._by_head(new)
        queries = layer.queries.rows(x).view(count, *self._query_heads.shape)
        stops = range(start + 1, self._end + 1)
        seen = [self._attend(q, stop).view(1, -1) for q, stop in zip(queries, stops, strict=True)]
        x = torch.layer_norm(x + layer.out.rows(torch.cat(seen)), self._shape, *layer.norm1)
        y = layer.narrow.rows(F.gelu(layer.widen.rows(x)))
        return torch.layer_norm(x + y, self._shape, *layer.norm2)

    def _attend(self, query: Tensor, stop: int) -> Tensor:
        """`[1, HEADS, 1, size]`, from the rows in sight of the last before `stop`."""
        start = max(0, stop - 1 - self._context)
        keys, values = (t.narrow(2, start, stop - start) for t in (self._keys, self._values))
        return F.scaled_dot_product_attention(query, keys, values)

    def _norm(
        self, row: NDArray[np.float32], add: NDArray[np.float32], norm: tuple[Tensor, Tensor]
    ) -> None:
        """`row = layer_norm(row + add)`"""
        np.add(row, add, out=self._sum)
        row[:] = torch.layer_norm(self._sum_row, self._shape, *norm).numpy()

    def _make_room(self, count: int) -> None:
        """For rows to come; those out of sight go."""
        if self._end + count > self._rows:
            kept = self._kept[:, :, self._end - self._context : self._end].copy()
            self._kept[:, :, : self._context] = kept
            self._end = self._context

    def _keep_anew(self, row: NDArray[np.float32]) -> None:
        """Project all rows, as results change with their number while they are few."""
        layer, stop = self._layer, self._end + 1
        self._first.numpy()[self._end] = row
        anew = torch.addmm(layer.kept_bias, self._first[:stop], layer.kept_weight.t())
        self._kept[:, :, :stop] = self._by_head(anew)

    def _by_head(self, kept: Tensor) -> NDArray[np.float32]:
        """`[T, 2 * D] -> [2, HEADS, T, size]`"""
        by_head: NDArray[np.float32] = kept.numpy().reshape(-1, *self._newest.shape)
        return by_head.transpose(1, 2, 0, 3)
