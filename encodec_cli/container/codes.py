"""Codes of one stretch of audio, and their packing into bits.

Codes are uint16 [K, T]: K codebooks (coarse first), T frames. Every code takes the same number of
bits (1 to 16); codes follow each other LSB-first, that is, the first code fills the lowest bits of
the first byte. Two orders are in use:

    time-major (format 0)      t0k0 t0k1 .. t0kK t1k0 ..   one bit run, one flush at its end
    row by row (format 1)      k0t0 k0t1 .. | k1t0 ..      every codebook starts on its own byte
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError

__all__ = [
    "CodeChunk",
    "has_fill_bits",
    "pack_rows",
    "pack_time_major",
    "packed_bytes",
    "unpack_bits",
    "unpack_rows",
    "unpack_time_major",
]


@dataclass(frozen=True, eq=False)
class CodeChunk:
    """Codes of consecutive frames.

    Attributes:
        codes: uint16 [K, T], K >= 1, T >= 1; row 0 is the coarsest codebook.
        scale: loudness that the decoder multiplies its output by (linear, finite, > 0), or None
            for models that do not normalise. Files keep it as a 32-bit float.

    Raises:
        ContainerError: wrong dtype or shape, or a scale that is not a positive finite number.
    """

    codes: NDArray[np.uint16]
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.codes.dtype != np.uint16 or self.codes.ndim != 2 or self.codes.size == 0:
            raise ContainerError(
                f"codes must be uint16 [K, T] and not empty, got {self.codes.dtype} "
                f"{list(self.codes.shape)}"
            )
        if self.scale is not None and not 0.0 < self.scale < float("inf"):
            raise ContainerError(f"scale must be positive and finite, got {self.scale}")

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return int(self.codes.shape[1])


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take, the last byte filled up."""
    return -(-count * bits // 8)


def pack_time_major(codes: NDArray[np.uint16], bits: int) -> bytes:
    """Pack codes [K, T] frame by frame, codebooks inner, and zero-fill the last byte.

    Raises:
        ContainerError: a code does not fit in `bits`, 1 to 16.
    """
    return pack_rows(codes.T.reshape(1, -1), bits)


def unpack_time_major(data: bytes, bits: int, *, codebooks: int, frames: int) -> NDArray[np.uint16]:
    """Inverse of `pack_time_major`: codes [codebooks, frames]; fill bits are ignored.

    Raises:
        ContainerError: `data` is not exactly the size those codes take.
    """
    flat = unpack_rows(data, bits, codebooks=1, frames=codebooks * frames)
    return np.ascontiguousarray(flat.reshape(frames, codebooks).T)


def pack_rows(codes: NDArray[np.uint16], bits: int) -> bytes:
    """Pack codes [K, T] codebook by codebook, each zero-filled to a whole byte.

    Raises:
        ContainerError: a code does not fit in `bits`, 1 to 16.
    """
    if codes.size and int(codes.max()) >> bits:
        raise ContainerError(f"code {int(codes.max())} does not fit in {bits} bits")
    spread = (codes[:, :, None] >> np.arange(bits, dtype=np.uint16)) & np.uint16(1)
    flat = spread.astype(np.uint8).reshape(codes.shape[0], -1)
    return np.packbits(flat, axis=1, bitorder="little").tobytes()


def unpack_rows(data: bytes, bits: int, *, codebooks: int, frames: int) -> NDArray[np.uint16]:
    """Inverse of `pack_rows`: codes [codebooks, frames]; fill bits are ignored.

    Raises:
        ContainerError: `data` is not exactly the size those codes take.
    """
    expected = codebooks * packed_bytes(frames, bits)
    if len(data) != expected:
        raise ContainerError(f"packed codes take {expected} bytes, got {len(data)}")
    runs = np.frombuffer(data, np.uint8).reshape(codebooks, -1)
    flat = np.unpackbits(runs, axis=1, bitorder="little", count=frames * bits)
    return _from_spread(flat.reshape(codebooks, frames, bits))


def unpack_bits(data: bytes, bits: int, *, first: int, count: int) -> NDArray[np.uint16]:
    """Codes `[count]` from number `first` on of one bit run without gaps.

    Raises:
        ContainerError: `data` ends before them.
    """
    start, skipped = divmod(first * bits, 8)
    end = packed_bytes(first + count, bits)
    if end > len(data):
        raise ContainerError(f"codes up to byte {end} are wanted, but there are {len(data)} bytes")
    run = np.frombuffer(data[start:end], np.uint8)
    flat = np.unpackbits(run, bitorder="little")[skipped : skipped + count * bits]
    return _from_spread(flat.reshape(count, bits))


def has_fill_bits(data: bytes, bits: int, *, rows: int, columns: int) -> bool:
    """Whether a fill bit after any of `rows` runs of `columns` codes is set (no writer does)."""
    used = columns * bits % 8
    if used == 0:
        return False
    last = np.frombuffer(data, np.uint8).reshape(rows, -1)[:, -1]
    return bool((last >> used).any())


def _from_spread(flat: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Codes [...] from their bits [..., bits], lowest first."""
    weights = np.left_shift(1, np.arange(flat.shape[-1])).astype(np.uint16)
    codes: NDArray[np.uint16] = flat @ weights
    return codes
