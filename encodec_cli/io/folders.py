"""What a folder holds for a command: files to take, and files that are named but not taken."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from encodec_cli.errors import UsageError
from encodec_cli.io.recordings import AUDIO_SUFFIXES, is_recording, reason_not_taken

__all__ = ["Found", "check_recursive", "entries_to_take", "files_in", "search_folder"]

# What somebody threw away is no input.
_BINS = frozenset({".Trash", ".Trashes", "$RECYCLE.BIN"})


@dataclass
class Found:
    """Files to take, sorted; and those not taken, with the reason."""

    files: list[Path] = field(default_factory=list)
    not_taken: dict[Path, str] = field(default_factory=dict)


def files_in(folder: Path, suffixes: frozenset[str], *, recursive: bool) -> list[Path]:
    """The files of `search_folder` that are to be taken."""
    return search_folder(folder, suffixes, recursive=recursive).files


def search_folder(folder: Path, suffixes: frozenset[str], *, recursive: bool) -> Found:
    """All of `entries_to_take` at once.

    Raises:
        UsageError: nobody said `recursive`.
    """
    check_recursive(folder, recursive=recursive)
    found = Found()
    for path, reason in entries_to_take(folder, suffixes):
        if reason is None:
            found.files.append(path)
        else:
            found.not_taken[path] = reason
    return found


def check_recursive(folder: Path, *, recursive: bool) -> None:
    """Refuse a folder as an input unless somebody said `recursive`.

    Raises:
        UsageError: nobody did.
    """
    if not recursive:
        raise UsageError(f"{folder}: is a folder; add --recursive to take the files in it")


def entries_to_take(folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[Path, str | None]]:
    """Files with one of `suffixes` in `folder`, at any depth, sorted, each with None.

    Where these are the suffixes of audio, a file of another name that begins like audio is taken
    too, and AppleDouble files (`._x.wav`) are not. What may hold sound all the same, and what
    cannot be looked into, comes with the reason why it is not taken. Links to folders are not
    followed: they may form a circle. The system's bins are left out. One folder's names are in
    memory at a time, with those above it.
    """
    audio = suffixes >= AUDIO_SUFFIXES
    others = suffixes - AUDIO_SUFFIXES
    for entry, reason in _entries(folder):
        suffix = entry.suffix.lower()
        if reason is not None:
            yield entry, reason
        elif not entry.is_file():
            if suffix in suffixes:  # a link that leads nowhere is taken: the reader says so
                yield entry, "is a pipe or device" if entry.exists() else None
        elif suffix in others or (audio and is_recording(entry)):
            yield entry, None
        elif audio and (reason := reason_not_taken(entry)) is not None:
            yield entry, reason


def _entries(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """All that is not a folder; and folders that cannot be looked into, with the reason."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((each.name, _is_folder(each), each.is_symlink()) for each in found)
    except OSError as error:
        yield folder, f"cannot be looked into: {error.strerror}"
        return
    for name, is_folder, is_link in entries:
        path = folder / name
        if not is_folder:
            yield path, None
        elif is_link:
            yield path, "is a link to a folder; name that folder as an input"
        elif name not in _BINS and name[:7] != ".Trash-":
            yield from _entries(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for one
        return False
