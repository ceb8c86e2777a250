"""Parquet files read: one row per recording. Column `codes` is lists of lists, or flat ones."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.parquet import import_pyarrow, opened_parquet
from encodec_cli.io.text import shown
from encodec_cli.tokens.item import INFO_FIELDS, BadItem, TokenItem, plain_shape
from encodec_cli.tokens.reading import loose_item

__all__ = ["parquet_keys", "read_parquet"]

_BATCH_ROWS = 16


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
    if types.is_null(kind):  # a column of rows without codes, each of which says so
        return True
    for _ in range(2):
        if _is_list(types, kind):
            kind = kind.value_type
            if types.is_null(kind) or types.is_integer(kind):
                return True
    return False


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
    | {"codes_arrangement": _is_text}
    | {name: _is_text if kind is str else _is_integer for name, kind in INFO_FIELDS.items()}
)


def _item(values: dict[str, Any], key: str) -> TokenItem | BadItem:
    try:
        if "key" in values:
            key = str(values.pop("key").as_py())
        codes = _codes(values.pop("codes"))
        scales = values.pop("scales", None)
        plain = {name: value.as_py() for name, value in values.items()}
        return loose_item(key, codes, _scales(scales), plain)
    except ContainerError as error:
        return BadItem(key, str(error))


def _codes(value: Any) -> NDArray[np.integer]:
    """`[K, T]` of a nested list, null-free and rectangular; `[N]` of a flat one."""
    rows = getattr(value, "values", None)
    if rows is None:
        raise ContainerError("codes: null, or no list")
    shape: tuple[int, ...] = (len(rows),)
    if hasattr(rows, "value_lengths"):
        lengths = rows.value_lengths().unique().to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise ContainerError("codes: the codebooks differ in length")
        shape = (len(rows), lengths[0])
        plain_shape(shape)
        rows = rows.flatten()
    if rows.null_count:
        raise ContainerError("codes: null")
    array: NDArray[np.integer] = rows.to_numpy(zero_copy_only=False)
    if array.dtype.kind not in "iu":
        raise ContainerError(f"codes: {rows.type}, not whole numbers")
    return array.reshape(shape)


def _scales(value: Any) -> NDArray[np.float32] | None:
    items = None if value is None else value.as_py()
    if items is None:
        return None
    if not isinstance(items, list) or not all(isinstance(x, float) for x in items):
        raise ContainerError("scales: not a list of numbers")
    return np.array(items, np.float32)
