"""Tensors in bfloat16 of a safetensors file, as float32; numpy has no such type of its own."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_bfloat16"]


def read_bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """The tensor `name` of `path`, a safetensors file whose header was checked when it was opened.

    A bfloat16 is the upper half of the float32 of the same value, so nothing is rounded.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(start - 8))[name]
        first, end = entry["data_offsets"]
        file.seek(start + first)
        upper = np.frombuffer(file.read(end - first), "<u2")
    whole = (upper.astype(np.uint32) << 16).view(np.float32)
    return whole.reshape(entry["shape"])
