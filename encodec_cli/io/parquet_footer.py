"""How many numbers a Parquet file holds, counted from its headers before any is read.

A run of equal numbers takes no bytes in a file, but memory when it is read, and pyarrow has no
limit. It does not survive asking for the sizes of columns in a damaged footer either, so the few
numbers that matter are read here.

Source of the layout: `parquet.thrift`, and the compact protocol of Apache Thrift.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from encodec_cli.errors import ContainerError

__all__ = ["count_values"]

_MAGIC = b"PAR1"
_MOST_FOOTER_BYTES = 16 << 20
_MOST_FIELDS = 1_000_000
_MOST_DEPTH = 16
_PAGE_HEADER_BYTES = 1 << 14  # statistics in it may be long
_MOST_VARINT_BYTES = 10
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
# Numbers of fields.
_ROW_GROUPS = 4
_COLUMNS = 1
_COLUMN_META = 3
_CHUNK_BYTES, _DATA_OFFSET, _DICTIONARY_OFFSET = 7, 9, 11
_PAGE_BYTES, _PAGE_V1, _PAGE_DICTIONARY, _PAGE_V2 = 3, 5, 7, 8


def count_values(file: BinaryIO) -> list[int]:
    """Values in the pages of each row group, nulls and those of dictionaries counted too.

    Raises:
        ContainerError: not a Parquet file, damaged, or with endless headers.
    """
    size = file.seek(0, 2)
    try:
        footer = _footer(file, size)
        budget = iter(range(_MOST_FIELDS))
        groups = _Thrift(footer, budget).struct().get(_ROW_GROUPS, [])
        return [sum(_pages(file, size, group, budget)) for group in groups]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration) as error:
        raise ContainerError("not a readable Parquet file: damaged headers") from error
    except RuntimeError as error:  # what a StopIteration becomes inside a generator
        raise ContainerError("not a readable Parquet file: endless headers") from error


def _footer(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - 8))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= min(_MOST_FOOTER_BYTES, size - 12):
        raise ValueError("no footer")
    file.seek(size - 8 - length)
    return file.read(length)


def _pages(
    file: BinaryIO, size: int, group: dict[int, Any], budget: Iterator[int]
) -> Iterator[int]:
    for column in group[_COLUMNS]:
        meta = column[_COLUMN_META]
        position = meta[_DATA_OFFSET]
        if 0 < meta.get(_DICTIONARY_OFFSET, 0) < position:
            position = meta[_DICTIONARY_OFFSET]
        end = position + meta[_CHUNK_BYTES]
        if not 0 <= position <= end <= size:
            raise ValueError("a column beyond the file")
        while position < end:
            file.seek(position)
            header = _Thrift(file.read(_PAGE_HEADER_BYTES), budget)
            page = header.struct()
            values = [
                page[kind][1] for kind in (_PAGE_V1, _PAGE_DICTIONARY, _PAGE_V2) if kind in page
            ]
            if page[_PAGE_BYTES] < 0 or any(value < 0 for value in values):
                raise ValueError("a page of no size")
            yield sum(values)
            position += header.position + page[_PAGE_BYTES]


class _Thrift:
    """Reads structs of the compact protocol: integers, lists and structs; the rest is skipped."""

    def __init__(self, data: bytes, budget: Iterator[int]) -> None:
        self._data = data
        self._budget = budget
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Values by the numbers of their fields.

        Raises:
            ValueError, IndexError: damaged.
            StopIteration: more fields than the budget allows.
        """
        if depth > _MOST_DEPTH:
            raise ValueError("too deep")
        fields: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) & 0xF:
            next(self._budget)
            field = field + (head >> 4) if head >> 4 else self._integer()
            kind = head & 0xF
            fields[field] = kind == _TRUE if kind <= _FALSE else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        next(self._budget)
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 0xF, depth + 1) for _ in range(count)]
        if kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._value(kinds >> 4, depth + 1)
                self._value(kinds & 0xF, depth + 1)
        elif kind in (_TRUE, _FALSE, _BYTE):
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        else:
            raise ValueError("a field of no type")
        return None

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self._data):
            raise IndexError("ends early")

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.position - 1]

    def _varint(self) -> int:
        value = 0
        for place in range(_MOST_VARINT_BYTES):
            byte = self._byte()
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                return value
        raise ValueError("a number without end")

    def _integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
