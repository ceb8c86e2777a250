"""The context frame by frame, of many runs at once."""

import numpy as np

from encodec_cli.entropy.integer.network import ContextNetwork, Floats, with_one

__all__ = ["ContextState"]


class ContextState:
    """What the frames so far left in each block of the context.

    For up to `lanes` runs in rows, or for one run without rows, which takes less time.
    """

    def __init__(self, network: ContextNetwork, tag: int, lanes: int | None) -> None:
        self._network = network
        self._tag = network.tags[tag]
        sizes = network.sizes
        rows, row = lanes or 1, slice(None) if lanes else 0
        self._past = [np.zeros((d, rows, sizes.channels), np.float32) for d in sizes.dilations]
        self._past = [past[:, row] for past in self._past]
        self._before = with_one(np.zeros((rows, sizes.inputs), np.float32))[row]
        self._both = with_one(np.zeros((rows, 2 * sizes.channels), np.float32))[row]
        self._hidden = np.empty((rows, sizes.channels + 1), np.float32)[row]
        self._more = np.empty((rows, sizes.channels), np.float32)[row]
        self._frame = 0

    def step(self, inputs: Floats) -> Floats:
        """Context `[B, C]` of the next frame of the first B runs, or `[C]` of the one.

        `inputs` `[B, I]` are those of the frame before; for the first frame they do not count.
        """
        rows = slice(len(inputs)) if inputs.ndim > 1 else slice(None)
        channels = len(self._tag)
        x = np.zeros((*inputs.shape[:-1], channels), np.float32)
        if self._frame:
            before = self._before[rows]
            before[..., :-1] = inputs
            self._network.input(before, out=x)
        x += self._tag
        both, hidden, more = self._both[rows], self._hidden[rows], self._more[rows]
        past, present = both[..., :channels], both[..., channels:-1]
        for i, history in enumerate(self._past):
            place = history[self._frame % len(history)][rows]
            self._network.shifts[i](x, out=present)
            past[:] = place
            place[:] = present
            self._network.first[i](both, out=hidden)
            x += self._network.second[i](hidden, out=more)
        self._frame += 1
        return self._network.shift(x, out=x)
