"""Frames of Meta's language model through all layers and heads.

Predicting a frame takes a hundred small operations. Calling them from Python costs half as much
again: every frame reads all weights, and they push Python's code out of the processor's caches. So
single frames run as TorchScript, the same operations called from C++.
"""

import sys
import warnings

import torch
from torch import Tensor, nn

from encodec_cli.engine.lm.layer import LmLayer
from encodec_cli.engine.lm.memory import LmMemory
from encodec_cli.engine.lm.row_product import RowProduct

__all__ = ["FrameStep", "LmFrame", "LmInput"]


class LmInput(nn.Module):
    """From the codes before a frame to its input.

    Args:
        tables: embeddings of all codebooks `[rows, D]`.
        norm: weight and bias `[D]`.
        codebooks: K.
    """

    def __init__(self, tables: Tensor, norm: tuple[Tensor, Tensor], codebooks: int) -> None:
        super().__init__()
        self._tables, self._norm, self._codebooks = tables, norm, codebooks

    def forward(self, rows: Tensor, positions: Tensor) -> Tensor:
        """`-> [T, D]`

        Args:
            rows: of the tables, `[T * K]`.
            positions: embeddings of the frames' numbers, `[T, D]`, or `[D]` of one.
        """
        # Adds the rows one by one, like Meta's program; `torch.sum` would in another order.
        starts = torch.arange(0, rows.size(0), self._codebooks)
        x = torch.embedding_bag(self._tables, rows, starts, False, 0, False)[0]
        return torch.layer_norm(x, x.shape[1:], self._norm[0], self._norm[1]) + positions


class LmFrame(nn.Module):
    """From the codes before a frame to its probabilities.

    Args:
        embed: of the model.
        layers: of the model.
        heads: the product that makes the logits of K codebooks, in the order `[N, K]`.
        codebooks: K.
    """

    def __init__(
        self, embed: LmInput, layers: list[LmLayer], heads: RowProduct, codebooks: int
    ) -> None:
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(layers)
        self.heads = heads
        self._codebooks = codebooks

    def forward(
        self,
        rows: Tensor,
        positions: Tensor,
        number: int,
        kept: list[Tensor],
        first: list[Tensor],
        start: int,
        end: int,
    ) -> Tensor:
        """`-> [1, N, K]`; see `LmInput`, `LmLayer` and `LmMemory`.

        Args:
            number: of the frame among `positions`.
        """
        x = self.embed(rows, positions[number]).view(-1)
        for i, layer in enumerate(self.layers):
            x = layer(x, kept[i], first[i], start, end)
        return self.probabilities(self.heads(x).view(1, -1))

    def probabilities(self, logits: Tensor) -> Tensor:
        """`[T, N * K] -> [T, N, K]`"""
        # Meta's softmax runs down the columns of [N, K], which adds up in its own order.
        return torch.softmax(logits.view(logits.size(0), -1, self._codebooks), dim=1)


class FrameStep:
    """Runs frames through the layers and heads, each run with its own memory.

    The arguments are those of `LmFrame`.
    """

    def __init__(
        self, embed: LmInput, layers: list[LmLayer], heads: RowProduct, codebooks: int
    ) -> None:
        self._embed, self._layers, self._heads = embed, layers, heads
        self._frame = LmFrame(embed, layers, heads, codebooks).eval()
        self._run = self._frame.forward
        # torch offers no TorchScript from Python 3.14 on: slower there, and the same bits.
        if sys.version_info < (3, 14):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._run = torch.jit.freeze(torch.jit.script(self._frame)).forward

    def one(self, rows: Tensor, positions: Tensor, number: int, memory: LmMemory) -> Tensor:
        """The next frame, `-> [1, N, K]`; see `LmFrame`."""
        memory.extend(1)
        start = memory.start(memory.end)
        probabilities: Tensor = self._run(
            rows, positions, number, memory.kept, memory.first, start, memory.end
        )
        return probabilities

    def several(self, rows: Tensor, positions: Tensor, memory: LmMemory) -> Tensor:
        """The next T frames, which come after the first ones, `-> [T, N, K]`; see `LmInput`."""
        x = self._embed(rows, positions)
        memory.extend(len(x))
        for number, layer in enumerate(self._layers):
            x = layer.several(x, memory, number)
        return self._frame.probabilities(self._heads.rows(x))
