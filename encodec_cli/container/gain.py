"""Scales of chunks as bytes: what decoders multiply a chunk by.

A scale is either a float32, big endian, or one byte g that stands for (g - 160) / 2 dB:

    scale = 10 ** ((g - 160) / 40), rounded to the nearest float32        -80 to +47.5 dB

Encoders divide by a scale on that grid, so nothing is lost by the byte.
"""

import math
import struct
from typing import Protocol

import numpy as np

from encodec_cli.container.wire import pack_scale
from encodec_cli.errors import ContainerError

__all__ = ["ByteGain", "FloatGain", "GainField", "NoGain", "nearest_scale"]

_ZERO_DB = 160
_STEPS_PER_DB = 2
_SCALES = [
    float(np.float32(10 ** ((step - _ZERO_DB) / (20 * _STEPS_PER_DB)))) for step in range(256)
]
"""Of each byte."""


class GainField(Protocol):
    """How the payloads of a file hold their scale.

    Attributes:
        size: its bytes, in front of the codes.
    """

    size: int

    def pack(self, scale: float | None) -> bytes:
        """The scale as `size` bytes.

        Raises:
            ContainerError: the field cannot hold it.
        """

    def unpack(self, data: bytes) -> float | None:
        """The scale in the first `size` bytes."""

    def problem(self, data: bytes) -> str | None:
        """What is wrong with the scale in the first `size` bytes."""


class NoGain:
    """For models without a level."""

    size = 0

    def pack(self, scale: float | None) -> bytes:
        """Nothing."""
        return b""

    def unpack(self, data: bytes) -> None:
        """No scale."""

    def problem(self, data: bytes) -> None:
        """None can be."""


class FloatGain:
    """A float32."""

    size = 4

    def pack(self, scale: float | None) -> bytes:
        """See `pack_scale`."""
        assert scale is not None
        return pack_scale(scale)

    def unpack(self, data: bytes) -> float:
        """The number, which may be none."""
        return float(struct.unpack(">f", data[:4])[0])

    def problem(self, data: bytes) -> str | None:
        """Whether it is positive and finite."""
        scale = self.unpack(data)
        return None if 0.0 < scale < float("inf") else f"scale {scale} is not a positive number"


class ByteGain:
    """Half-dB steps."""

    size = 1

    def pack(self, scale: float | None) -> bytes:
        """The step.

        Raises:
            ContainerError: it lies between two steps, or beyond them.
        """
        assert scale is not None
        step = _nearest_step(scale)
        if _SCALES[step] != float(np.float32(scale)):
            raise ContainerError(
                f"scale {scale:g} is none of the half-dB steps of format 2; write format 1"
            )
        return bytes([step])

    def unpack(self, data: bytes) -> float:
        """The scale."""
        return _SCALES[data[0]]

    def problem(self, data: bytes) -> None:
        """Every byte is a scale."""


def nearest_scale(scale: float) -> float:
    """The scale nearest to `scale` (linear, > 0) that a byte can hold: at most 1/4 dB away."""
    return _SCALES[_nearest_step(scale)]


def _nearest_step(scale: float) -> int:
    step = _ZERO_DB + round(_STEPS_PER_DB * 20 * math.log10(scale))
    return min(max(step, 0), len(_SCALES) - 1)
