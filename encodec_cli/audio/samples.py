"""Sample numbers: what PCM bytes mean as float32, and float32 as integers.

One scale serves both directions: full scale is 2**(bits - 1), so integers that were read and
written again at the same width come back bit for bit.
"""

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "MOST_SAMPLE",
    "FloatBlock",
    "PcmKind",
    "as_float32",
    "decode_pcm",
    "encode_pcm24",
    "first_non_finite",
    "first_unusable",
    "quantize",
]

FloatBlock = npt.NDArray[np.float32]
"""Audio [C, n] (or [n, C] where a docstring says so), float32, linear range [-1, 1]."""

PcmKind = Literal["u8", "s16", "s24", "s32", "s64", "f32", "f64"]


MOST_SAMPLE = 256.0
"""Largest sample that is taken for sound: 48 dB above full scale, as far as a file's gain reaches.

What exceeds it has another scale, such as that of 16-bit integers, or is garbage.
"""


def as_float32(samples: npt.NDArray[Any]) -> FloatBlock:
    """Floats of any width as float32, without a warning: what lies beyond its range becomes Inf.

    A signaling NaN, which a file may hold, becomes a quiet one.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return samples.astype(np.float32)


def decode_pcm(data: bytes, kind: PcmKind) -> FloatBlock:
    """Little-endian PCM bytes as a flat float32 array [len(data) / width].

    Integers are scaled to [-1, 1); floats are taken as they are. A float64 beyond the range of
    float32 becomes Inf, which the reader then reports.
    """
    if kind == "f32":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if kind == "f64":
        return as_float32(np.frombuffer(data, "<f8"))
    if kind == "s64":
        return (np.frombuffer(data, "<i8") / 2.0**63).astype(np.float32)
    if kind == "u8":
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / np.float32(2**7)
    if kind == "s16":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    if kind == "s24":
        # The three bytes go to the top of an int32, which also extends the sign.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return np.frombuffer(data, "<i4").astype(np.float32) / np.float32(2**31)


def quantize(block: FloatBlock, bits: int) -> npt.NDArray[np.int32]:
    """`block` rounded to signed integers of `bits` bits, beyond full scale clamped; no dither."""
    full_scale = 2 ** (bits - 1)
    # float64: in float32 the step from 2**23 - 1 to 2**23 would already be lost to rounding.
    scaled = np.rint(block.astype(np.float64) * full_scale)
    clamped: npt.NDArray[np.float64] = np.clip(scaled, -full_scale, full_scale - 1)
    return clamped.astype(np.int32)


def encode_pcm24(integers: npt.NDArray[np.int32]) -> bytes:
    """24-bit integers as packed little-endian bytes, three per sample, in C order."""
    wide = np.ascontiguousarray(integers, "<i4").view(np.uint8).reshape(-1, 4)
    return wide[:, :3].tobytes()


def first_non_finite(block: npt.NDArray[Any], *, time_axis: int) -> int | None:
    """Position along `time_axis` of the first NaN or Inf in a two-dimensional block, or None."""
    finite = np.isfinite(block)
    if finite.all():
        return None
    return int(np.argmin(finite.all(axis=1 - time_axis)))


def first_unusable(block: FloatBlock, *, time_axis: int) -> tuple[int, str] | None:
    """Position along `time_axis` of the first sample that is no sound, and what it is; or None.

    That is NaN, Inf, or beyond `MOST_SAMPLE`.
    """
    size = np.abs(block)
    if size.max(initial=0.0) <= MOST_SAMPLE:  # the largest is NaN if there is one
        return None
    good = size <= MOST_SAMPLE
    position = int(np.argmin(good.all(axis=1 - time_axis)))
    worst = float(np.take(size, position, axis=time_axis).max())
    if math.isfinite(worst):
        return position, f"{worst:.4g} times full scale"
    return position, "NaN" if math.isnan(worst) else "Inf"
