"""Rows of Arrow tables as items: recordings in the table, or named in it.

audio: {bytes, path}   as Hugging Face writes it
audio: binary          the bytes alone
audio_filepath: text   the name of a file; see `rows`
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encodec_cli.corpus.columns import check_names, plain_columns
from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.keys import key_of_name, key_of_path
from encodec_cli.corpus.rows import PATH_COLUMNS, Places, path_in, row_item, row_key, said_seconds
from encodec_cli.errors import ContainerError
from encodec_cli.io.audio_data import AudioBytes, AudioData, AudioFile
from encodec_cli.io.parquet import import_pyarrow
from encodec_cli.io.text import printable, shown

__all__ = ["Table", "read_columns", "table_of"]

_BYTES_COLUMNS = ("audio", "bytes", "audio_bytes", "wav", "flac", "mp3", "opus", "content")
_MOST_AUDIO_BYTES = 1 << 30
_MOST_DEPTH = 8


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
    kind: str
    others: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """All that are read."""
        return [self.audio, *self.others]

    def items(self, batch: Any, first: int) -> Iterator[CorpusItem | BadCorpusItem]:
        """The items of a record batch that begins with row `first`."""
        columns = {name: batch.column(name) for name in batch.schema.names}
        for index in range(batch.num_rows):
            row = first + index
            try:
                yield self._item({n: column[index] for n, column in columns.items()}, row)
            except (ContainerError, ValueError, OverflowError, TypeError) as error:
                # pyarrow fails in many ways at values that Python has not.
                reason = " ".join(str(error).split())[:200]
                source = printable(f"{self.path}, row {row}")
                yield BadCorpusItem(key=f"{self.name}-{row:06d}", source=source, reason=reason)

    def _item(self, scalars: Mapping[str, Any], row: int) -> CorpusItem:
        values = {n: scalars[n].as_py() for n in self.others if n in scalars}
        places = Places(self.path.parent)
        if self.kind == "path":
            return row_item({**values, self.audio: scalars[self.audio].as_py()}, places)
        audio, named = self._audio(scalars[self.audio], row, places)
        # A table has names of files that lie in no folder: what is before the name is a place of
        # whoever made it.
        usual = f"{self.name}-{row:06d}"
        key = row_key(values) or (key_of_path(named.rpartition("/")[2]) if named else usual)
        return CorpusItem(
            key=key,
            audio=audio,
            source=printable(named or f"{self.path.name}, row {row}"),
            columns=plain_columns(values),
            seconds=said_seconds(values),
        )

    def _audio(self, scalar: Any, row: int, places: Places) -> tuple[AudioData, str]:
        """The recording of a row, and its name if it has one."""
        value = scalar.as_py()
        data, path = value, None
        if self.kind == "struct":
            value = value or {}
            data, path = value.get("bytes"), value.get("path")
        name = path_in(path, self.audio) if path else ""
        if data is None:
            if not name:
                raise ContainerError(f"{self.audio}: null; the row has no audio")
            return AudioFile(places.file(name)), name
        if not isinstance(data, bytes) or len(data) > _MOST_AUDIO_BYTES:
            raise ContainerError(f"{self.audio}: more than {_MOST_AUDIO_BYTES} bytes")
        return AudioBytes(printable(f"{self.path}, row {row}"), data), name


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


def read_columns(batch: Any, table: Table) -> Any:
    """`batch` with dates, times and decimals as text: Python has not all of their values."""
    pa = import_pyarrow()
    arrays = []
    names = [name for name in table.columns if name in batch.schema.names]
    for name in names:
        array = batch.column(name)
        arrays.append(array.cast(pa.string()) if _is_shown(pa.types, array.type) else array)
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _audio_column(schema: Any) -> tuple[str, str]:
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
    return data is not None and _is_bytes(types, data) and (path is None or _is_text(types, path))


def _is_bytes(types: Any, kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _is_shown(types: Any, kind: Any) -> bool:
    return bool(types.is_timestamp(kind) or types.is_date(kind) or types.is_decimal(kind))


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
