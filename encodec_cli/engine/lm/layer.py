"""One layer of Meta's language model, with the keys and values of frames past.

The arithmetic coder needs the very bits that Meta's program computes, so the order of operations
is part of the format. That program projects keys and values of the whole context again for every
frame, as one matrix product; here they are kept:

    rows of the product   1     2 or 3     4 and more
    kernel                A     B          C             each adds up in its own order

With 4 rows or more a row's result does not depend on the others. So the newest row is projected
alone in the order of kernel C (see `LastRowProduct`). The first frames, whose contexts are smaller,
are computed as in Meta's program: all rows again for every frame. How many frames that takes is
tried out, because kernels change at other sizes on other machines. All other products have one row
there, and here.

`forward` is written for TorchScript as well; see `LmFrame`.

Source: Meta's `encodec` package, `modules/transformer.py`.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_cli.engine.lm.memory import HEADS, LmMemory
from encodec_cli.engine.lm.row_product import MANY_ROWS, LastRowProduct, RowProduct

__all__ = ["LmLayer"]


class LmLayer(nn.Module):
    """Weights of one layer, D wide, `hidden` in the middle.

    Args:
        state: tensors named like those of torch's encoder layer.
        prefix: what precedes their names.
    """

    def __init__(self, state: Mapping[str, Tensor], prefix: str) -> None:
        super().__init__()

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return state[f"{prefix}{name}weight"], state[f"{prefix}{name}bias"]

        weight, bias = pair("self_attn.in_proj_")
        self._dim = dim = weight.shape[1]
        self.queries = RowProduct(weight[:dim], bias[:dim])
        self.kept = LastRowProduct(weight[dim:], bias[dim:], [2, 1, HEADS, dim // HEADS])
        self.out = RowProduct(*pair("self_attn.out_proj."))
        self.widen = RowProduct(*pair("linear1."))
        self.narrow = RowProduct(*pair("linear2."))
        self.norm1 = pair("norm1.")
        self.norm2 = pair("norm2.")

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

    def forward(self, x: Tensor, kept: Tensor, first: Tensor, start: int, end: int) -> Tensor:
        """`[D] -> [D]`, one frame.

        Args:
            x: the frame's input.
            kept: keys and values, see `LmMemory`; this frame's are put before `end`.
            first: inputs of the first frames; this one's is put there if it is one of them.
            start: the first row in sight.
            end: of the rows.
        """
        heads = kept.size(2)
        if end <= first.size(0):  # results change with the number of rows while they are few
            first[end - 1] = x
            projected = torch.addmm(self.kept.bias, first[:end], self.kept.weight.t())
            rows = projected.view(end, 2, 1, heads, -1).permute(1, 2, 3, 0, 4)
            kept.narrow(3, 0, end).copy_(rows)
        else:
            self.kept(x, kept.select(3, end - 1))
        query = self.queries(x).view(1, heads, 1, -1)
        keys, values = kept.narrow(3, start, end - start).unbind()
        mixed = F.scaled_dot_product_attention(query, keys, values).view(-1)
        x = torch.layer_norm(x + self.out(mixed), [self._dim], self.norm1[0], self.norm1[1])
        wide = F.gelu(self.widen(x))
        return torch.layer_norm(x + self.narrow(wide), [self._dim], self.norm2[0], self.norm2[1])

    def several(self, x: Tensor, memory: LmMemory, number: int) -> Tensor:
        """`[T, D] -> [T, D]`, frames after the first ones, their common work done at once.

        Args:
            x: inputs of the last T frames of the memory.
            memory: of the run.
            number: of this layer.
        """
        kept, count = memory.kept[number], len(x)
        first = memory.end - count
        block = F.pad(x, (0, 0, MANY_ROWS - 1, 0))
        new = torch.addmm(self.kept.bias, block, self.kept.weight.t())[MANY_ROWS - 1 :]
        rows = new.view(count, 2, 1, HEADS, -1).permute(1, 2, 3, 0, 4)
        kept[:, :, :, first : memory.end] = rows
        queries = self.queries.rows(x).view(count, 1, HEADS, 1, -1)
        mixed = []
        for end, query in enumerate(queries, first + 1):
            keys, values = kept[:, :, :, memory.start(end) : end]
            mixed.append(F.scaled_dot_product_attention(query, keys, values).view(1, -1))
        x = torch.layer_norm(x + self.out.rows(torch.cat(mixed)), [self._dim], *self.norm1)
        y = self.narrow.rows(F.gelu(self.widen.rows(x)))
        return torch.layer_norm(x + y, [self._dim], *self.norm2)
