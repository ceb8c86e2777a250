"""Lines of text files, which may be packed with gzip, in bounded memory and time."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from encodec_cli.errors import ContainerError
from encodec_cli.io.files import open_input

__all__ = ["Line", "lines_of", "opened_plain"]

_MOST_LINE_BYTES = 4 << 20
_MOST_SKIPPED_BYTES = 256 << 20
_FREE_BYTES = 256 << 20
_MOST_EXPANSION = 200
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_FOREIGN_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Line(NamedTuple):
    """A line without its end; `text` is None where it is too long, or not UTF-8."""

    number: int
    text: str | None
    problem: str = ""


@contextmanager
def opened_plain(path: Path) -> Iterator[BinaryIO]:
    """A file, unpacked on the way if it is packed with gzip, whatever its name.

    Raises:
        ContainerError: damaged, or unpacks to far more than any list does; also in the block.
        EncodecCliError: see `open_input`.
    """
    with open_input(path) as file:
        try:
            if not file.peek(2).startswith(_GZIP):  # type: ignore[attr-defined]
                yield file
                return
            packed = path.stat().st_size
            with gzip.open(file) as unpacked:
                limit = max(_FREE_BYTES, _MOST_EXPANSION * packed)
                yield cast(BinaryIO, _Limited(cast(BinaryIO, unpacked), limit))
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise ContainerError(f"{path}: damaged gzip: {error}; get it again") from error
        except OSError as error:
            raise ContainerError(f"{path}: cannot read: {error.strerror or error}") from error


class _Limited:
    """Reads from a file that unpacks, up to `limit` bytes."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit

    def read(self, size: int) -> bytes:
        return self._counted(self._file.read(size))

    def readline(self, size: int) -> bytes:
        return self._counted(self._file.readline(size))

    def seekable(self) -> bool:
        return False

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise ContainerError(
                f"unpacks to more than {_MOST_EXPANSION} times its size; unpack it first"
            )
        return data


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """Lines in order, those that are blank left out; a mark of UTF-8 in front is dropped.

    Raises:
        ContainerError: not text, or a line without end.
    """
    number = 0
    while data := file.readline(_MOST_LINE_BYTES + 1):
        number += 1
        if number == 1:
            if data.startswith(_FOREIGN_BOMS):
                raise ContainerError("is text in UTF-16; save it as UTF-8")
            data = data.removeprefix(_BOM)
        if len(data) > _MOST_LINE_BYTES:
            _skip_line(file, number)
            yield Line(number, None, f"longer than {_MOST_LINE_BYTES} bytes")
            continue
        data = data.rstrip(b"\r\n")
        if not data.strip():
            continue
        try:
            line = Line(number, data.decode())
        except UnicodeDecodeError:
            line = Line(number, None, "not UTF-8; save the file as UTF-8")
        yield line


def _skip_line(file: BinaryIO, number: int) -> None:
    skipped = 0
    while data := file.readline(_MOST_LINE_BYTES):
        skipped += len(data)
        if data.endswith(b"\n"):
            return
        if skipped > _MOST_SKIPPED_BYTES:
            raise ContainerError(f"line {number}: has no end; not a list of recordings")
