"""A convolution as matrix products over frames of rows, read in place.

With stride s, a frame is s rows, `x_t`, and a kernel of k rows reaches over n = ceil(k / s) frames:

    y_t = W_0 x_t + W_1 x_{t+1} + .. + W_{n-1} x_{t+n-1}

one product for each W, of all frames. With n = 2 (all up- and down-sampling), two outputs share a
product, 3 instead of 4:

    y_0 = (W_0 + W_1) x_1 - W_0 (x_1 - x_0)
    y_1 = (W_0 + W_1) x_1 + W_1 (x_2 - x_1)

The way back of gradients has the same products, of the same matrices transposed:

    dx_t = W_0' dy_t + W_1' dy_{t-1} + ..

Source: Winograd, Arithmetic Complexity of Computations, 1980 (fast FIR, F(2, 2)).
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from encodec_cli.runtime.scratch import Numbers, Scratch

__all__ = ["Products"]


_NARROW = 128
"""Width of a window up to which it is copied, for one product instead of several thin ones."""
_WIDE = 64 * 64
"""Size of a tap's matrix from which on a product costs more than the additions that save it."""
_MANY_FRAMES = 64
"""Frames from which on arithmetic, and not reading the weights, takes the time."""


class Products:
    """A kernel `[k, C, N]` whose outputs are `stride` rows apart and its taps `dilation`."""

    def __init__(self, kernel: Numbers, bias: Numbers, stride: int, dilation: int) -> None:
        taps, channels, self._outputs = kernel.shape
        dense = stride * dilation == 1 and taps > 1
        self._together = _rows_together(channels, self._outputs) if dense else 1
        if self._together > 1:
            kernel, bias = _several_rows(kernel, bias, self._together)
            taps = len(kernel)
        self._bias = bias
        self._step = stride * self._together
        self._channels = channels
        rows = kernel.reshape(taps * channels, -1)
        self._copied = dilation == 1 and taps > self._step and len(rows) <= _NARROW
        cut = len(rows) if self._copied else self._step * channels
        self._taps = [rows[i : i + cut] for i in range(0, len(rows), cut)]
        self._offsets = [i * dilation for i in range(len(self._taps))]
        # Frames that are read beyond those of the outputs.
        self._spare = -(-taps // self._step) - 1 if self._copied else self._offsets[-1]
        self._sum: Numbers | None = None
        if len(self._taps) == 2 and dilation == 1 and not self._copied:
            first, second = self._taps
            if first.shape == second.shape and first.size >= _WIDE:
                self._sum = first + second
                self._spare += 1

    def rows_for(self, outputs: int) -> int:
        """Rows that are read to make so many; beyond the last window they need only be finite."""
        frames = -(-outputs // self._together)
        return (frames + self._spare) * self._step

    def over(self, rows: Numbers, outputs: int, name: str, scratch: Scratch) -> Numbers:
        """`[rows_for(outputs), C] -> [outputs, N]` in the scratch memory `name`."""
        count = -(-outputs // self._together)
        width = self._step * self._channels
        out = scratch.take(name, count, self._bias.size, self._bias.dtype)
        if self._copied:
            self._copy(rows, out, scratch)
        else:
            frames = rows[: (count + self._spare) * self._step].reshape(-1, width)
            if self._sum is not None and count >= _MANY_FRAMES:
                _in_pairs(
                    frames, (self._taps[0], self._taps[1], self._sum), self._bias, out, scratch
                )
            else:
                self._tap_by_tap(frames, out, scratch)
        return out.reshape(-1, self._outputs)[:outputs]

    def _copy(self, rows: Numbers, out: Numbers, scratch: Scratch) -> None:
        [matrix] = self._taps
        windows = scratch.take("copies", out.shape[0], matrix.shape[0], out.dtype)
        number = rows.strides[1]
        strides = (self._step * self._channels * number, number)
        windows[:] = as_strided(rows, windows.shape, strides, writeable=False)
        np.matmul(windows, matrix, out=out)
        np.add(out, self._bias, out=out)

    def _tap_by_tap(self, frames: Numbers, out: Numbers, scratch: Scratch) -> None:
        count = out.shape[0]
        part = scratch.take("tap", count, out.shape[1], out.dtype) if len(self._taps) > 1 else out
        for i, (offset, tap) in enumerate(zip(self._offsets, self._taps, strict=True)):
            # A kernel that ends within a frame reads only the frame's beginning.
            np.matmul(frames[offset : offset + count, : tap.shape[0]], tap, out=part if i else out)
            np.add(out, part if i else self._bias, out=out)

    def adjoint(self, gradient: Numbers, scratch: Scratch) -> Numbers:
        """From the gradient by outputs `[n, N]` to that by rows, `[>= those that are read, C]`."""
        count = -(-gradient.shape[0] // self._together)
        spare = self._together * count - gradient.shape[0]
        if spare:
            gradient = np.pad(gradient, ((0, spare), (0, 0)))
        made = gradient.reshape(count, -1)
        frames = np.empty((count + self._spare, self._step * self._channels), gradient.dtype)
        if self._sum is not None and count >= _MANY_FRAMES:
            padded = scratch.take("padded", count + 3, made.shape[1], made.dtype)
            padded[0], padded[1 : count + 1], padded[count + 1 :] = 0, made, 0
            first, second = self._taps
            back, nothing = (second.T, first.T, self._sum.T), np.zeros(1, made.dtype)
            _in_pairs(padded, back, nothing, frames[: count + 1], scratch)
            frames[count + 1 :] = 0
        else:
            self._add_back(made, frames, scratch)
        return frames.reshape(-1, self._channels)

    def _add_back(self, made: Numbers, frames: Numbers, scratch: Scratch) -> None:
        count, width = made.shape[0], frames.shape[1]
        written = len(self._taps[0]) == width
        if written:
            np.matmul(made, self._taps[0].T, out=frames[:count])
        frames[count if written else 0 :] = 0
        for tap, first in zip(self._taps[written:], self._offsets[written:], strict=True):
            part = scratch.take("tap", count, tap.shape[0], made.dtype)
            np.matmul(made, tap.T, out=part)
            # The rows of one product may be those of several frames.
            for offset, start in enumerate(range(0, tap.shape[0], width), first):
                piece = part[:, start : start + width]
                frames[offset : offset + count, : piece.shape[1]] += piece


def _in_pairs(
    frames: Numbers,
    taps: tuple[Numbers, Numbers, Numbers],
    bias: Numbers,
    out: Numbers,
    scratch: Scratch,
) -> None:
    """Outputs of two taps, which come with their sum, two at a time.

    One frame more is read than they make use of.
    """
    first, second, both = taps
    count = out.shape[0]
    pairs, odd = divmod(count, 2)
    pairs += odd
    change = scratch.take("changes", 2 * pairs, frames.shape[1], out.dtype)
    np.subtract(frames[1 : 2 * pairs + 1], frames[: 2 * pairs], out=change)
    middle = scratch.take("middle", pairs, out.shape[1], out.dtype)
    part = scratch.take("tap", pairs, out.shape[1], out.dtype)
    np.matmul(frames[1 : 2 * pairs : 2], both, out=middle)
    np.add(middle, bias, out=middle)
    np.matmul(change[0::2], first, out=part)
    np.subtract(middle, part, out=out[0::2])
    np.matmul(change[1 : 2 * pairs - odd : 2], second, out=part[: pairs - odd])
    np.add(middle[: pairs - odd], part[: pairs - odd], out=out[1::2])


def _rows_together(channels: int, outputs: int) -> int:
    """Rows that are best made at once: where there are few channels, products are too thin.

    The larger kernel is mostly zeros, so more is not always better (measured).
    """
    if outputs <= 4:
        return max(2, (32 if channels <= 8 else 8) // outputs)
    return 4 if channels <= 2 else 1


def _several_rows(kernel: Numbers, bias: Numbers, together: int) -> tuple[Numbers, Numbers]:
    """A kernel as one that makes `together` rows at once, each one row on."""
    taps, channels, outputs = kernel.shape
    wide = np.zeros((taps + together - 1, channels, together, outputs), kernel.dtype)
    for i in range(together):
        wide[i : i + taps, :, i] = kernel
    return wide.reshape(len(wide), channels, -1), np.tile(bias, together)
