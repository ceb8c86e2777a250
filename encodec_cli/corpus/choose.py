"""Which reader takes an input: decided here, by what it is and how it is named.

folder        a saved data set; else recordings (with -r); else the archives and tables in it
.tar ...      archive
.parquet      table
all else      a recording in a file of its own
"""

from collections.abc import Iterator
from pathlib import Path

from encodec_cli.corpus.archive import TAR_SUFFIXES, read_tar
from encodec_cli.corpus.dataset import is_dataset, read_dataset
from encodec_cli.corpus.folders import file_item, read_folder
from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_path
from encodec_cli.corpus.lhotse import Recordings
from encodec_cli.corpus.manifest import read_manifest, read_recordings, sorted_manifests
from encodec_cli.corpus.parquet import PARQUET_SUFFIXES, read_parquet
from encodec_cli.corpus.read import Corpus
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.io.audio_data import AudioFile
from encodec_cli.io.folders import check_recursive
from encodec_cli.io.text import printable

__all__ = ["check_inputs", "wished_items"]


def check_inputs(corpus: Corpus) -> None:
    """Refuse inputs that no reader takes, before any is read.

    Raises:
        UsageError: a folder of recordings without `recursive`.
    """
    for path in map(Path, corpus.inputs):
        if _is_folder(path) and not is_dataset(path) and not _shards_in(path):
            check_recursive(path, recursive=corpus.recursive)


def wished_items(corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    """All items of `corpus`, in order; several may wish for the same key.

    A file of which the rest cannot be read is a bad item at its end.

    Raises:
        UsageError: a package that a format needs is missing.
    """
    paths = list(dict.fromkeys(map(Path, corpus.inputs)))  # named twice is done once
    taken: set[Path] = set()
    for path in paths:
        items = _whole(path, _input_items(path, corpus))
        many = _is_folder(path) or not _is_many(path)
        yield from _not_taken_before(items, taken) if many and len(paths) > 1 else items
    manifests, lists = sorted_manifests(corpus.manifests)
    recordings = Recordings()
    for path in lists:
        yield from _whole(path, read_recordings(path, recordings))
    for path in manifests:
        yield from _whole(path, read_manifest(path, corpus.audio_root, recordings))


def _not_taken_before(
    items: Iterator[CorpusItem | BadCorpusItem], taken: set[Path]
) -> Iterator[CorpusItem | BadCorpusItem]:
    """`items` but for files that other inputs have brought already."""
    for item in items:
        if isinstance(item, CorpusItem) and isinstance(item.audio, AudioFile):
            if item.audio.path in taken:
                continue
            taken.add(item.audio.path)
        yield item


def _input_items(path: Path, corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    if str(path) == "-":
        yield from read_tar("-")
    elif _is_folder(path):
        yield from _folder_items(path, corpus)
    elif path.name.lower().endswith(TAR_SUFFIXES):
        yield from read_tar(path)
    elif path.suffix.lower() in PARQUET_SUFFIXES:
        yield from read_parquet(path)
    else:
        yield file_item(path, path.parent, keep_suffix=corpus.keep_suffix)


def _folder_items(folder: Path, corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    """A saved data set; else the recordings in it; else the archives and tables in it."""
    if is_dataset(folder):
        yield from read_dataset(folder)
        return
    found = False
    if corpus.recursive:
        for item in read_folder(folder, keep_suffix=corpus.keep_suffix):
            found = True
            yield item
    if not found:
        for path in _shards_in(folder):
            yield from _whole(path, _input_items(path, corpus))


def _shards_in(folder: Path) -> list[Path]:
    """Archives and tables directly in `folder`, or in its folder `data`, as on Hugging Face."""
    for place in (folder, folder / "data"):
        if _is_folder(place) and (found := [path for path in place.iterdir() if _is_shard(path)]):
            return sorted(found)
    return []


def _is_shard(path: Path) -> bool:
    return _is_many(path) and path.is_file()


def _is_many(path: Path) -> bool:
    """Whether a file is named as one of many recordings."""
    is_table = path.suffix.lower() in PARQUET_SUFFIXES
    return is_table or path.name.lower().endswith(TAR_SUFFIXES)


def _whole(
    path: Path, items: Iterator[CorpusItem | BadCorpusItem]
) -> Iterator[CorpusItem | BadCorpusItem]:
    """`items` of `path`; where they break off, a bad item says so."""
    try:
        yield from items
    except UsageError:
        raise
    except EncodecCliError as error:
        reason = str(error).removeprefix(f"{path}: ")
        yield BadCorpusItem(key=key_of_path(path.name), source=printable(str(path)), reason=reason)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long: whoever opens it says so
        return False
