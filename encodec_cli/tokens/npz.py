"""One recording per `.npz` file: `codes`, `scales`, and a scalar for everything else.

Lists and objects of a corpus's columns are JSON text; null is left out.
"""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError
from encodec_cli.io.archive import opened_archive
from encodec_cli.io.limits import check_unpacked
from encodec_cli.tokens.columns import plain_name, scalar_value
from encodec_cli.tokens.item import INFO_FIELDS, ITEM_NAMES, TokenItem
from encodec_cli.tokens.npy import array_bytes, read_array
from encodec_cli.tokens.reading import loose_item
from encodec_cli.tokens.writing import Arrangement, row_of

__all__ = ["read_npz", "write_npz"]

_NAMES = ("scales", "n_q", "codes_arrangement", *INFO_FIELDS)
# Bark's prompts: fine has all 8 codebooks of EnCodec, coarse the first 2.
_CODES = ("codes", "fine_prompt", "coarse_prompt", "audio_codes", "arr_0")
_BARK_SEMANTIC = "semantic_prompt"
_MAX_ENTRIES = 2000


def write_npz(file: BinaryIO, item: TokenItem, arrangement: Arrangement) -> None:
    """Write `item` to `file`; `numpy.load` reads it. Equal items give equal bytes.

    Raises:
        UsageError, ContainerError: see `row_of`.
    """
    row = row_of(item, arrangement)
    arrays: dict[str, NDArray[Any]] = {"codes": row.codes}
    if row.scales is not None:
        arrays["scales"] = row.scales
    arrays |= {name: np.array(value) for name, value in row.metadata.items()}
    for name, value in row.columns.items():
        if value is not None:
            arrays[plain_name(name, {*arrays, *ITEM_NAMES})] = np.array(scalar_value(value))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(entry, array_bytes(array), zipfile.ZIP_DEFLATED)


def read_npz(path: Path) -> TokenItem:
    """Read what `write_npz` or `numpy.savez` wrote; only codes are required.

    Bark's prompts are read too: the finest that are there.

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
        codes = _read(archive, _codes_name(archive), packed, kind="codes")
    scales = arrays.pop("scales", None)
    metadata = {name: _value(name, array) for name, array in arrays.items()}
    return loose_item(path.stem, codes, scales, metadata)


def _codes_name(archive: zipfile.ZipFile) -> str:
    """Which array holds the codes: `codes`, what Bark calls its, or the only one there is."""
    names = [entry.removesuffix(".npy") for entry in archive.NameToInfo]
    for name in _CODES:
        if name in names:
            return name
    if len(names) == 1 and names[0] not in _NAMES:
        return names[0]
    if _BARK_SEMANTIC in names:
        raise ContainerError(
            "holds Bark's semantic tokens alone, which are no codec's; Bark makes coarse_prompt "
            "and fine_prompt of them"
        )
    raise ContainerError("holds no array named codes")


def _read(
    archive: zipfile.ZipFile, name: str, packed: int, kind: str | None = None
) -> np.ndarray[Any, np.dtype[Any]]:
    entry = archive.getinfo(f"{name}.npy")
    check_unpacked(entry.file_size, packed, name)
    with archive.open(entry) as file:
        return read_array(file, kind or name)


def _value(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> Any:
    try:
        return array.item()
    except ValueError as error:  # 32 bits that are no character
        raise ContainerError(f"{name}: not text") from error
