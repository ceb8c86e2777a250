"""A row of a table of recordings as an item: which column names the file, which the part.

    {"audio_filepath": "a/b.wav", "offset": 2.5, "duration": 4.0, "text": "..."}   NeMo
    {"id": "b-1", "audio_path": "a/b.wav", "speaker": "anna"}                      and others

Every column goes on into the outputs, but for those that name the file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encodec_cli.corpus.item import CorpusItem
from encodec_cli.corpus.keys import key_of_name, key_of_path, key_of_time
from encodec_cli.errors import ContainerError
from encodec_cli.io.audio_data import AudioFile
from encodec_cli.io.columns import plain_columns
from encodec_cli.io.text import printable, shown

__all__ = [
    "ID_COLUMNS",
    "PATH_COLUMNS",
    "Places",
    "part_columns",
    "path_in",
    "row_item",
    "row_key",
    "said_seconds",
    "seconds_in",
]

PATH_COLUMNS = (
    *("audio_filepath", "audio_path", "audio_file", "audio", "wav", "wav_path", "file_name"),
    *("filename", "file", "filepath", "path", "location"),
)
"""Columns that name the file: the first of these that a row has."""
ID_COLUMNS = ("id", "key", "__key__", "utt_id", "audio_id", "ID")
"""Columns that name the item, likewise."""
_OFFSETS = ("offset", "start")
_MOST_SECONDS = 1e9
_MOST_PATH = 4096


@dataclass(frozen=True)
class Places:
    """Where files lie that a table names.

    Attributes:
        folder: of the table; relative names are looked for in it, then in the working folder.
        root: where relative names are looked for instead, if that was said.
    """

    folder: Path
    root: Path | None = None

    def file(self, name: str) -> Path:
        """The file called `name`, which need not be there."""
        path = Path(name)
        if path.is_absolute():
            return path
        if self.root is not None:
            return self.root / path
        beside = self.folder / path
        try:
            return path if not beside.exists() and path.exists() else beside
        except OSError:  # a name that is too long: whoever opens it says so
            return beside


def row_item(row: Mapping[str, Any], places: Places) -> CorpusItem:
    """The item of a `row`.

    Raises:
        ContainerError: it names no file, or a part that is none.
    """
    column = next((name for name in PATH_COLUMNS if row.get(name) not in (None, "")), None)
    if column is None:
        raise ContainerError(f"names no audio file; a column {PATH_COLUMNS[0]} is to")
    name = path_in(row[column], column)
    offset, duration = part_columns(row)
    rest = {key: value for key, value in row.items() if key != column}
    return CorpusItem(
        key=row_key(row) or key_of_time(key_of_path(name), offset),
        audio=AudioFile(places.file(name)),
        source=printable(name),
        offset=offset,
        duration=duration,
        columns=plain_columns(rest),
        seconds=duration,
    )


def path_in(value: Any, column: str) -> str:
    """The path that a `column` says; tables of Hugging Face have objects with a `path`.

    Raises:
        ContainerError: no path.
    """
    if isinstance(value, Mapping):
        value = value.get("path")
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_PATH or "\0" in value:
        raise ContainerError(f"{column}: {shown(value)} is not the path of a file")
    if "://" in value:
        raise ContainerError(f"{column}: {shown(value)} is an address; download it first")
    return value


def row_key(row: Mapping[str, Any]) -> str | None:
    """The key that a `row` has itself, if it has one."""
    for name in ID_COLUMNS:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return key_of_name(str(value))
    return None


def part_columns(row: Mapping[str, Any]) -> tuple[float, float | None]:
    """Offset and duration in seconds that a `row` says: 0 and None if it does not.

    Raises:
        ContainerError: no number, negative or not finite; a duration of 0.
    """
    offset = next((row[name] for name in _OFFSETS if row.get(name) not in (None, "")), 0.0)
    duration = row.get("duration")
    start = seconds_in(offset, "offset")
    if duration is None or duration == "":
        return start, None
    length = seconds_in(duration, "duration")
    if length == 0:
        raise ContainerError("duration: 0; nothing to code")
    return start, length


def seconds_in(value: Any, name: str) -> float:
    """A time that a row says.

    Raises:
        ContainerError: no number, negative or not finite.
    """
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds <= _MOST_SECONDS:
        raise ContainerError(f"{name}: {shown(value, 30)}; give seconds, 0 or more")
    return seconds


def said_seconds(row: Mapping[str, Any]) -> float | None:
    """The length that a `row` says of its recording, if it says one that can be."""
    try:
        return part_columns({"duration": row.get("duration")})[1]
    except ContainerError:
        return None
