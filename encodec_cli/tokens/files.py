"""Files of tokens, read in the format that their suffix names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from encodec_cli.errors import ContainerError
from encodec_cli.tokens.item import BadItem, TokenItem
from encodec_cli.tokens.jsonl import read_jsonl
from encodec_cli.tokens.npy import read_npy
from encodec_cli.tokens.npz import read_npz
from encodec_cli.tokens.parquet import read_parquet
from encodec_cli.tokens.shar import cuts_beside, read_shar
from encodec_cli.tokens.tar import read_tar
from encodec_cli.tokens.tensors import read_safetensors

__all__ = ["MANY_SUFFIXES", "READ_SUFFIXES", "read_items"]

_ONE: Mapping[str, Callable[[Path], TokenItem]] = MappingProxyType(
    {".npy": read_npy, ".npz": read_npz, ".safetensors": read_safetensors}
)
MANY_SUFFIXES = frozenset({".jsonl", ".parquet", ".tar"})
"""Files of many recordings."""
READ_SUFFIXES = MANY_SUFFIXES | frozenset(_ONE)
"""Files that are read."""


def read_items(path: Path) -> Iterator[TokenItem | BadItem]:
    """The items of a file of any format, by its suffix.

    Raises:
        ContainerError: missing, damaged, or not of that format; `path` is named.
        UsageError: a package that the format needs is missing.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in _ONE:
            yield _ONE[suffix](path)
        elif suffix == ".jsonl":
            yield from read_jsonl(path)
        elif suffix == ".parquet":
            yield from read_parquet(path)
        elif (cuts := cuts_beside(path)) is not None:
            yield from read_shar(path, cuts)
        else:
            yield from read_tar(path)
    except ContainerError as error:
        raise error.about(path) from error
    except FileNotFoundError as error:
        raise ContainerError(f"{path}: no such file; check the name") from error
    except OSError as error:
        raise ContainerError(f"{path}: cannot read: {error.strerror or error}") from error
