"""All of a corpus, whatever it is kept in, one item after the other.

IN ...          files, folders, tar archives, Parquet, saved data sets  --.
--manifest ...  JSON Lines, CSV, TSV, lists of lhotse                   --+-->  items
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from encodec_cli.corpus.archive import TAR_SUFFIXES, read_tar
from encodec_cli.corpus.dataset import is_dataset, read_dataset
from encodec_cli.corpus.folders import FILE_SUFFIXES, file_item, read_folder
from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import Keys, key_of_path
from encodec_cli.corpus.manifest import read_manifest, recordings_for
from encodec_cli.corpus.parquet import PARQUET_SUFFIXES, read_parquet
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.io.folders import check_recursive
from encodec_cli.io.text import printable

__all__ = ["Corpus", "read"]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What to read, in this order; data that any process can take, and read the same from.

    Attributes:
        inputs: files and folders; "-" is a tar archive on standard input.
        manifests: tables of recordings.
        recursive: take the recordings in folders, at any depth.
        keep_suffix: keys of files end in their suffix, `talk_mp3`.
        audio_root: the folder where relative names in manifests lead; None: the manifest's.
    """

    inputs: Sequence[str] = ()
    manifests: Sequence[Path] = ()
    recursive: bool = False
    keep_suffix: bool = False
    audio_root: Path | None = None

    @property
    def rereadable(self) -> bool:
        """Whether it can be read again, as standard input cannot."""
        return "-" not in self.inputs


def read(corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items of `corpus`, lazily, in an order and with keys that are the same each time.

    No two have the same key: the second of equal ones gets `-2` at its end. What cannot be taken
    is a `BadCorpusItem`; a file of which the rest cannot be read is one at its end.

    Raises:
        UsageError: at once, for a folder without `recursive`; at the end, if there was nothing.
    """
    for path in map(Path, corpus.inputs):
        if _is_folder(path) and not is_dataset(path) and not _shards_in(path):
            check_recursive(path, recursive=corpus.recursive)
    return _read(corpus)


def _read(corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    keys = Keys()
    found = False
    for item in _all_items(corpus):
        found = True
        key = keys.unique(item.key)
        yield item if key == item.key else replace(item, key=key)
    if not found:
        raise UsageError(f"no {', '.join(sorted(FILE_SUFFIXES))} files found")


def _all_items(corpus: Corpus) -> Iterator[CorpusItem | BadCorpusItem]:
    seen: set[Path] = set()
    for name in corpus.inputs:
        path = Path(name)
        if path not in seen:  # named twice is done once
            seen.add(path)
            yield from _whole(path, _input_items(path, corpus))
    paths, recordings = recordings_for(corpus.manifests)
    for path in paths:
        yield from _whole(path, read_manifest(path, corpus.audio_root, recordings))


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
    many = path.name.lower().endswith(TAR_SUFFIXES) or path.suffix.lower() in PARQUET_SUFFIXES
    return many and path.is_file()


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
