"""Parquet shards written: one row per recording, codes as lists of lists, a column each.

The schema carries the features of the `datasets` package, so that it shows the same types.
Source: `Features.from_arrow_schema` of datasets, which reads them from the key `huggingface`.
"""

import json
import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.parquet import import_pyarrow
from encodec_cli.io.text import shown
from encodec_cli.tokens.columns import ColumnKinds, column_kinds, column_value
from encodec_cli.tokens.item import INFO_FIELDS, TokenItem
from encodec_cli.tokens.writing import Arrangement, Row, row_of

__all__ = ["ParquetShard"]

_GROUP_BYTES = 1 << 24
_LIST = re.compile(r"list<(.+)>")
_DTYPES = {"bool": "bool", "int": "int64", "float": "float64", "text": "string", "json": "string"}


class ParquetShard:
    """Appends items to a Parquet file, in row groups; `finish` must be called."""

    def __init__(self, file: BinaryIO, arrangement: Arrangement, kinds: ColumnKinds | None) -> None:
        """`kinds` are those of the corpus's columns. Without them the items of the shard decide,
        and it is held in memory until it is complete.

        Raises:
            UsageError: pyarrow is not installed.
        """
        self._pa = import_pyarrow()
        self._file = file
        self._arrangement = arrangement
        self._kinds = kinds
        self._writer: Any = None
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, item: TokenItem) -> None:
        row = row_of(item, self._arrangement)
        if self._kinds is not None:
            row.columns.update(_of_kinds(row.columns, self._kinds))
        self._rows.append(row)
        self._bytes += row.codes.nbytes
        if self._kinds is not None and self._bytes >= _GROUP_BYTES:
            self._write_group(self._rows)
            self._rows, self._bytes = [], 0

    def finish(self) -> None:
        if self._kinds is None:
            self._kinds = column_kinds(row.columns for row in self._rows)
            for row in self._rows:
                row.columns.update(_of_kinds(row.columns, self._kinds))
        while self._rows:
            count = _group_length(self._rows)
            self._write_group(self._rows[:count])
            self._rows = self._rows[count:]
        self._opened().close()

    def _opened(self) -> Any:
        if self._writer is None:
            schema = _schema(self._pa, self._arrangement, self._kinds or {})
            # Page checksums let a reader tell damage from codes.
            self._writer = self._pa.parquet.ParquetWriter(
                self._file, schema, compression="zstd", write_page_checksum=True
            )
        return self._writer

    def _write_group(self, rows: list[Row]) -> None:
        pa, writer = self._pa, self._opened()
        values = [{"key": row.key, **row.metadata, **row.columns} for row in rows]
        columns = []
        for field in writer.schema:
            if field.name == "codes":
                columns.append(_code_lists(pa, [row.codes for row in rows]))
            elif field.name == "scales":
                scales = [None if row.scales is None else row.scales.tolist() for row in rows]
                columns.append(pa.array(scales, field.type))
            else:
                columns.append(pa.array([row.get(field.name) for row in values], field.type))
        writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))


def _group_length(rows: list[Row]) -> int:
    """How many of `rows` make the next row group."""
    size = 0
    for count, row in enumerate(rows, start=1):
        size += row.codes.nbytes
        if size >= _GROUP_BYTES:
            return count
    return len(rows)


def _of_kinds(columns: dict[str, Any], kinds: ColumnKinds) -> dict[str, Any]:
    typed = {}
    for name, value in columns.items():
        if value is None:
            continue
        if name not in kinds:
            raise ContainerError(f"column {shown(name)}: is not among the corpus's")
        try:
            typed[name] = column_value(value, kinds[name])
        except ContainerError as error:
            raise error.about(f"column {shown(name)}") from error
    return typed


def _code_lists(pa: Any, arrays: list[NDArray[np.integer]]) -> Any:
    """Lists of codes, nested as `arrays` have axes, without a Python object per code."""
    flat = pa.array(np.concatenate([array.ravel() for array in arrays]))
    if arrays[0].ndim == 2:
        lengths = np.concatenate([np.full(len(array), array.shape[1]) for array in arrays])
        flat = pa.ListArray.from_arrays(_offsets(pa, lengths), flat)
    return pa.ListArray.from_arrays(_offsets(pa, [len(array) for array in arrays]), flat)


def _offsets(pa: Any, lengths: Any) -> Any:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _schema(pa: Any, arrangement: Arrangement, kinds: ColumnKinds) -> Any:
    codes = f"list<{arrangement.code_dtype or 'uint16'}>"
    types = {
        "key": "string",
        "codes": codes if arrangement.flat is not None else f"list<{codes}>",
        "scales": "list<float32>",
        "n_q": "int64",
        "frame_rate": "float64",
        "codes_arrangement": "string",
    }
    types |= {name: "string" if kind is str else "int64" for name, kind in INFO_FIELDS.items()}
    if not arrangement.stated(2):
        del types["codes_arrangement"]
    types |= {name: _type(kind) for name, kind in kinds.items()}
    features = {name: _feature(kind) for name, kind in types.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, _arrow(pa, kind)) for name, kind in types.items()], metadata)


def _type(kind: str) -> str:
    """`kind` of a column in Arrow's words."""
    inner = _LIST.fullmatch(kind)
    return _DTYPES[kind] if inner is None else f"list<{_DTYPES[inner[1]]}>"


def _arrow(pa: Any, kind: str) -> Any:
    inner = _LIST.fullmatch(kind)
    return pa.type_for_alias(kind) if inner is None else pa.list_(_arrow(pa, inner[1]))


def _feature(kind: str) -> dict[str, Any]:
    inner = _LIST.fullmatch(kind)
    if inner is None:
        return {"dtype": kind, "_type": "Value"}
    return {"feature": _feature(inner[1]), "_type": "Sequence"}  # which all its versions know
