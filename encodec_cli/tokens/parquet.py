"""Parquet shards: one row per recording. Column `codes` is list<list<uint16>>, [K, T]."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.parquet import import_pyarrow, opened_parquet
from encodec_cli.io.text import shown
from encodec_cli.tokens.item import (
    INFO_FIELDS,
    BadItem,
    TokenInfo,
    TokenItem,
    loose_item,
    plain_shape,
)

__all__ = ["ParquetShard", "parquet_keys", "read_parquet"]

_GROUP_BYTES = 1 << 24
_BATCH_ROWS = 16


class ParquetShard:
    """Appends items to a Parquet file, in row groups; `finish` must be called."""

    def __init__(self, file: BinaryIO) -> None:
        self._pa = import_pyarrow()
        self._schema = _schema(self._pa)
        # Page checksums let a reader tell damage from codes.
        self._writer = self._pa.parquet.ParquetWriter(
            file, self._schema, compression="zstd", write_page_checksum=True
        )
        self._items: list[TokenItem] = []
        self._bytes = 0

    def add(self, item: TokenItem) -> None:
        self._items.append(item)
        self._bytes += 2 * item.codes.size
        if self._bytes >= _GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if not self._items:
            return
        pa, items = self._pa, self._items
        rows = [{"key": item.key, **item.metadata()} for item in items]
        columns = []
        for field in self._schema:
            if field.name == "codes":
                columns.append(_nested(pa, [item.codes for item in items]))
            elif field.name == "scales":
                scales = [None if i.scales is None else i.scales.tolist() for i in items]
                columns.append(pa.array(scales, field.type))
            else:
                columns.append(pa.array([row.get(field.name) for row in rows], field.type))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._items, self._bytes = [], 0


def parquet_keys(path: Path) -> list[str]:
    """Keys of the rows of a shard, in order.

    Raises:
        ContainerError: not a Parquet file, damaged, or without keys.
    """
    with opened_parquet(path) as file:
        if "key" not in _known_columns(file):
            raise ContainerError("has no column named key")
        keys: list[str] = file.read(columns=["key"]).column("key").to_pylist()
    if not all(isinstance(key, str) for key in keys):
        raise ContainerError("column key: not text")
    return keys


def read_parquet(path: Path) -> Iterator[TokenItem | BadItem]:
    """The rows of a shard, in order; only the column `codes` is required.

    Raises:
        ContainerError: not a Parquet file, or damaged.
    """
    with opened_parquet(path) as file:
        known = _known_columns(file)
        if "codes" not in known:
            raise ContainerError("has no column named codes")
        row = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=known):
            columns = {name: batch.column(name) for name in batch.schema.names}
            for index in range(batch.num_rows):
                values = {name: column[index] for name, column in columns.items()}
                yield _item(values, f"{path.stem}-{row:06d}")
                row += 1


def _known_columns(file: Any) -> list[str]:
    """Names of the columns that are read, each there once and of a type that belongs there.

    Raises:
        ContainerError: one is there twice, or of another type: pyarrow turns dates, times and
            structs into objects of many kinds, and fails at some of their values.
    """
    schema = file.schema_arrow
    known = []
    for field in schema:
        fits = _KINDS.get(field.name)
        if fits is None:
            continue
        if field.name in known:
            raise ContainerError(f"two columns named {field.name}")
        if not fits(import_pyarrow().types, field.type):
            raise ContainerError(
                f"column {field.name}: {shown(str(field.type))} do not belong there"
            )
        known.append(field.name)
    return known


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_codes(types: Any, kind: Any) -> bool:
    for _ in range(2):
        if types.is_null(kind):  # a column of rows without codes, each of which says so
            return True
        if not _is_list(types, kind):
            return False
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_null(kind))


def _is_scales(types: Any, kind: Any) -> bool:
    return _is_list(types, kind) and bool(types.is_floating(kind.value_type))


def _is_text(types: Any, kind: Any) -> bool:
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind))


def _is_integer(types: Any, kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_null(kind))


_KINDS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"key": _is_text, "codes": _is_codes, "scales": _is_scales, "n_q": _is_integer}
    | {name: _is_text if kind is str else _is_integer for name, kind in INFO_FIELDS.items()}
)


def _item(values: dict[str, Any], key: str) -> TokenItem | BadItem:
    try:
        if "key" in values:
            key = str(values.pop("key").as_py())
        codes = _codes(values.pop("codes"))
        scales = values.pop("scales", None)
        plain = {name: value.as_py() for name, value in values.items()}
        n_q = plain.pop("n_q", None)
        return loose_item(key, codes, _scales(scales), TokenInfo.from_mapping(plain), n_q)
    except ContainerError as error:
        return BadItem(key, str(error))


def _codes(value: Any) -> NDArray[np.integer]:
    """`[K, T]` of a nested list, null-free and rectangular."""
    rows = getattr(value, "values", None)
    if rows is None:
        raise ContainerError("codes: null, or no list")
    if not hasattr(rows, "value_lengths"):
        raise ContainerError(f"codes: {rows.type}, not lists of lists of whole numbers")
    lengths = rows.value_lengths().to_pylist()
    if len(set(lengths)) != 1 or lengths[0] is None:
        raise ContainerError("codes: the codebooks differ in length")
    plain_shape((len(lengths), lengths[0]))
    flat = rows.flatten()
    if flat.null_count:
        raise ContainerError("codes: null")
    array: NDArray[np.integer] = flat.to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "iu":
        raise ContainerError(f"codes: {flat.type}, not whole numbers")
    return array.reshape(len(lengths), lengths[0])


def _scales(value: Any) -> NDArray[np.float32] | None:
    items = None if value is None else value.as_py()
    if items is None:
        return None
    if not isinstance(items, list) or not all(isinstance(x, float) for x in items):
        raise ContainerError("scales: not a list of numbers")
    return np.array(items, np.float32)


def _nested(pa: Any, arrays: list[NDArray[np.integer]]) -> Any:
    """list<list<uint16>> of codes `[K, T]` each, without a Python object per code."""
    flat = np.concatenate([array.astype(np.uint16).ravel() for array in arrays])
    inner = np.cumsum([0, *(t for array in arrays for t in [array.shape[1]] * array.shape[0])])
    outer = np.cumsum([0, *(array.shape[0] for array in arrays)])
    books = pa.ListArray.from_arrays(pa.array(inner, pa.int32()), pa.array(flat))
    return pa.ListArray.from_arrays(pa.array(outer, pa.int32()), books)


def _schema(pa: Any) -> Any:
    kinds = {str: pa.string(), int: pa.int64()}
    columns = {
        "key": pa.string(),
        "codes": pa.list_(pa.list_(pa.uint16())),
        "scales": pa.list_(pa.float32()),
        "n_q": pa.int64(),
        "frame_rate": pa.float64(),
    }
    return pa.schema(columns | {name: kinds[kind] for name, kind in INFO_FIELDS.items()})
