"""Members of a plain tar file, one after the other, with no trust in its headers.

The standard library's `TarFile.next` takes damage after the first member for the end of the file,
and reads extended headers of any size; here damage is an error, and sizes are bounded.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from encodec_cli.errors import ContainerError

__all__ = ["Forward", "tar_members"]

_MAX_NAME_BYTES = 1 << 16
_SKIP_BYTES = 1 << 18
_PAX_RECORD = re.compile(rb"(\d{1,9}) (path|size)=")


class Forward:
    """Reads a pipe, and "seeks" forward in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int) -> bytes:
        """`size` bytes; fewer only at the end."""
        parts = []
        while size > 0 and (data := self._file.read(size)):
            parts.append(data)
            size -= len(data)
            self._position += len(data)
        return b"".join(parts)

    def seek(self, position: int) -> int:
        """Read up to `position`, or the end."""
        while self._position < position:
            if not self.read(min(_SKIP_BYTES, position - self._position)):
                break
        return self._position


def tar_members(file: BinaryIO | Forward) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of each regular member; `file` then stands at its data.

    The caller may leave `file` anywhere in it. How far a pipe goes is not known: a member may
    have fewer bytes there.

    Raises:
        ContainerError: not a tar file, damaged or truncated.
    """
    end = None if isinstance(file, Forward) else file.seek(0, 2)
    position = 0
    name: str | None = None  # from an extended header, for the member after it
    size: int | None = None
    while True:
        file.seek(position)
        header = file.read(tarfile.BLOCKSIZE)
        if len(header) == tarfile.BLOCKSIZE and not any(header):
            return
        try:
            entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            raise ContainerError(_why(position, len(header))) from error
        start = position + tarfile.BLOCKSIZE
        length = entry.size if size is None else size
        if length < 0 or (end is not None and start + length > end):
            raise ContainerError(f"truncated: member at byte {position} ends after the file")
        if entry.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            if length > _MAX_NAME_BYTES:
                raise ContainerError(f"member at byte {position}: a header of {length} bytes")
            data = file.read(length)
            if entry.type == tarfile.XHDTYPE:
                name, size = _pax(data, name)
            else:
                name = _text(data.split(b"\0", 1)[0])
        else:
            if entry.isreg():
                yield (entry.name if name is None else name), length
            name = size = None
        position = start + -(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _pax(data: bytes, name: str | None) -> tuple[str | None, int | None]:
    """`path` and `size` among the records of a POSIX extended header."""
    size: int | None = None
    position = 0
    while position < len(data):
        digits = data[position : position + 10].split(b" ", 1)[0]
        if not digits.isdigit() or int(digits) == 0:
            break
        record = data[position : position + int(digits)]
        if (match := _PAX_RECORD.match(record)) is not None:
            value = record[match.end() : -1]
            if match[2] == b"path":
                name = _text(value)
            elif value.isdigit() and len(value) < 20:
                size = int(value)
        position += int(digits)
    return name, size


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _why(position: int, got: int) -> str:
    if got < tarfile.BLOCKSIZE:
        return f"truncated: ends at byte {position + got}, without the mark of its end"
    return "not a tar file" if position == 0 else f"damaged: no tar header at byte {position}"
