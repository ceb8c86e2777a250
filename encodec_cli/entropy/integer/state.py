"""The context frame by frame, of many runs at once."""

import numpy as np

from encodec_cli.entropy.integer.network import ContextNetwork, Floats, with_one

__all__ = ["ContextState"]


class ContextState:
    """What the frames so far left in each block of the context, for up to `lanes` runs."""

    def __init__(self, network: ContextNetwork, tag: int, lanes: int) -> None:
        self._network = network
        self._tag = network.tags[tag]
        sizes = network.sizes
        self._past = [np.zeros((d, lanes, sizes.channels), np.float32) for d in sizes.dilations]
        self._before = with_one(np.zeros((lanes, sizes.inputs), np.float32))
        self._both = with_one(np.zeros((lanes, 2 * sizes.channels), np.float32))
        self._frame = 0

    def step(self, inputs: Floats) -> Floats:
        """Context `[B, C]` of the next frame of the first B runs.

        `inputs` `[B, I]` are those of the frame before; for the first frame they do not count.
        """
        lanes, channels = len(inputs), len(self._tag)
        x = np.zeros((lanes, channels), np.float32)
        if self._frame:
            before = self._before[:lanes]
            before[:, :-1] = inputs
            self._network.input(before, out=x)
        x += self._tag
        both = self._both[:lanes]
        past, present = both[:, :channels], both[:, channels:-1]
        for i, history in enumerate(self._past):
            place = history[self._frame % len(history), :lanes]
            self._network.shifts[i](x, out=present)
            past[:] = place
            place[:] = present
            x += self._network.second[i](self._network.first[i].rectified(both))
        self._frame += 1
        return self._network.shift(x, out=x)
