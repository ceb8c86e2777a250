"""What a folder holds for a command: files to take, and files that are named but not taken."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from encodec_cli.errors import UsageError
from encodec_cli.io.recordings import AUDIO_SUFFIXES, is_recording, reason_not_taken

__all__ = ["Found", "files_in", "search_folder"]

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
    """Files with one of `suffixes` in `folder`, at any depth.

    Where these are the suffixes of audio, a file of another name that begins like audio is taken
    too, and AppleDouble files (`._x.wav`) are not. What may hold sound all the same, and what
    cannot be looked into, is not taken. Links to folders are not followed: they may form a circle.
    The system's bins are left out.

    Raises:
        UsageError: nobody said `recursive`.
    """
    if not recursive:
        raise UsageError(f"{folder}: is a folder; add --recursive to take the files in it")
    others = suffixes - AUDIO_SUFFIXES
    audio = suffixes >= AUDIO_SUFFIXES
    found = Found()
    for entry, reason in _entries(folder):
        if reason is not None:
            found.not_taken[entry] = reason
        elif not entry.is_file():
            if entry.suffix.lower() in suffixes and entry.exists():
                found.not_taken[entry] = "is a pipe or device"
            elif entry.suffix.lower() in suffixes:
                found.files.append(entry)  # a link that leads nowhere: the reader says so
        elif entry.suffix.lower() in others or (audio and is_recording(entry)):
            found.files.append(entry)
        elif audio and (reason := reason_not_taken(entry)) is not None:
            found.not_taken[entry] = reason
    found.files.sort()
    found.not_taken = dict(sorted(found.not_taken.items()))
    return found


def _entries(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """All that is not a folder; and folders that cannot be looked into, with the reason."""
    refused: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=refused.append):
        folders[:] = [name for name in folders if name not in _BINS and name[:7] != ".Trash-"]
        for name in folders:
            if (path := Path(place, name)).is_symlink():
                yield path, "is a link to a folder; name that folder as an input"
        for name in names:
            yield Path(place, name), None
    for error in refused:
        yield Path(error.filename), f"cannot be looked into: {error.strerror}"
