"""JSON Lines: a recording a line, as data sets of language models have it.

{"key": "talks/anna", "codes": [[12, 4, ...], ...], "sample_rate": 24000, ...}
[12, 1036, 2060, 7, ...]      flat, or nested; its key is the number of the line
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from encodec_cli.errors import ContainerError
from encodec_cli.tokens.item import BadItem, TokenInfo, TokenItem, loose_item

__all__ = ["read_jsonl"]

_MOST_LINE = 16 << 20
_KEYS = ("key", "__key__", "id", "audio_id", "utt_id")
_CODES = ("codes", "audio_codes", "tokens", "audio_tokens", "input_ids")


def read_jsonl(path: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a file, in order; empty lines are passed over.

    Raises:
        ContainerError: a line of more than 16 MiB.
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
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"not JSON: {' '.join(str(error).split())[:120]}") from error
    fields = data if isinstance(data, dict) else {"codes": data}
    name = next((n for n in _CODES if n in fields), None)
    if name is None:
        raise ContainerError(f"none of {', '.join(_CODES)} in it")
    key = str(next((fields[n] for n in _KEYS if n in fields), key))
    return loose_item(
        key, _array(fields[name], name), None, TokenInfo.from_mapping(fields), fields.get("n_q")
    )


def _array(values: Any, name: str) -> "np.ndarray[Any, np.dtype[Any]]":
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ContainerError(f"{name}: the codebooks differ in length") from error
    if array.dtype.kind not in "iuf":
        raise ContainerError(f"{name}: not lists of whole numbers")
    return array
