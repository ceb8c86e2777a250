"""Norms that follow a convolution."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.config.codec import Norm

__all__ = ["Normalize", "has_norm", "norm_for"]

_Numbers = NDArray[np.floating[Any]]
Normalize = Callable[[_Numbers], None]
"""Normalises rows `[n, C]` where they are."""


def has_norm(norm: Norm, params: dict[str, Any]) -> bool:
    """Whether `norm_for` has this one."""
    return norm in ("none", "weight_norm", "spectral_norm") or params.keys() <= {"eps"}


def norm_for(
    norm: Norm, params: dict[str, Any], get: Callable[[str], _Numbers], name: str
) -> Normalize | None:
    """The norm with its weights; None where it is part of the convolution's own.

    `time_group_norm` averages over all rows it is given, which are those of a whole signal.
    """
    if norm not in ("time_group_norm", "layer_norm"):
        return None
    gain, shift = get(f"{name}.weight"), get(f"{name}.bias")
    eps = float(params.get("eps", 1e-5))

    def over_time(x: _Numbers) -> None:
        flat = x.reshape(-1)
        if flat.size:
            mean = float(flat.mean(dtype=np.float64))
            power = float(np.dot(flat, flat)) / flat.size
            scale = gain / np.sqrt(max(0.0, power - mean * mean) + eps)
            scale = scale.astype(x.dtype)
            np.multiply(x, scale, out=x)
            np.add(x, shift - mean * scale, out=x)

    def over_channels(x: _Numbers) -> None:
        np.subtract(x, x.mean(axis=1, keepdims=True), out=x)
        power = np.mean(x * x, axis=1, keepdims=True)
        np.divide(x, np.sqrt(power + eps), out=x)
        np.multiply(x, gain, out=x)
        np.add(x, shift, out=x)

    return over_time if norm == "time_group_norm" else over_channels
