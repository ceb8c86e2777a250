"""Norms that follow a convolution."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from encodec_cli.config.seanet import Norm
from encodec_cli.runtime.scratch import Numbers

__all__ = ["Back", "Normalize", "has_norm", "norm_for"]

Back = Callable[[Numbers], Numbers]
"""From the gradient by what came out `[m, C']`, which it may overwrite, to that by what came in."""


class Normalize(Protocol):
    """A norm with its weights."""

    def __call__(self, x: Numbers) -> None:
        """Normalises rows `[n, C]` where they are."""

    def traced(self, x: Numbers) -> tuple[Numbers, Back]:
        """Rows `[n, C]` normalised, and the way back."""


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

    def traced(self, x: Numbers) -> tuple[Numbers, Back]:
        out = x.copy()
        self(out)
        return out, _way_back(x, self.gain, self.eps, None)


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

    def traced(self, x: Numbers) -> tuple[Numbers, Back]:
        out = x.copy()
        self(out)
        return out, _way_back(x, self.gain, self.eps, 1)


def _affine(x: Numbers, scale: Numbers, shift: Numbers) -> None:
    """Rows `[n, C]` times `scale` plus `shift`, while they are in the cache."""
    rows = max(1, _AT_A_TIME // x.shape[1])
    for start in range(0, x.shape[0], rows):
        here = x[start : start + rows]
        np.multiply(here, scale, out=here)
        np.add(here, shift, out=here)


def _way_back(x: Numbers, gain: Numbers, eps: float, axis: int | None) -> Back:
    """Of a norm over all of `x` `[n, C]`, or over each row (`axis` 1)."""

    def mean(values: Numbers) -> Numbers:
        found: Numbers = values.mean(axis=axis, keepdims=True)
        return found

    def back(gradient: Numbers) -> Numbers:
        centred = x - mean(x)
        deviation = np.sqrt(mean(np.square(centred)) + eps)
        unit = centred / deviation
        by_unit = gradient * gain
        found: Numbers = (by_unit - mean(by_unit) - unit * mean(by_unit * unit)) / deviation
        return found

    return back
