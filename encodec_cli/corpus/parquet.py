"""Parquet files of recordings, as Hugging Face writes them."""

from collections.abc import Iterator
from pathlib import Path

from encodec_cli.corpus.item import BadCorpusItem, CorpusItem
from encodec_cli.corpus.table import read_columns, table_of
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.parquet import opened_parquet

__all__ = ["PARQUET_SUFFIXES", "read_parquet"]

PARQUET_SUFFIXES = frozenset({".parquet"})
_BATCH_ROWS = 16


def read_parquet(path: Path) -> Iterator[CorpusItem | BadCorpusItem]:
    """The items that the rows of a file are, in order; a few rows are in memory at a time.

    Raises:
        ContainerError: not a Parquet file, damaged, with hostile sizes, or without audio; `path`
            is named.
        UsageError: pyarrow is not installed.
    """
    try:
        with opened_parquet(path) as file:
            table = table_of(file.schema_arrow, path, path.stem)
            row = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=table.columns):
                yield from table.items(read_columns(batch, table), row)
                row += batch.num_rows
            if row == 0:
                raise ContainerError("has no rows")
    except ContainerError as error:
        raise error.about(path) from error
    except FileNotFoundError as error:
        raise EncodecCliError(f"{path}: no such file; check the name") from error
    except OSError as error:
        raise EncodecCliError(f"{path}: cannot read: {error.strerror or error}") from error
