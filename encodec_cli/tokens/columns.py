"""Columns of a corpus (`text`, `speaker` ...), made fit to be written beside codes.

A value is what JSON has: null, true, numbers, text, lists, objects. Formats with types give each
column a kind, the narrowest that all its values have:

    bool, int, float, text      int and float together are float; else text, numbers as JSON text
    list<bool> ... list<text>   a list of those
    json                        everything else, as JSON text
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from encodec_cli.errors import ContainerError
from encodec_cli.io.columns import plain_columns
from encodec_cli.io.text import shown
from encodec_cli.tokens.item import ITEM_NAMES

__all__ = [
    "ColumnKinds",
    "column_kinds",
    "column_value",
    "json_text",
    "plain_name",
    "scalar_value",
    "written_columns",
]

ColumnKinds = Mapping[str, str]
"""The kind of each column, by the name it is written under."""

_PREFIX = "corpus_"
_MOST_BYTES = 4 << 20
_NULL = "null"  # no value seen yet
_LIST = re.compile(r"list<(\w+)>")


def written_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """`plain_columns` as they are written: names that are ours get the prefix `corpus_`.

    Raises:
        ContainerError: see `plain_columns`; or more than 4 MiB of JSON.
    """
    written = {_free_name(name, columns): v for name, v in plain_columns(columns).items()}
    if written and len(json_text(written).encode()) > _MOST_BYTES:
        raise ContainerError(f"columns of more than {_MOST_BYTES} bytes")
    return written


def column_kinds(rows: Iterable[Mapping[str, Any]]) -> ColumnKinds:
    """The kinds of columns that all `rows` fit in, in the order in which columns appear.

    Rows that cannot be written, see `written_columns`, do not count.
    """
    kinds: dict[str, str] = {}
    for row in rows:
        try:
            written = written_columns(row)
        except ContainerError:
            continue
        for name, value in written.items():
            kinds[name] = _joined(kinds.get(name, _NULL), _kind(value))
    return {name: kind.replace(_NULL, "text") for name, kind in kinds.items()}


def column_value(value: Any, kind: str) -> Any:
    """`value`, cleaned, as a column of `kind` has it.

    Raises:
        ContainerError: it is of another kind.
    """
    if value is None:
        return None
    if _joined(kind, _kind(value)) != kind:
        raise ContainerError(f"{shown(value)} in a column of {kind}")
    if (inner := _LIST.fullmatch(kind)) is not None:
        return [column_value(each, inner[1]) for each in value]
    if kind == "float":
        return float(value)
    if kind == "json" or (kind == "text" and not isinstance(value, str)):
        return json_text(value)
    return value


def scalar_value(value: Any) -> bool | int | float | str:
    """A cleaned `value` that is not null, for formats without lists: JSON text in place of them."""
    if isinstance(value, list | dict):
        return json_text(value)
    assert isinstance(value, bool | int | float | str)
    return value


def plain_name(name: str, taken: Collection[str]) -> str:
    """`name` as a file may be called, and none of `taken`."""
    plain = re.sub(r"[^\w .-]", "_", name).strip(". ")[:80] or "_"
    while plain in taken:
        plain += "_"
    return plain


def json_text(value: Any) -> str:
    """`value` as JSON, all characters as they are."""
    return json.dumps(value, ensure_ascii=False)


def _free_name(name: str, columns: Mapping[str, Any]) -> str:
    if name not in ITEM_NAMES:
        return name
    name = _PREFIX + name
    while name in columns:
        name = _PREFIX + name
    return name


def _kind(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        inner = _NULL
        for each in value:
            inner = _joined(inner, _kind(each))
        return "json" if inner == "json" or inner.startswith("list") else f"list<{inner}>"
    return "json"


def _joined(one: str, other: str) -> str:
    """The kind that values of both kinds fit in."""
    if one == other or other == _NULL:
        return one
    if one == _NULL:
        return other
    lists = _LIST.fullmatch(one), _LIST.fullmatch(other)
    if lists[0] is not None and lists[1] is not None:
        return f"list<{_joined(lists[0][1], lists[1][1])}>"
    if any(lists) or "json" in (one, other):
        return "json"
    return "float" if {one, other} == {"int", "float"} else "text"
