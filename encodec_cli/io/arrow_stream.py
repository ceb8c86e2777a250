"""Arrow files in the streaming form, from outside, read batch by batch within limits.

    schema message, record batch message + body, record batch message + body ...

pyarrow believes what a packed body says it unpacks to, so packed ones are refused; whoever writes
data sets for training does not pack them, so that they can be mapped into memory.

Source of the layout: `Message.fbs` of Apache Arrow, and the binary form of FlatBuffers.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from encodec_cli.errors import ContainerError
from encodec_cli.io.parquet import arrow_faults, import_pyarrow

__all__ = ["ArrowStream", "opened_stream"]

_HEADER, _COMPRESSION = 2, 3
"""Fields of a message, and of a record batch in it."""


class ArrowStream:
    """An open file.

    Attributes:
        schema: names and types of its columns.
    """

    def __init__(self, mapped: Any, most_rows: int) -> None:
        self._pa = import_pyarrow()
        start = mapped.read_buffer(1)
        self._start = start.address
        mapped.seek(0)
        self._messages = self._pa.ipc.MessageReader.open_stream(mapped)
        self._most_rows = most_rows
        first = self._messages.read_next_message()
        if first.type != "schema":  # pyarrow takes any message for one, and crashes
            raise ContainerError("damaged: it does not begin with a schema")
        self.schema = self._pa.ipc.read_schema(first)

    def batches(self) -> Iterator[Any]:
        """Its record batches, each checked from end to end.

        Raises:
            ContainerError: packed, with dictionaries, or of more rows than the file has bytes.
        """
        while True:
            try:
                message = self._messages.read_next_message()
            except StopIteration:
                return
            if message.type != "record batch":
                raise ContainerError(f"holds a {message.type}; save it without dictionaries")
            if _is_packed(message.metadata.to_pybytes()):
                raise ContainerError("is packed; save it without compression")
            batch = self._pa.ipc.read_record_batch(message, self.schema)
            if batch.num_rows > self._most_rows:
                raise ContainerError(f"{batch.num_rows} rows; more than it has bytes")
            batch.validate(full=True)
            yield batch

    def places(self, array: Any) -> Iterator[tuple[int, int] | None]:
        """Where in the file the bytes of each value of a binary `array` lie: start and size.

        None for null.
        """
        if self._pa.types.is_null(array.type):
            yield from [None] * len(array)
            return
        _, offsets, data = array.buffers()
        wide = self._pa.types.is_large_binary(array.type)
        ends = memoryview(offsets).cast("B").cast("q" if wide else "i")
        ends = ends[array.offset : array.offset + len(array) + 1]
        first = 0 if data is None else data.address - self._start
        for index, valid in enumerate(array.is_valid().to_pylist()):
            start, end = ends[index], ends[index + 1]
            yield (first + start, end - start) if valid else None


@contextmanager
def opened_stream(path: Path) -> Iterator[ArrowStream]:
    """The Arrow stream in the file `path`, mapped into memory; pyarrow's errors become ours.

    Raises:
        ContainerError: none, or damaged; also in the block.
        UsageError: pyarrow is not installed.
        OSError: the file cannot be opened.
    """
    pa = import_pyarrow()
    with path.open("rb") as file:
        size = file.seek(0, 2)
    with arrow_faults("a readable Arrow file"):
        if size == 0:
            raise ContainerError("is empty (0 bytes)")
        with pa.memory_map(str(path)) as mapped:
            try:
                stream = ArrowStream(mapped, size)
            except StopIteration:
                raise ContainerError("holds no table") from None
            yield stream


def _is_packed(message: bytes) -> bool:
    """Whether the body of a record batch is compressed."""
    try:
        table = struct.unpack_from("<I", message, 0)[0]
        header = _field(message, table, _HEADER)
        if header is None:
            raise ContainerError("damaged: a batch without a header")
        batch = header + struct.unpack_from("<I", message, header)[0]
        return _field(message, batch, _COMPRESSION) is not None
    except struct.error as error:
        raise ContainerError("damaged: a batch whose header leads out of it") from error


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of the table at `table` lies; None if it is not there."""
    names = table - struct.unpack_from("<i", data, table)[0]
    if names < 0:
        raise ContainerError("damaged: a batch whose header leads out of it")
    slot = 4 + 2 * number
    if slot >= struct.unpack_from("<H", data, names)[0]:
        return None
    offset: int = struct.unpack_from("<H", data, names + slot)[0]
    return table + offset if offset else None
