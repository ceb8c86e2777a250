"""Parquet files from outside, opened within limits; pyarrow, which is optional."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.limits import check_unpacked
from encodec_cli.io.parquet_footer import count_values

__all__ = ["arrow_faults", "import_pyarrow", "opened_parquet"]

_MAX_GROUP_BYTES = 1 << 31
_MAX_ROWS = 1 << 28
_READ_BYTES = 1 << 20


def import_pyarrow() -> Any:
    """The `pyarrow` module, its `parquet` part loaded.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet files need pyarrow, which is not installed; run: pip install pyarrow"
        ) from error
    return pyarrow


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """A `ParquetFile` whose sizes are within bounds; pyarrow's errors become ours.

    Raises:
        ContainerError: not a Parquet file, damaged, or with hostile sizes; also in the block.
        UsageError: pyarrow is not installed.
        OSError: the file cannot be opened.
    """
    pa = import_pyarrow()
    with path.open("rb") as headers:
        packed = headers.seek(0, 2)
        counts = count_values(headers)
        for number, values in enumerate(counts):
            # With the levels of its lists, a number takes about eight bytes to be read.
            check_unpacked(8 * values, packed, f"row group {number}, {values} numbers")
    with arrow_faults("a readable Parquet file"):
        options = {"page_checksum_verification": True, "buffer_size": _READ_BYTES}
        with pa.parquet.ParquetFile(path, **options) as file:
            _check_sizes(file.metadata, packed, counts)
            yield file


@contextmanager
def arrow_faults(what: str) -> Iterator[None]:
    """Turns what pyarrow raises for damaged files into an error that says: not `what`.

    Raises:
        ContainerError: it does.
    """
    pa = import_pyarrow()
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, RuntimeError) as error:
        line = " ".join(str(error).split())[:120]
        raise ContainerError(f"not {what}: {line}") from error


def _check_sizes(metadata: Any, packed: int, counts: list[int]) -> None:
    """Hold what the file says of its rows and bytes against its size, `packed`, and its pages."""
    if not 0 <= metadata.num_rows <= _MAX_ROWS:
        raise ContainerError(f"{metadata.num_rows} rows; at most {_MAX_ROWS} are read")
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if not 0 <= group.num_rows <= counts[number]:
            raise ContainerError(f"row group {number} says {group.num_rows} rows, but has fewer")
        size = group.total_byte_size
        if not 0 <= size <= _MAX_GROUP_BYTES:
            raise ContainerError(
                f"row group {number} unpacks to {size} bytes; write groups of at most "
                f"{_MAX_GROUP_BYTES}"
            )
        check_unpacked(size, packed, f"row group {number}")
