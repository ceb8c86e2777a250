"""What is around payloads in format 2: heads and tail, as short as can be.

    record   varint (payload bytes << 3 | short << 2 | kind) | [varint frames, if short]
             | payload | u32 CRC-32
    tail     u32 bytes of the end record

A chunk that is not short has as many frames as the header says.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container.checksum import seal
from encodec_cli.container.header import Header
from encodec_cli.container.payload import Payload
from encodec_cli.container.records import KIND_CODED, KIND_END, Head
from encodec_cli.container.wire import parse_varint, varint

__all__ = ["V2Framing"]

_SHORT = 1 << 2
_KINDS = 3
_BYTES_SHIFT = 3
_LEAST_END = 4
_SIZE_BYTES = 4


class V2Framing:
    """See `Framing`."""

    head_bytes = 6  # 4 of a size below 2 ** 25, 2 of frames; or 1, a byte of payload, and the CRC
    tail_bytes = 4

    def __init__(self, header: Header, payloads: Mapping[int, Payload]) -> None:
        self._full = header.chunk_frames
        self._payloads = payloads
        self._coded = header.code_model is not None

    def parse_head(self, data: bytes) -> Head | None:
        """See `Framing.parse_head`."""
        size = parse_varint(data, 0)
        if size is None:
            return None
        (value, start), kind = size, size[0] & _KINDS
        frames = 0 if kind == KIND_END else self._full
        if value & _SHORT:
            short = parse_varint(data, start)
            if short is None or not 0 < short[0] < self._full or kind == KIND_END:
                return None
            frames, start = short
        return Head(kind, frames, value >> _BYTES_SHIFT, start)

    def record(self, kind: int, frames: int, payload: bytes, index: int) -> bytes:
        """See `Framing.record`."""
        short = kind != KIND_END and frames < self._full
        head = varint(len(payload) << _BYTES_SHIFT | short * _SHORT | kind)
        return seal(head + (varint(frames) if short else b"") + payload, index)

    def tail(self, end_bytes: int) -> bytes:
        """See `Framing.tail`."""
        return end_bytes.to_bytes(4, "big")

    def end_bytes(self, tail: bytes) -> int | None:
        """See `Framing.end_bytes`."""
        return int.from_bytes(tail, "big") if len(tail) == self.tail_bytes else None

    def candidates(self, window: bytes) -> NDArray[np.intp]:
        """See `Framing.candidates`: by the sizes that kinds have, all places at once."""
        places = len(window) - self.head_bytes + 1
        if places <= 0:
            return np.zeros(0, np.intp)
        octets = np.frombuffer(window, np.uint8).astype(np.int64)
        value, length = np.zeros(places, np.int64), np.zeros(places, np.int64)
        longer = np.ones(places, bool)
        for step in range(_SIZE_BYTES):
            octet = octets[step : step + places]
            value += np.where(longer, (octet & 0x7F) << 7 * step, 0)
            length += longer
            longer &= octet > 0x7F
        kind, short, size = value & _KINDS, value & _SHORT != 0, value >> _BYTES_SHIFT
        behind = np.arange(places) + length
        frames = octets[behind] & 0x7F
        frames += np.where(octets[behind] > 0x7F, (octets[behind + 1] & 0x7F) << 7, 0)
        frames = np.where(frames < self._full, frames, 0)
        frames = np.where(short, frames, self._full)
        least, most = self._sizes
        fits = (size >= least[kind, frames]) & (size <= most[kind, frames])
        fits |= (kind == KIND_END) & ~short & (size >= _LEAST_END)
        return np.flatnonzero(fits & ~longer)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        """Least and most bytes of payloads, by kind and frames, `[2, kinds, frames + 1]`."""
        sizes = np.empty((2, _KINDS + 1, self._full + 1), np.int64)
        sizes[0], sizes[1] = 1, 0  # nothing fits
        for kind, payload in self._payloads.items():
            if kind != KIND_CODED or self._coded:
                for frames in range(1, self._full + 1):
                    sizes[:, kind, frames] = payload.bounds(frames)
        return sizes
