"""Part of a file as a file of its own, for parsers and decoders that know only whole files."""

import io
from typing import BinaryIO, cast

__all__ = ["file_size", "open_window", "read_at"]

_BUFFER_BYTES = 1 << 17


class _Window(io.RawIOBase):
    """Bytes `start` to `end` of a seekable `file`; it seeks before every read.

    The position of `file` may therefore be moved by others in between.
    """

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._size = max(0, end - start)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        self._file.seek(self._start + self._position)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_window(file: BinaryIO, start: int = 0, end: int | None = None) -> BinaryIO:
    """Bytes `start` to `end` (the end of the file if None) of `file`, buffered, from position 0.

    `file` is not closed with it.
    """
    last = file_size(file) if end is None else end
    return cast(BinaryIO, io.BufferedReader(_Window(file, start, last), _BUFFER_BYTES))


def file_size(file: BinaryIO) -> int:
    """Bytes in a seekable `file`."""
    return file.seek(0, io.SEEK_END)


def read_at(file: BinaryIO, position: int, size: int) -> bytes:
    """Up to `size` bytes of a seekable `file` from `position` on."""
    file.seek(position)
    return file.read(size)
