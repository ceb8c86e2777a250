"""One stream through a network, in blocks of so many rows, however the rows come.

Products of other sizes round otherwise: so what comes out depends neither on the pushes nor on
threads, which make rows come later.
"""

import numpy as np

from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.stream.buffer import Buffer

__all__ = ["Grid"]


class Grid:
    """Steps `network` by blocks `[rows, inputs]`; rows that come out have `outputs` numbers."""

    def __init__(self, network: Stepper, rows: int, inputs: int, outputs: int) -> None:
        self._network = network
        self._state = network.new_state()
        self._rows = rows
        self._waiting = Buffer(inputs)
        self._outputs = outputs

    def push(self, rows: Rows, *, last: bool = False) -> Rows:
        """The outputs `[n, outputs]` that the next rows complete; all of them after the `last`."""
        self._waiting.append(rows)
        pieces = [np.zeros((0, self._outputs), np.float32)]
        while self._waiting.rows >= self._rows:
            pieces.append(self._step(self._rows, last=False))
        if last:
            pieces.append(self._step(self._waiting.rows, last=True))
        return np.concatenate(pieces) if len(pieces) != 2 else pieces[1]

    def _step(self, rows: int, *, last: bool) -> Rows:
        [found] = self._network.step([self._waiting.take(rows)], [self._state], [last])
        return found
