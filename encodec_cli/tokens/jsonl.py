"""JSON Lines: a recording a line, as data sets of language models have it.

{"key": "talks/anna", "codes": [[12, 4, ...], ...], "n_q": 8, "sample_rate": 24000, "text": ...}
[12, 1036, 2060, 7, ...]      flat, or nested; its key is the number of the line
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from encodec_cli.errors import ContainerError
from encodec_cli.tokens.columns import json_text
from encodec_cli.tokens.item import BadItem, TokenItem
from encodec_cli.tokens.reading import loose_item
from encodec_cli.tokens.writing import Arrangement, row_of

__all__ = ["JsonLinesShard", "jsonl_keys", "read_jsonl"]

_MOST_LINE = 64 << 20
_MOST_LISTS = 2_000_000  # empty ones take thirty times their bytes
_KEYS = ("key", "__key__", "id", "audio_id", "utt_id")
_CODES = ("codes", "audio_codes", "tokens", "audio_tokens", "input_ids")


class JsonLinesShard:
    """Appends items to a file, a line each. Equal items give equal bytes."""

    def __init__(self, file: BinaryIO, arrangement: Arrangement) -> None:
        self._file = file
        self._arrangement = arrangement

    def add(self, item: TokenItem) -> None:
        row = row_of(item, self._arrangement)
        fields: dict[str, Any] = {"key": row.key, "codes": row.codes.tolist()}
        if row.scales is not None:
            fields["scales"] = row.scales.tolist()
        line = json_text(fields | row.metadata | row.columns).encode()
        if len(line) > _MOST_LINE:
            raise ContainerError(
                f"a line of {len(line)} bytes, and at most {_MOST_LINE} are read; cut the "
                "recording in pieces, or choose another format"
            )
        self._file.write(line + b"\n")

    def finish(self) -> None:
        self._file.flush()


def jsonl_keys(path: Path) -> list[str]:
    """Keys of the lines of a file that `JsonLinesShard` wrote, in order.

    Raises:
        ContainerError: see `read_jsonl`; or a line that is not whole.
    """
    keys = []
    for item in read_jsonl(path):
        if isinstance(item, BadItem):
            raise ContainerError(f"{item.key}: {item.reason}")
        keys.append(item.key)
    return keys


def read_jsonl(path: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a file, in order; empty lines are passed over.

    Raises:
        ContainerError: a line of more than 64 MiB.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MOST_LINE + 1):
            number += 1
            if len(line) > _MOST_LINE:
                raise ContainerError(f"line {number}: longer than {_MOST_LINE} bytes")
            if line.strip():
                try:
                    yield _item(line, f"line-{number:05d}")
                except ContainerError as error:
                    yield BadItem(f"line {number}", str(error))


def _item(line: bytes, key: str) -> TokenItem:
    if line.count(b"[") + line.count(b"{") > _MOST_LISTS:
        raise ContainerError(f"more than {_MOST_LISTS} lists")
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"not JSON: {' '.join(str(error).split())[:120]}") from error
    fields = data if isinstance(data, dict) else {"codes": data}
    name = next((n for n in _CODES if n in fields), None)
    if name is None:
        raise ContainerError(f"none of {', '.join(_CODES)} in it")
    key = str(next((fields[n] for n in _KEYS if n in fields), key))
    codes = _array(fields[name], name)
    scales = fields.get("scales") if "n_q" in fields else None  # others may call anything scales
    return loose_item(key, codes, None if scales is None else _scales(scales), fields)


def _scales(values: Any) -> "np.ndarray[Any, np.dtype[np.float32]]":
    array = _array(values, "scales")
    if array.ndim != 1:
        raise ContainerError(f"scales: of shape {list(array.shape)[:4]}, not a list of numbers")
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _array(values: Any, name: str) -> "np.ndarray[Any, np.dtype[Any]]":
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ContainerError(f"{name}: the codebooks differ in length") from error
    if array.dtype.kind not in "iuf":
        raise ContainerError(f"{name}: not lists of whole numbers")
    return array
