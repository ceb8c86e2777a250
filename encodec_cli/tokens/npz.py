"""One recording per `.npz` file: `codes`, `scales`, and a scalar for everything else."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from encodec_cli.errors import ContainerError
from encodec_cli.io.archive import opened_archive
from encodec_cli.io.limits import check_unpacked
from encodec_cli.tokens.item import INFO_FIELDS, TokenInfo, TokenItem
from encodec_cli.tokens.npy import array_bytes, read_array

__all__ = ["read_npz", "write_npz"]

_NAMES = ("codes", "scales", "n_q", *INFO_FIELDS)
_MAX_ENTRIES = 1000


def write_npz(file: BinaryIO, item: TokenItem) -> None:
    """Write `item` to `file`; `numpy.load` reads it. Equal items give equal bytes."""
    arrays = {"codes": item.codes.astype(np.uint16)}
    if item.scales is not None:
        arrays["scales"] = item.scales.astype(np.float32)
    arrays |= {name: np.array(value) for name, value in item.metadata().items()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(entry, array_bytes(array), zipfile.ZIP_DEFLATED)


def read_npz(path: Path) -> TokenItem:
    """Read what `write_npz` or `numpy.savez` wrote; only `codes` is required.

    Raises:
        ContainerError: no such archive, damaged, or arrays that are not what belongs there.
    """
    packed = path.stat().st_size
    with opened_archive(path, _MAX_ENTRIES) as archive:
        arrays = {
            name: _read(archive, name, packed)
            for name in _NAMES
            if f"{name}.npy" in archive.NameToInfo
        }
    if "codes" not in arrays:
        raise ContainerError("holds no array named codes")
    codes, scales = arrays.pop("codes"), arrays.pop("scales", None)
    n_q = arrays.pop("n_q", None)
    if n_q is not None and n_q.item() != codes.shape[0]:
        raise ContainerError(f"n_q says {n_q.item()}, but codes have shape {list(codes.shape)}")
    info = TokenInfo.from_mapping({name: _value(name, array) for name, array in arrays.items()})
    return TokenItem(path.stem, codes, scales, info)


def _read(archive: zipfile.ZipFile, name: str, packed: int) -> np.ndarray[Any, np.dtype[Any]]:
    entry = archive.getinfo(f"{name}.npy")
    check_unpacked(entry.file_size, packed, name)
    with archive.open(entry) as file:
        return read_array(file, name)


def _value(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> Any:
    try:
        return array.item()
    except ValueError as error:  # 32 bits that are no character
        raise ContainerError(f"{name}: not text") from error
