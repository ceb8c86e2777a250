"""Bytes in and out of file objects: exact reads with look-ahead, whole writes, numbers."""

import io
import select
import struct
from typing import BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError

__all__ = ["ByteSink", "ByteSource", "pack_scale", "parse_varint", "parse_varints", "varint"]

_BLOCK = 1 << 16
_AHEAD = 64  # bytes that `byte` reads at once from a file, where they are there already
_MAX_VARINT_BYTES = 8


class ByteSource:
    """Reads a binary file or pipe from where it stands.

    Asks a pipe for no more than is needed, so each chunk of a live one can be had as soon as its
    last byte has arrived.

    Attributes:
        offset: bytes consumed so far, that is, the position in the `.ecdc` file.
        seekable: whether `size`, `read_at` and `seek` work.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = bytearray()
        self._base = file.tell() if file.seekable() else None
        self.seekable = self._base is not None
        self.offset = 0

    def peek(self, count: int, *, ahead: int = 0) -> bytes:
        """Up to `count` bytes that start `ahead` bytes after `offset`; fewer at the file's end."""
        while (missing := ahead + count - len(self._buffer)) > 0:
            # Blocks: a length that lies must not allocate more than the file really holds.
            block = self._file.read(min(missing, _BLOCK))
            if not block:
                break
            self._buffer += block
        return bytes(self._buffer[ahead : ahead + count])

    def skip(self, count: int) -> None:
        """Consume `count` bytes that `peek` has shown."""
        del self._buffer[:count]
        self.offset += count

    def byte(self) -> int | None:
        """Consume the next byte; None at the file's end."""
        if not self._buffer:
            block = self._file.read(_AHEAD if self.seekable else 1)
            if not block:
                return None
            self._buffer += block
        self.offset += 1
        return self._buffer.pop(0)

    def has(self, count: int) -> bool:
        """Whether `count` bytes of a pipe can surely be peeked at without waiting for them."""
        while len(self._buffer) < count and _has_arrived(self._file):
            block = self._file.read1(_BLOCK)
            if not block:
                return False
            self._buffer += block
        return len(self._buffer) >= count

    def count_rest(self, limit: int) -> int:
        """Consume what is left, up to `limit` bytes, and return how much it was."""
        start = self.offset
        while (got := len(self.peek(min(_BLOCK, limit - (self.offset - start))))) > 0:
            self.skip(got)
        return self.offset - start

    def size(self) -> int | None:
        """Bytes in the whole `.ecdc` file, or None for a pipe."""
        if self._base is None:
            return None
        here = self._file.tell()
        end = self._file.seek(0, 2)
        self._file.seek(here)
        return end - self._base

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`, without moving; only where `seekable`."""
        base = self._require_base()
        here = self._file.tell()
        self._file.seek(base + offset)
        data = bytearray()
        while len(data) < count and (block := self._file.read(min(count - len(data), _BLOCK))):
            data += block
        self._file.seek(here)
        return bytes(data)

    def seek(self, offset: int) -> None:
        """Continue at `offset`; only where `seekable`."""
        self._file.seek(self._require_base() + offset)
        self._buffer.clear()
        self.offset = offset

    def _require_base(self) -> int:
        if self._base is None:
            raise ContainerError("cannot seek in a pipe; save it to a file first")
        return self._base


def _has_arrived(file: BinaryIO) -> TypeGuard[io.BufferedReader]:
    """Whether a single read from a pipe would not wait; False for what cannot tell."""
    if not isinstance(file, io.BufferedReader):
        return False
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


class ByteSink:
    """Writes to a binary file or pipe.

    Attributes:
        bytes: written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Write all of `data`, at once: a pipe's reader need not wait for a buffer to fill."""
        view = memoryview(data)
        while view:  # unbuffered files may take only part of it at a time
            view = view[self._file.write(view) :]
        self._file.flush()
        self.bytes += len(data)


def pack_scale(scale: float) -> bytes:
    """Big-endian float32.

    Raises:
        ContainerError: the scale over- or underflows a float32.
    """
    try:
        data = struct.pack(">f", scale)
    except OverflowError as error:
        raise ContainerError(f"scale {scale} does not fit in 32 bits") from error
    if struct.unpack(">f", data)[0] == 0.0:
        raise ContainerError(f"scale {scale} does not fit in 32 bits")
    return data


def varint(value: int) -> bytes:
    """Unsigned LEB128: 7 bits a byte, low bits first, high bit set on all but the last byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """The number at `data[at:]` and the position after it.

    None if the data end too early, the number is longer than 8 bytes (56 bits), or padded: every
    number has exactly one spelling.
    """
    value = 0
    for position in range(at, min(at + _MAX_VARINT_BYTES, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * (position - at)
        if byte < 0x80:
            return None if byte == 0 and position > at else (value, position + 1)
    return None


def parse_varints(data: bytes) -> NDArray[np.int64] | None:
    """All numbers in `data`, which holds nothing else; None as for `parse_varint`."""
    septets = np.frombuffer(data, np.uint8)
    values = np.zeros(np.count_nonzero(septets < 0x80), np.int64)
    done = start = 0
    while start < len(septets):  # in blocks: the steps between take many times their memory
        block = septets[start : start + _BLOCK]
        last = np.flatnonzero(block < 0x80)
        if not len(last):
            return None
        first = np.concatenate(([0], last[:-1] + 1))
        lengths = last - first + 1
        if lengths.max() > _MAX_VARINT_BYTES or ((block[last] == 0) & (lengths > 1)).any():
            return None
        numbers = values[done : done + len(last)]
        for step in range(int(lengths.max())):
            longer = lengths > step
            numbers[longer] |= (block[first[longer] + step] & 0x7F).astype(np.int64) << 7 * step
        done += len(last)
        start += int(last[-1]) + 1
    return values if done else None
