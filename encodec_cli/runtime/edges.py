"""What a convolution reads: rows of the past, the new ones activated, padding where it ends.

A stream's padded rows lie one behind the other. An output reads `reach` of them, the next one those
`stride` further on; what it still needs of the past is held from step to step. So is what the
padding of the right edge reflects, where that reaches further back.

    padding   rows 0 1 2 ...                   output 0
    [-------------- reach]
            [-------------- reach]             output 1, `stride` rows on
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.layers import Convolution
from encodec_cli.config.seanet import PadMode
from encodec_cli.runtime.activation import Activate
from encodec_cli.runtime.scratch import Numbers, Scratch

__all__ = ["Held", "Window", "Windows", "fold_edges", "pad_edges"]


@dataclass
class Held:
    """What one stream left behind in a convolution.

    `rows` `[m, C]` are the last ones, activated, of which the first `passed` no output reads any
    more. Until `started`, they are all `samples` that came: too few to be reflected.
    """

    rows: Numbers | None = None
    passed: int = 0
    samples: int = 0
    started: bool = False


@dataclass
class Window:
    """Rows `[>= n, C]` of which the next `outputs` are made, from the first one on."""

    rows: Numbers
    outputs: int


class Windows:
    """Makes the windows of one convolution, which reads `rows_for(n)` rows to make n outputs."""

    def __init__(
        self, plan: Convolution, activate: Activate | None, rows_for: Callable[[int], int]
    ) -> None:
        self._left, self._right = plan.back, plan.ahead
        self._stride, self._reach = plan.stride, plan.reach
        self._channels = plan.inputs
        self._pad_mode: PadMode = plan.pad_mode
        self._activate, self._rows_for = activate, rows_for
        self._most_right = self._right + self._stride - 1
        # Reflection leaves out the edge itself.
        self._kept = self._most_right + 1 if self._most_right else 0
        self._enough = max(self._left, self._most_right)

    def fill(self, x: Numbers, held: Held, last: bool, scratch: Scratch) -> Window:
        """The window that the rows `x` `[n, C]` complete, then zeros; moves `held` on.

        It lies in the scratch memory "window".
        """
        before = 0 if held.rows is None else held.rows.shape[0]
        held.samples += x.shape[0]
        begins = not held.started and (last or held.samples > self._enough)
        left = self._left if begins else 0
        right = self._right + -held.samples % self._stride if last else 0
        end = left + before + x.shape[0]
        found = 0
        if held.started or (begins and held.samples):
            found = max(0, (end + right - held.passed - self._reach) // self._stride + 1)
        size = max(end + right, held.passed + self._rows_for(found))
        buffer = scratch.take("window", size, self._channels, x.dtype)
        if held.rows is not None:
            buffer[left : left + before] = held.rows
        if self._activate is None:
            buffer[left + before : end] = x
        elif x.size:
            self._activate(buffer[left + before : end], x)
        buffer[end:] = 0
        if begins or last:
            pad_edges(buffer[: end + right], left, right, self._pad_mode)
        held.started = held.started or begins
        window = Window(buffer[held.passed :], found)
        following = held.passed + found * self._stride
        kept = following if not held.started else min(following, max(0, end - self._kept))
        held.rows, held.passed = (None, 0) if last else (buffer[kept:end].copy(), following - kept)
        return window


def pad_edges(buffer: Numbers, left: int, right: int, mode: PadMode) -> None:
    """Fill the first `left` and the last `right` rows from the signal `[n, C]` between them.

    One too short to be reflected is first extended with zeros on the right, n >= 1.
    """
    signal = buffer[left : buffer.shape[0] - right]
    if not signal.shape[0]:
        buffer[:] = 0
        return
    for places, sources in _edges(signal.shape[0], left, right, mode):
        padded = signal[np.maximum(sources, 0)]
        padded[sources < 0] = 0
        buffer[places] = padded


def fold_edges(gradient: Numbers, left: int, right: int, mode: PadMode) -> Numbers:
    """From the gradient by the rows that `pad_edges` fills or leaves, `[left + n + right, C]`,
    to that by the signal `[n, C]`; it lies in the same memory."""
    signal = gradient[left : gradient.shape[0] - right]
    for places, sources in _edges(signal.shape[0], left, right, mode):
        copied = sources >= 0
        np.add.at(signal, sources[copied], gradient[places][copied])
    return signal


def _edges(
    count: int, left: int, right: int, mode: PadMode
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """The padded rows at both ends, where there are some, and the signal's rows that they repeat.

    -1 stands for zeros.
    """
    before = (slice(0, left), np.arange(-left, 0))
    after = (slice(left + count, None), count + np.arange(right))
    for places, rows in (before, after):
        if not rows.size:
            continue
        if mode == "constant":
            yield places, np.full(rows.size, -1)
        elif mode == "replicate":
            yield places, np.clip(rows, 0, count - 1)
        else:
            extended = max(count, left + 1, right + 1)
            mirrored = np.abs(rows)
            mirrored = np.where(mirrored < extended, mirrored, 2 * (extended - 1) - mirrored)
            yield places, np.where(mirrored < count, mirrored, -1)
