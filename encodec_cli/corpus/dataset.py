"""Data sets that the `datasets` package of Hugging Face saved: folders of Arrow files.

dataset_dict.json   {"splits": ["train", "test"]}, each a folder as below
state.json          {"_data_files": [{"filename": "data-00000-of-00002.arrow"}, ...]}
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_name
from encodec_cli.corpus.table import RowAudio, Table, table_of
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.arrow_stream import ArrowStream, opened_stream
from encodec_cli.io.audio_data import AudioData, AudioFile, AudioMember
from encodec_cli.io.text import printable

__all__ = ["is_dataset", "read_dataset"]

_DICT, _STATE = "dataset_dict.json", "state.json"
_MOST_JSON_BYTES = 16 << 20


def is_dataset(folder: Path) -> bool:
    """Whether `datasets` saved something there."""
    return (folder / _DICT).is_file() or (folder / _STATE).is_file()


def read_dataset(folder: Path) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items that the rows of a data set are, split after split.

    Where there are splits, keys begin with them, and so do names of sources.

    Raises:
        ContainerError: not such a folder, damaged, or without audio; the file is named.
        UsageError: pyarrow is not installed.
    """
    if not (folder / _DICT).is_file():
        yield from _read_split(folder)
        return
    for split in _names(_json(folder / _DICT).get("splits"), folder / _DICT):
        for item in _read_split(folder / split):
            key = f"{key_of_name(split)}/{item.key}"
            yield replace(item, key=key, source=f"{split}/{item.source}")


def _read_split(folder: Path) -> Iterator[CorpusItem | BadCorpusItem]:
    state = _json(folder / _STATE)
    if state.get("_indices_data_files"):
        raise ContainerError(f"{folder}: picks rows by number; save it after flatten_indices()")
    files = state.get("_data_files")
    listed = [x.get("filename") for x in files if isinstance(x, dict)] if files else []
    for name in _names(listed, folder / _STATE):
        yield from _read_file(folder / name, folder.name)


def _read_file(path: Path, name: str) -> Iterator[CorpusItem | BadCorpusItem]:
    try:
        with opened_stream(path) as stream:
            table = table_of(stream.schema, path, f"{name}-{path.name.split('.')[0]}")
            row = 0
            for batch in stream.batches():
                audio = _recordings(stream, batch, table)
                yield from table.items(batch, row, audio)
                row += batch.num_rows
    except ContainerError as error:
        raise error.about(path) from error
    except OSError as error:
        raise EncodecCliError(f"{path}: cannot read: {error.strerror or error}") from error


def _recordings(stream: ArrowStream, batch: Any, table: Table) -> RowAudio:
    """The recordings of the rows of a batch: as they lie in the file, nothing is copied."""
    column = batch.column(table.audio)
    data = column.field("bytes") if table.kind == "struct" else column
    places = list(stream.places(data)) if table.kind != "path" else []
    there = column.is_valid().to_pylist()  # what is in an object that is null means nothing

    def audio(index: int, named: Path | None) -> AudioData:
        place = places[index] if there[index] else None
        if place is not None:
            member = f"byte {place[0]}" if named is None else printable(named.name)
            return AudioMember(table.path, member, *place)
        if named is None:
            raise ContainerError(f"{table.audio}: null; the row has no audio")
        return AudioFile(named)

    return audio


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MOST_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"{path}: not JSON; save the data set again") from error
    except OSError as error:
        raise EncodecCliError(f"{path}: cannot read: {error.strerror or error}") from error
    if not isinstance(values, dict):
        raise ContainerError(f"{path}: not a JSON object; save the data set again")
    return values


def _names(values: Any, path: Path) -> list[str]:
    """Names of files beside `path` that it lists.

    Raises:
        ContainerError: none, or one that leads elsewhere.
    """
    if not isinstance(values, list) or not values:
        raise ContainerError(f"{path}: lists no data; save the data set again")
    for name in values:
        if not isinstance(name, str) or Path(name).name != name or name == "..":
            raise ContainerError(f"{path}: names a file that does not lie beside it")
    return values
