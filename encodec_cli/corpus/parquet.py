"""Parquet files of recordings, as Hugging Face writes them.

file --columns but for the bytes--> CorpusItem with ParquetAudio --its row group--> bytes
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.table import Table, table_of
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.audio_data import AudioBytes, AudioData, AudioFile
from encodec_cli.io.parquet import opened_parquet
from encodec_cli.io.text import printable

__all__ = ["PARQUET_SUFFIXES", "ParquetAudio", "read_parquet"]

PARQUET_SUFFIXES = frozenset({".parquet"})
_BATCH_ROWS = 256
_KEPT_GROUPS = 2
_reading = Lock()


@dataclass(frozen=True)
class ParquetAudio:
    """A recording in a row of a Parquet file: row `row` of row group `group`.

    Row groups are unpacked as wholes; the last two stay in memory.

    Attributes:
        number: of the row in the file.
        file: where it lies if the row has no bytes.
        size: bytes that the recordings of its row group have on average.
    """

    path: Path
    column: str
    group: int
    row: int
    number: int
    file: Path | None
    size: int | None

    @property
    def name(self) -> str:
        return printable(f"{self.path}, row {self.number}")

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with _named(self.path), _reading:
            changed = self.path.stat().st_mtime_ns
            column = _group_column(self.path, changed, self.group, self.column)
            data = column[self.row].as_py()
        if data is None and self.file is None:
            raise EncodecCliError(f"{self.name}: {self.column}: null; the row has no audio")
        audio: AudioData
        audio = AudioBytes(self.name, data) if data is not None else AudioFile(self.file or Path())
        with audio.open() as file:
            yield file


# Rows are coded in about their order, by several threads: each group is unpacked once.
@lru_cache(maxsize=_KEPT_GROUPS)
def _group_column(path: Path, changed: int, group: int, column: str) -> Any:
    """The recordings of a row group of a file that was last changed at `changed`."""
    with opened_parquet(path) as file:
        array = file.read_row_group(group, columns=[column]).column(0)
        return array.combine_chunks().field("bytes") if "." in column else array


def read_parquet(path: Path) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items that the rows of a file are, in order; recordings are not read.

    Raises:
        ContainerError: not a Parquet file, damaged, with hostile sizes, or without audio; `path`
            is named.
        UsageError: pyarrow is not installed.
    """
    with _named(path), opened_parquet(path) as file:
        table = table_of(file.schema_arrow, path, path.stem)
        first = 0
        for group in range(file.metadata.num_row_groups):
            yield from _group_items(file, table, group, first)
            first += file.metadata.row_group(group).num_rows
        if first == 0:
            raise ContainerError("has no rows")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names `path` in what goes wrong with it."""
    try:
        yield
    except ContainerError as error:
        raise error.about(path) from error
    except FileNotFoundError as error:
        raise EncodecCliError(f"{path}: no such file; check the name") from error
    except OSError as error:
        raise EncodecCliError(f"{path}: cannot read: {error.strerror or error}") from error


def _group_items(
    file: Any, table: Table, group: int, first: int
) -> Iterator[CorpusItem | BadCorpusItem]:
    about = file.metadata.row_group(group)
    column = f"{table.audio}.bytes" if table.kind == "struct" else table.audio
    size = _mean_size(about, column)
    done = 0

    def audio(index: int, named: Path | None) -> ParquetAudio:
        row = done + index
        return ParquetAudio(
            path=table.path,
            column=column,
            group=group,
            row=row,
            number=first + row,
            file=named,
            size=size,
        )

    for batch in _batches(file, table.columns, group):
        yield from table.items(batch, first + done, audio)
        done += batch.num_rows


def _batches(file: Any, columns: list[str], group: int) -> Iterator[Any]:
    options = {"row_groups": [group], "batch_size": _BATCH_ROWS, "columns": columns}
    return iter(file.iter_batches(**options))


def _mean_size(group: Any, column: str) -> int | None:
    for number in range(group.num_columns):
        about = group.column(number)
        if about.path_in_schema == column and group.num_rows > 0:
            return int(about.total_uncompressed_size // group.num_rows)
    return None
