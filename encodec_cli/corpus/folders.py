"""Recordings that lie in files of their own, in folders or named one by one."""

from collections.abc import Iterator
from pathlib import Path

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_path
from encodec_cli.io.audio_data import AudioFile
from encodec_cli.io.folders import entries_to_take
from encodec_cli.io.recordings import AUDIO_SUFFIXES
from encodec_cli.io.text import printable

__all__ = ["FILE_SUFFIXES", "file_item", "read_folder"]

FILE_SUFFIXES = AUDIO_SUFFIXES | {".ecdc"}
"""What is taken from folders, besides files that begin like audio."""


def file_item(path: Path, folder: Path, *, keep_suffix: bool) -> CorpusItem:
    """A recording in the file `path`, named by where it lies below `folder`."""
    name = path.relative_to(folder).as_posix()
    return CorpusItem(
        key=key_of_path(name, keep_suffix=keep_suffix),
        audio=AudioFile(path),
        source=printable(name),
    )


def read_folder(folder: Path, *, keep_suffix: bool) -> Iterator[CorpusItem | BadCorpusItem]:
    """The recordings in `folder`, at any depth, in the order of their names.

    Files that may hold sound, but cannot be read, are bad items.
    """
    for path, reason in entries_to_take(folder, FILE_SUFFIXES):
        item = file_item(path, folder, keep_suffix=keep_suffix)
        if reason is None:
            yield item
        else:
            yield BadCorpusItem(key=item.key, source=printable(str(path)), reason=reason)
