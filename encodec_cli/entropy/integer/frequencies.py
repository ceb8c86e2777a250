"""Frequencies of logits, from one table of whole numbers."""

import math

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.sizes import OCTAVE

__all__ = ["FREQUENCIES", "TOP_BITS"]

TOP_BITS = 16
"""The likeliest code has frequency 2 ** 16 + 1."""


def _power(sixty_fourths: int) -> int:
    """2 ** (sixty_fourths / 64) rounded to the nearest, in whole numbers throughout."""
    doubled = 1 << (sixty_fourths + OCTAVE)
    for _ in range(OCTAVE.bit_length() - 1):  # the 64th root of its 64th power
        doubled = math.isqrt(doubled)
    return (doubled + 1) // 2


def _frequencies() -> NDArray[np.uint32]:
    octave = [_power(TOP_BITS * OCTAVE - d) for d in range(OCTAVE)]
    steps = (TOP_BITS + 1) * OCTAVE
    return np.array([(octave[d % OCTAVE] >> d // OCTAVE) + 1 for d in range(steps + 1)], np.uint32)


FREQUENCIES = _frequencies()
"""Of a logit d / 64 octaves below the largest, for d from 0; the last stands for all beyond.

`(round(2 ** (16 - (d mod 64) / 64)) >> d // 64) + 1`: no code is impossible.
"""
