"""Frames of Meta's language model through all layers and heads.

Predicting a frame takes a hundred small operations. Called from Python they cost half as much
again, in code that the weights, all read for every frame, have driven out of the processor's
caches. So single frames run as TorchScript: the same operations, called from C++.
"""

import sys
import warnings

import torch
from torch import Tensor, nn

from encodec_cli.nn.lm_layer import LmLayer
from encodec_cli.nn.lm_memory import LmMemory
from encodec_cli.nn.row_product import RowProduct

__all__ = ["FrameStep", "LmFrame"]


class LmFrame(nn.Module):
    """From the inputs of a frame to its probabilities.

    Args:
        layers: of the model.
        heads: the product that makes the logits of K codebooks, in the order `[N, K]`.
        codebooks: K.
    """

    def __init__(self, layers: list[LmLayer], heads: RowProduct, codebooks: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.heads = heads
        self._codebooks = codebooks

    def forward(
        self,
        x: Tensor,
        kept: list[Tensor],
        first: list[Tensor],
        block: Tensor,
        start: int,
        end: int,
    ) -> Tensor:
        """`[1, D] -> [1, N, K]`; see `LmLayer` and `LmMemory`."""
        for i, layer in enumerate(self.layers):
            x = layer(x, kept[i], first[i], block, start, end)
        return self.probabilities(self.heads(x))

    def probabilities(self, logits: Tensor) -> Tensor:
        """`[T, N * K] -> [T, N, K]`"""
        # Meta's softmax runs down the columns of [N, K], which adds up in its own order.
        return torch.softmax(logits.view(logits.size(0), -1, self._codebooks), dim=1)


class FrameStep:
    """Runs frames through the layers and heads, each run with its own memory.

    Args:
        layers: see `LmFrame`.
        heads: see there.
        codebooks: see there.
    """

    def __init__(self, layers: list[LmLayer], heads: RowProduct, codebooks: int) -> None:
        self._layers, self._heads = layers, heads
        self._frame = LmFrame(layers, heads, codebooks).eval()
        self._compiled: nn.Module = self._frame
        # torch offers no TorchScript from Python 3.14 on: slower there, and the same bits.
        if sys.version_info < (3, 14):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                self._compiled = torch.jit.freeze(torch.jit.script(self._frame))

    def one(self, x: Tensor, memory: LmMemory) -> Tensor:
        """`[1, D] -> [1, N, K]`, the next frame."""
        memory.extend(1)
        start = memory.start(memory.end)
        # Optimizing takes the first two calls a tenth of a second and gains nothing here.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            probabilities: Tensor = self._compiled(
                x, memory.kept, memory.first, memory.block, start, memory.end
            )
        return probabilities

    def several(self, x: Tensor, memory: LmMemory) -> Tensor:
        """`[T, D] -> [T, N, K]`, the next frames, which come after the first ones."""
        memory.extend(len(x))
        for number, layer in enumerate(self._layers):
            x = layer.several(x, memory, number)
        return self._frame.probabilities(self._heads.rows(x))
