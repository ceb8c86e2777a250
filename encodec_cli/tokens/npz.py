"""One recording per `.npz` file: `codes`, `scales`, and a scalar for everything else."""

import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from encodec_cli.errors import ContainerError
from encodec_cli.io.archive import opened_archive
from encodec_cli.io.limits import check_unpacked
from encodec_cli.tokens.item import INFO_FIELDS, TokenInfo, TokenItem, loose_item
from encodec_cli.tokens.npy import array_bytes, read_array

__all__ = ["read_npz", "write_npz"]

_NAMES = ("scales", "n_q", *INFO_FIELDS)
# Bark's prompts: fine has all 8 codebooks of EnCodec, coarse the first 2.
_CODES = ("codes", "fine_prompt", "coarse_prompt", "audio_codes", "arr_0")
_BARK_SEMANTIC = "semantic_prompt"
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
    scales, n_q = arrays.pop("scales", None), arrays.pop("n_q", None)
    info = TokenInfo.from_mapping({name: _value(name, array) for name, array in arrays.items()})
    return loose_item(path.stem, codes, scales, info, None if n_q is None else n_q.item())


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
