"""Norms that follow a convolution."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from encodec_cli.config.seanet import Norm
from encodec_cli.runtime.scratch import Numbers

__all__ = ["Normalize", "has_norm", "norm_for"]

Normalize = Callable[[Numbers], None]
"""Normalises rows `[n, C]` where they are."""

_AT_A_TIME = 16384


def has_norm(norm: Norm, params: dict[str, Any]) -> bool:
    """Whether `norm_for` has this one."""
    return norm in ("none", "weight_norm", "spectral_norm") or params.keys() <= {"eps"}


def norm_for(
    norm: Norm, params: dict[str, Any], get: Callable[[str], Numbers], name: str
) -> Normalize | None:
    """The norm with its weights; None where it is part of the convolution's own.

    `time_group_norm` averages over all rows it is given, which are those of a whole signal.
    """
    if norm not in ("time_group_norm", "layer_norm"):
        return None
    gain, shift = get(f"{name}.weight"), get(f"{name}.bias")
    eps = float(params.get("eps", 1e-5))
    return (
        _OverTime(gain, shift, eps)
        if norm == "time_group_norm"
        else _OverChannels(gain, shift, eps)
    )


@dataclass
class _OverTime:
    """Group norm with one group: mean and variance of all numbers of a signal."""

    gain: Numbers
    shift: Numbers
    eps: float

    def __call__(self, x: Numbers) -> None:
        flat = x.reshape(-1)
        if not flat.size:
            return
        total = power = 0.0
        for start in range(0, flat.size, _AT_A_TIME):
            here = flat[start : start + _AT_A_TIME]
            total += float(np.add.reduce(here))
            power += float(np.dot(here, here))
        mean = total / flat.size
        variance = max(0.0, power / flat.size - mean * mean)
        scale = (self.gain / math.sqrt(variance + self.eps)).astype(x.dtype)
        _affine(x, scale, self.shift - mean * scale)


@dataclass
class _OverChannels:
    """Layer norm: mean and variance of each row."""

    gain: Numbers
    shift: Numbers
    eps: float

    def __call__(self, x: Numbers) -> None:
        np.subtract(x, x.mean(axis=1, keepdims=True), out=x)
        power = np.mean(x * x, axis=1, keepdims=True)
        np.divide(x, np.sqrt(power + self.eps), out=x)
        _affine(x, self.gain, self.shift)


def _affine(x: Numbers, scale: Numbers, shift: Numbers) -> None:
    """Rows `[n, C]` times `scale` plus `shift`, while they are in the cache."""
    rows = max(1, _AT_A_TIME // x.shape[1])
    for start in range(0, x.shape[0], rows):
        here = x[start : start + rows]
        np.multiply(here, scale, out=here)
        np.add(here, shift, out=here)
