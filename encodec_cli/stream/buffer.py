"""Re-blocking: rows of any pushes, taken out in blocks of any size."""

from collections import deque

import numpy as np

from encodec_cli.runtime.protocol import Rows

__all__ = ["Buffer"]


class Buffer:
    """Rows `[n, C]`, first in, first out.

    Attributes:
        rows: how many there are.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._pieces: deque[Rows] = deque()
        self.rows = 0

    def append(self, rows: Rows) -> None:
        """Add `[n, C]` behind what there is. The array must not change afterwards."""
        if rows.shape[0]:
            self._pieces.append(rows)
            self.rows += rows.shape[0]

    def take(self, rows: int, keep: int = 0) -> Rows:
        """The first `rows` rows, at most all there are; the last `keep` of them stay in front."""
        wanted, taken = min(rows, self.rows), []
        self.rows -= wanted
        while wanted > 0:
            piece = self._pieces.popleft()
            if piece.shape[0] > wanted:
                self._pieces.appendleft(piece[wanted:])
            taken.append(piece[:wanted])
            wanted -= piece.shape[0]
        if not taken:
            return np.zeros((0, self._channels), np.float32)
        block = taken[0] if len(taken) == 1 else np.concatenate(taken)
        if keep > 0:
            self._pieces.appendleft(block[-keep:])
            self.rows += keep
        return block
