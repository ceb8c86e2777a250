"""Arrays in NumPy's `.npy` format, of few types and bounded size: never pickled objects."""

import io
import math
import warnings
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.text import shown
from encodec_cli.tokens.item import TokenItem, plain_shape
from encodec_cli.tokens.reading import loose_item

__all__ = ["array_bytes", "read_array", "read_npy"]

_MAX_HEADER_BYTES = 4096
_MAX_TEXT_BYTES = 1 << 16
_MAX_SCALES = 1 << 20
_READ_BYTES = 1 << 20
# The header is a Python literal; this is what parsing hostile ones raises.
_BAD_HEADER = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    SyntaxError,
    IndexError,
    KeyError,
    TokenError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def array_bytes(array: NDArray[Any]) -> bytes:
    """`array` as a `.npy` file."""
    file = io.BytesIO()
    npy_format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def read_array(file: IO[bytes], name: str) -> NDArray[Any]:
    """Read array `name` from an open `.npy` file, to its end.

    `codes` must be numbers of a shape that `plain_shape` takes, `scales` floats [segments],
    all else a single number or text. Nothing is allocated before that has been checked.

    Raises:
        ContainerError: damaged, of another type, or larger than any recording needs.
    """
    try:
        version = npy_format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ContainerError(f"{name}: .npy version {version[0]} is not known")
        read = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        with warnings.catch_warnings():  # Python 2's headers are read, and complained of
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(file, max_header_size=_MAX_HEADER_BYTES)
    except _BAD_HEADER as error:
        line = " ".join(str(error).split())[:120]
        raise ContainerError(f"{name}: not a plain .npy array: {line}") from error
    _check(name, shape, dtype)
    size = math.prod(shape) * dtype.itemsize
    data = _read(file, size)
    if len(data) != size or file.read(1):
        raise ContainerError(f"{name}: truncated, or longer than its header says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _read(file: IO[bytes], size: int) -> bytes:
    """`size` bytes, fewer at the end; memory grows with what is there, not with what is said."""
    parts = []
    while size > 0 and (part := file.read(min(size, _READ_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_npy(path: Path) -> TokenItem:
    """Codes alone, as `numpy.save` writes them.

    Raises:
        ContainerError: see `read_array`.
    """
    with path.open("rb") as file:
        return loose_item(path.stem, read_array(file, "codes"), None, {})


def _check(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    # A header may hold True for a number, which counts as 1 but does not print as one.
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ContainerError(f"{name}: shape {shown(shape)}: not whole numbers")
    if name == "codes":
        fits = dtype.kind in "iuf"
        plain_shape(shape)
    elif name == "scales":
        fits = dtype.kind == "f" and len(shape) == 1 and shape[0] <= _MAX_SCALES
    else:
        fits = dtype.kind in "iufU" and not shape and dtype.itemsize <= _MAX_TEXT_BYTES
    if not fits:
        raise ContainerError(
            f"{name}: {dtype} of shape {list(shape)[:4]} is not what belongs there"
        )
