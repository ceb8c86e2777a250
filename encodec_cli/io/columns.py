"""Values of a corpus, as JSON has them, made fit for every output."""

import math
from collections.abc import Mapping
from typing import Any

from encodec_cli.errors import ContainerError
from encodec_cli.io.text import printable, shown

__all__ = ["check_names", "plain_columns", "plain_value"]

_MOST_COLUMNS = 1000
_MOST_NAME = 200
_MOST_DEPTH = 16
_MOST_INTEGER = 1 << 63
_MOST_BITS = 4096  # more takes ever longer to write in decimal


def plain_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `values` by their names: text, numbers, true and false, null, lists and objects of them.

    Numbers that JSON has not (NaN, Infinity) become null; whole numbers beyond 64 bits, and
    characters that are none (lone surrogates), become text that shows them.

    Raises:
        ContainerError: too many, or too deep.
    """
    check_names(values)
    return {name: plain_value(value) for name, value in values.items()}


def check_names(names: Mapping[str, Any] | list[str]) -> None:
    """Refuse columns that no table has.

    Raises:
        ContainerError: too many; a name that is empty, long or not printable; one there twice.
    """
    if len(names) > _MOST_COLUMNS:
        raise ContainerError(f"{len(names)} columns; at most {_MOST_COLUMNS} are read")
    for name in names:
        if not name or len(name) > _MOST_NAME or not name.isprintable():
            raise ContainerError(f"a column named {shown(name)}; give it a short plain name")
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise ContainerError(f"two columns named {twice}")


def plain_value(value: Any, depth: int = 0) -> Any:
    """`value` as `plain_columns` has it.

    Raises:
        ContainerError: lists in lists beyond 16 levels.
    """
    if depth > _MOST_DEPTH:
        raise ContainerError(f"values in more than {_MOST_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if _is_text(value) else printable(value)
    if isinstance(value, int):
        if -_MOST_INTEGER <= value < _MOST_INTEGER:
            return value
        return str(value) if value.bit_length() <= _MOST_BITS else shown(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {
            plain_value(str(name)): plain_value(each, depth + 1) for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_value(each, depth + 1) for each in value]
    return printable(str(value))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
