"""Columns of Arrow tables: which has the recordings, which go on into the outputs.

audio: {bytes, path}   as Hugging Face writes it
audio: binary          the bytes alone
audio_filepath: text   the name of a file; see `rows`
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_name, key_of_path
from encodec_cli.corpus.rows import PATH_COLUMNS, Places, path_in, row_item, row_key, said_seconds
from encodec_cli.errors import ContainerError
from encodec_cli.io.audio_data import AudioData
from encodec_cli.io.columns import check_names, plain_columns
from encodec_cli.io.parquet import import_pyarrow
from encodec_cli.io.text import printable, shown

__all__ = ["RowAudio", "Table", "table_of"]

_BYTES_COLUMNS = ("audio", "bytes", "audio_bytes", "wav", "flac", "mp3", "opus", "content")
_MOST_DEPTH = 8

RowAudio = Callable[[int, Path | None], AudioData]
"""The recording of a row of a batch, by its number in it; `Path` is where it lies if it is not in
the table."""


@dataclass(frozen=True)
class Table:
    """Which columns of a table are read, and for what.

    Attributes:
        path: of the file, for messages.
        name: what the table is called in keys.
        audio: the column of recordings.
        kind: whether it has objects of bytes and path, bytes, or paths.
        others: columns that go on into the outputs.
    """

    path: Path
    name: str
    audio: str
    kind: Literal["struct", "bytes", "path"]
    others: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """What is read to tell the items, the bytes of recordings left out."""
        named = {"struct": [f"{self.audio}.path"], "bytes": [], "path": [self.audio]}
        return [*named[self.kind], *self.others]

    def items(
        self, batch: Any, first: int, audio: RowAudio
    ) -> Iterator[CorpusItem | BadCorpusItem]:
        """The items of a record batch that begins with row `first` of the table."""
        columns = {n: _shown(batch.column(n)) for n in self.others if n in batch.schema.names}
        paths = self._paths(batch)
        for index in range(batch.num_rows):
            try:
                values = {name: column[index].as_py() for name, column in columns.items()}
                path = None if paths is None else paths[index].as_py()
                yield self._item(values, path, first + index, partial(audio, index))
            except (ContainerError, ValueError, OverflowError, TypeError) as error:
                # pyarrow fails in many ways at values that Python has not.
                reason = " ".join(str(error).split())[:200]
                source = printable(f"{self.path}, row {first + index}")
                key = f"{self.name}-{first + index:06d}"
                yield BadCorpusItem(key=key, source=source, reason=reason)

    def _paths(self, batch: Any) -> Any:
        """The column of names of recordings, if there is one; their bytes are not looked at."""
        if self.audio not in batch.schema.names or self.kind == "bytes":
            return None
        column = batch.column(self.audio)
        if self.kind == "path":
            return column
        has_path = any(field.name == "path" for field in column.type)
        return column.field("path") if has_path else None

    def _item(
        self,
        values: Mapping[str, Any],
        path: str | None,
        row: int,
        audio: Callable[[Path | None], AudioData],
    ) -> CorpusItem:
        places = Places(self.path.parent)
        if self.kind == "path":
            return row_item({self.audio: path, **values}, places)
        name = path_in(path, self.audio) if path else ""
        # What is before the name is a place on the machine of whoever made the table.
        named = key_of_path(name.rpartition("/")[2]) if name else f"{self.name}-{row:06d}"
        return CorpusItem(
            key=row_key(values) or named,
            audio=audio(places.file(name) if name else None),
            source=printable(name or f"{self.path.name}, row {row}"),
            columns=plain_columns(values),
            seconds=said_seconds(values),
        )


def table_of(schema: Any, path: Path, name: str) -> Table:
    """Which columns of a table of this `schema` are which.

    Raises:
        ContainerError: none has audio.
    """
    check_names(list(schema.names))
    audio, kind = _audio_column(schema)
    types = import_pyarrow().types
    others = [f.name for f in schema if f.name != audio and _is_plain(types, f.type)]
    return Table(path, key_of_name(name), audio, kind, tuple(others))


def _audio_column(schema: Any) -> tuple[str, Literal["struct", "bytes", "path"]]:
    types = import_pyarrow().types
    objects = [f.name for f in schema if types.is_struct(f.type) and _has_bytes(types, f.type)]
    data = [f.name for f in schema if f.name in _BYTES_COLUMNS and _is_bytes(types, f.type)]
    texts = {f.name for f in schema if _is_text(types, f.type)}
    if objects:
        return ("audio" if "audio" in objects else objects[0]), "struct"
    if data:
        return data[0], "bytes"
    for name in PATH_COLUMNS:
        if name in texts:
            return name, "path"
    raise ContainerError(
        f"has no column of audio, which would have bytes and path; it has {shown(schema.names)}"
    )


def _has_bytes(types: Any, kind: Any) -> bool:
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    data, path = fields.get("bytes"), fields.get("path")
    if data is None or not (path is None or _is_text(types, path)):
        return False
    # Where all recordings lie in files of their own, there are no bytes to tell the type.
    return _is_bytes(types, data) or (path is not None and bool(types.is_null(data)))


def _is_bytes(types: Any, kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _is_shown(types: Any, kind: Any) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind) or types.is_decimal(kind))


def _shown(array: Any) -> Any:
    """Dates, times and decimals as text: Python has not all of their values."""
    pa = import_pyarrow()
    return array.cast(pa.string()) if _is_shown(pa.types, array.type) else array


def _is_plain(types: Any, kind: Any, depth: int = 0) -> bool:
    """Whether values of this type are those of JSON, or are shown as text."""
    if depth > _MOST_DEPTH:
        return False
    if types.is_struct(kind):
        return all(_is_plain(types, kind.field(i).type, depth + 1) for i in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(types, kind.value_type, depth + 1)
    if types.is_dictionary(kind):
        return _is_text(types, kind.value_type)
    plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(plain or _is_text(types, kind) or (depth == 0 and _is_shown(types, kind)))
