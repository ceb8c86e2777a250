"""A convolution as matrix products over frames of rows, read in place.

With stride s, a frame is s rows, `x_t`, and a kernel of k rows reaches over n = ceil(k / s) frames:

    y_t = W_0 x_t + W_1 x_{t+1} + .. + W_{n-1} x_{t+n-1}

one product for each W, of all frames of all streams. Frames across two streams give rows that
nobody reads, which is cheaper than a product for each stream. With n = 2 (all up- and
down-sampling), two outputs share a product, 3 instead of 4:

    y_0 = (W_0 + W_1) x_1 - W_0 (x_1 - x_0)
    y_1 = (W_0 + W_1) x_1 + W_1 (x_2 - x_1)

Source: Winograd, Arithmetic Complexity of Computations, 1980 (fast FIR, F(2, 2)).
"""

import torch
from torch import Tensor

from encodec_cli.engine.rows import Scratch

__all__ = ["Products"]

_WIDE = 64 * 64
"""Size of a tap's matrix from which on a product costs more than the additions that save it."""
_MANY_FRAMES = 100
"""Frames of a stream from which on arithmetic, and not reading the weights, takes the time."""
_NARROW = 16
"""Width of a frame below which its product is too thin: the whole window is read at once."""


class Products:
    """A kernel `[N, taps, C]` over frames of `step` rows; its taps are `dilation` rows apart."""

    def __init__(self, weight: Tensor, bias: Tensor | None, step: int, dilation: int) -> None:
        outputs, taps, channels = weight.shape
        weight = weight.detach()
        self._bias = weight.new_zeros(outputs) if bias is None else bias.detach()
        self._width = step * channels
        self._reach = (-(-taps // step) - 1) * dilation
        narrow = dilation == 1 and self._width < _NARROW
        cut = taps if narrow else step
        # Each [cut * C, N]; a kernel that ends within a frame reads only the frame's beginning.
        self._taps = [
            weight[:, i : i + cut].flatten(1).t().contiguous() for i in range(0, taps, cut)
        ]
        self._offsets = [i * dilation for i in range(len(self._taps))]
        self._sum: Tensor | None = None
        exact = weight.dtype in (torch.float32, torch.float64)
        if exact and dilation == 1 and len(self._taps) == 2:
            first, second = self._taps
            if first.shape == second.shape and first.numel() >= _WIDE:
                self._sum = first + second

    def over(self, frames: Tensor, batch: int, name: str, scratch: Scratch) -> Tensor:
        """`[B * F + 1, step * C] -> [B, F, N]`, each B's last valid as far as its frames reach."""
        count = frames.shape[0] - 1
        out = scratch.take(name, frames, count, self._bias.shape[0])
        found = count - self._reach
        # A stream gets the same arithmetic in any company.
        if self._sum is not None and count // batch > _MANY_FRAMES:
            self._in_pairs(frames, self._sum, out, scratch)
        else:
            bias, place = self._bias, out[:found]
            for offset, tap in zip(self._offsets, self._taps, strict=True):
                shape, strides = (found, tap.shape[0]), (self._width, 1)
                operand = frames[offset:].as_strided(shape, strides)
                torch.addmm(bias, operand, tap, out=place)
                bias = place
        return out.view(batch, -1, self._bias.shape[0])

    def _in_pairs(self, frames: Tensor, both: Tensor, out: Tensor, scratch: Scratch) -> None:
        pairs = out.shape[0] // 2
        first, second = self._taps
        change = scratch.take("changes", frames, 2 * pairs, frames.shape[1])
        torch.sub(frames[1 : 2 * pairs + 1], frames[: 2 * pairs], out=change)
        even, odd = out[0 : 2 * pairs : 2], out[1 : 2 * pairs : 2]
        torch.addmm(self._bias, frames[1 : 2 * pairs : 2], both, out=even)
        odd.copy_(even)
        even.addmm_(change[0::2], first, alpha=-1)
        odd.addmm_(change[1::2], second)
