"""Whether a mix to fewer channels loses what the channels held: opposite signs cancel."""

import numpy as np

from encodec_cli.audio.samples import FloatBlock

__all__ = ["MixMeter"]

_LOST = 0.01
_PART = 0.1


class MixMeter:
    """Compares the power of channels with that of their mix, block by block."""

    def __init__(self) -> None:
        self._power = 0.0
        self._cancelled = 0.0

    def add(self, block: FloatBlock, mixed: FloatBlock) -> None:
        """Count `block` [C, n] and what it was mixed to [c, n]."""
        power = _power(block)
        self._power += power
        if _power(mixed) < _LOST * power:
            self._cancelled += power

    @property
    def cancels(self) -> bool:
        """Whether a tenth of the power or more lies where the mix has less than 1 % of it."""
        return self._power > 0 and self._cancelled >= _PART * self._power


def _power(block: FloatBlock) -> float:
    """Sum of squares, the mean over channels."""
    total: float = np.square(block, dtype=np.float64).sum()
    return float(total) / len(block)
