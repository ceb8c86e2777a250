"""Corpora of every kind, made for the tests of their readers."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from encodec_cli.corpus import BadCorpusItem, Corpus, CorpusItem, read

__all__ = ["audio_bytes", "bad_items", "good_items", "items_of", "write_tar"]


def items_of(
    *inputs: Path | str,
    manifests: tuple[Path, ...] = (),
    recursive: bool = False,
    keep_suffix: bool = False,
    audio_root: Path | None = None,
) -> list[CorpusItem | BadCorpusItem]:
    """All that a corpus has."""
    corpus = Corpus(
        inputs=tuple(map(str, inputs)),
        manifests=manifests,
        recursive=recursive,
        keep_suffix=keep_suffix,
        audio_root=audio_root,
    )
    return list(read(corpus))


def good_items(found: list[CorpusItem | BadCorpusItem]) -> list[CorpusItem]:
    """All of `found`, if none is bad."""
    assert [item for item in found if isinstance(item, BadCorpusItem)] == []
    return [item for item in found if isinstance(item, CorpusItem)]


def bad_items(found: list[CorpusItem | BadCorpusItem]) -> list[BadCorpusItem]:
    """Those of `found` that cannot be taken."""
    return [item for item in found if isinstance(item, BadCorpusItem)]


def audio_bytes(item: CorpusItem) -> bytes:
    """The file of a recording, from its start to its end."""
    with item.audio.open() as file:
        return file.read()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar archive of `members`, by their names."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path
