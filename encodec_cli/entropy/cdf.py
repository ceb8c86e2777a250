"""Probabilities turned into integers, exactly as Meta's encoder turns them."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["RANGE_BITS", "stable_cdf"]

RANGE_BITS = 24
"""Symbols share a range of 2 ** RANGE_BITS."""

_ROUNDOFF = np.float32(1e-8)
_LEAST = 2


def stable_cdf(probabilities: NDArray[np.float32]) -> NDArray[np.int32]:
    """Upper bounds of the symbols' shares of the range, `[..., N]` like `probabilities`.

    Symbol s owns `[cdf[s - 1], cdf[s])`, with 0 below the first; each share is at least 2. The
    shares are not topped up: the last bound is 2 ** RANGE_BITS or a little less (one more where
    rounding puts the probabilities' sum above 1). Every step is an IEEE operation in fp32, so
    equal probabilities give equal bounds on every machine.
    """
    scaled = np.divide(probabilities, _ROUNDOFF, order="C")
    np.floor(scaled, out=scaled)
    scaled *= _ROUNDOFF
    scaled *= np.float32((1 << RANGE_BITS) - _LEAST * probabilities.shape[-1])
    shares = scaled.astype(np.int32)  # truncates, and nothing here is negative
    shares += _LEAST
    return np.add.accumulate(shares, axis=-1, out=shares)
