"""Files of tokens, read and written in the format that their suffix names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol

from encodec_cli.errors import ContainerError
from encodec_cli.tokens.item import BadItem, TokenItem
from encodec_cli.tokens.jsonl import read_jsonl
from encodec_cli.tokens.npy import read_npy
from encodec_cli.tokens.npz import read_npz, write_npz
from encodec_cli.tokens.parquet import ParquetShard, parquet_keys, read_parquet
from encodec_cli.tokens.tar import TarShard, read_tar, tar_keys
from encodec_cli.tokens.tensors import read_safetensors, write_safetensors

__all__ = [
    "MANY_SUFFIXES",
    "READ_SUFFIXES",
    "SHARD_SUFFIXES",
    "SINGLE_SUFFIXES",
    "Shard",
    "open_shard",
    "read_items",
    "read_keys",
    "write_item",
]


class Shard(Protocol):
    """A file being filled with items."""

    def add(self, item: TokenItem) -> None:
        """Append an item."""

    def finish(self) -> None:
        """Complete the file. Mandatory, and the last call."""


_Writer = Callable[[BinaryIO, TokenItem], None]
_SINGLE: Mapping[str, tuple[_Writer, Callable[[Path], TokenItem]]] = MappingProxyType(
    {".npz": (write_npz, read_npz), ".safetensors": (write_safetensors, read_safetensors)}
)
SINGLE_SUFFIXES = frozenset(_SINGLE)
"""Files of one recording."""
SHARD_SUFFIXES = frozenset({".parquet", ".tar"})
"""Files of many."""
READ_SUFFIXES = SINGLE_SUFFIXES | SHARD_SUFFIXES | {".npy", ".jsonl"}
"""Files that are read; `.npy` has one recording, `.jsonl` many."""
MANY_SUFFIXES = SHARD_SUFFIXES | {".jsonl"}


def write_item(file: BinaryIO, item: TokenItem, suffix: str) -> None:
    """Write `item` to `file` in the format of `suffix`, one of `SINGLE_SUFFIXES`."""
    _SINGLE[suffix][0](file, item)


def open_shard(file: BinaryIO, suffix: str) -> Shard:
    """Start a shard in `file`, in the format of `suffix`, one of `SHARD_SUFFIXES`.

    Raises:
        UsageError: a package that the format needs is missing.
    """
    return ParquetShard(file) if suffix == ".parquet" else TarShard(file)


def read_items(path: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a file of any format, by its suffix.

    Raises:
        ContainerError: missing, damaged, or not of that format; `path` is named.
        UsageError: a package that the format needs is missing.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in _SINGLE:
            yield _SINGLE[suffix][1](path)
        elif suffix == ".npy":
            yield read_npy(path)
        elif suffix == ".jsonl":
            yield from read_jsonl(path)
        elif suffix == ".parquet":
            yield from read_parquet(path)
        else:
            yield from read_tar(path)
    except ContainerError as error:
        raise error.about(path) from error
    except FileNotFoundError as error:
        raise ContainerError(f"{path}: no such file; check the name") from error
    except OSError as error:
        raise ContainerError(f"{path}: cannot read: {error.strerror or error}") from error


def read_keys(path: Path) -> list[str]:
    """Keys of the items in a shard, in order.

    Raises:
        ContainerError: see `read_items`.
    """
    try:
        return parquet_keys(path) if path.suffix == ".parquet" else tar_keys(path)
    except ContainerError as error:
        raise error.about(path) from error
