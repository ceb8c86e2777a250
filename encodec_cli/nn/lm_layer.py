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
        self._norm1, self._norm2 = layer.norm1, layer.norm2
        self._kept_weight, self._kept_bias = layer.kept_weight.t(), layer.kept_bias
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

    def __call__(self, row: NDArray[np.float32]) -> None:
        """Replace the input `[D]` of the next frame by the output."""
        self._remember(row)
        self._queries(row)
        start = max(0, self._end - 1 - self._context)
        keys, values = (
            heads.narrow(2, start, self._end - start) for heads in (self._keys, self._values)
        )
        seen = F.scaled_dot_product_attention(self._query_heads, keys, values)
        self._norm(row, self._out(seen.numpy().reshape(-1)), self._norm1)
        self._widen(row)
        self._gelu()
        self._narrow.run()
        self._norm(row, self._narrow.y, self._norm2)

    def _norm(
        self, row: NDArray[np.float32], add: NDArray[np.float32], norm: tuple[Tensor, Tensor]
    ) -> None:
        """`row = layer_norm(row + add)`"""
        np.add(row, add, out=self._sum)
        row[:] = torch.layer_norm(self._sum_row, self._shape, *norm).numpy()

    def _remember(self, row: NDArray[np.float32]) -> None:
        """Keep the key and the value; the oldest make room once they are out of sight."""
        kept, end = self._kept, self._end
        if end == self._rows:
            kept[:, :, : self._context] = kept[:, :, end - self._context :].copy()
            end = self._context
        self._end = end + 1
        if end < _ANEW:
            self._first.numpy()[end] = row
            anew = torch.addmm(self._kept_bias, self._first[: end + 1], self._kept_weight)
            kept[:, :, : end + 1] = anew.view(-1, *self._newest.shape).permute(1, 2, 0, 3).numpy()
        else:
            self._kept_product(row)
            kept[:, :, end] = self._newest
