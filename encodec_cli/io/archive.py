"""Zip archives from outside: opened and read within limits, every fault one kind of error."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from encodec_cli.errors import ContainerError

__all__ = ["ZIP_FAULTS", "entry_bytes", "opened_archive"]

ZIP_FAULTS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises for damaged, encrypted and hostile archives."""
_MOST_DIRECTORY_BYTES = 16 << 20
_END = b"PK\x05\x06"
_END_BYTES = 22
_END64 = b"PK\x06\x06"
_END64_BYTES = 56
_LOCATOR_BYTES = 20
_MOST_COMMENT = 1 << 16


@contextmanager
def opened_archive(path: Path, most_entries: int) -> Iterator[zipfile.ZipFile]:
    """A zip archive of at most `most_entries` plain or deflated files with names of their own.

    Raises:
        ContainerError: damaged, or not such an archive; also for faults inside the block.
        FileNotFoundError: no such file.
    """
    try:
        with path.open("rb") as file:
            size = _directory_bytes(file)
            if size > _MOST_DIRECTORY_BYTES:
                raise ContainerError(f"a list of contents of {size} bytes; not a file of arrays")
            with zipfile.ZipFile(file) as archive:
                _check_entries(archive, most_entries)
                yield archive
    except FileNotFoundError:
        raise
    except ZIP_FAULTS as error:
        line = " ".join(str(error).split())[:120]
        raise ContainerError(f"damaged archive: {line or type(error).__name__}") from error


def entry_bytes(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Content of a file in an archive, at most `most` bytes, its checksum compared.

    Raises:
        ContainerError: larger than that.
        Exception: one of `ZIP_FAULTS`.
    """
    entry = archive.getinfo(name)
    if entry.file_size > most:
        raise ContainerError(f"{name}: {entry.file_size} bytes; at most {most} are read")
    with archive.open(entry) as file:
        return file.read(most + 1)[:most]


def _check_entries(archive: zipfile.ZipFile, most_entries: int) -> None:
    entries = archive.infolist()
    if len(entries) > most_entries:
        raise ContainerError(f"{len(entries)} files inside; at most {most_entries} are read")
    if len(archive.NameToInfo) != len(entries):
        raise ContainerError("two files inside have one name")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ContainerError(f"{entry.filename[:60]}: compressed in a way that is not read")


def _directory_bytes(file: BinaryIO) -> int:
    """Size that an archive's end claims for its list of contents; 0 if there is no end.

    `zipfile` reads and unpacks that list, to ten times its size, as it opens an archive.
    """
    end = file.seek(0, 2)
    start = max(0, end - _END_BYTES - _MOST_COMMENT)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        return 0
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    file.seek(max(0, start + at - _LOCATOR_BYTES - _END64_BYTES))
    end64 = file.read(_END64_BYTES)
    if end64.startswith(_END64):
        size = max(size, int.from_bytes(end64[40:48], "little"))
    # 4 GiB - 1 means that the size is in the other record.
    return 0 if size == 0xFFFFFFFF else size
