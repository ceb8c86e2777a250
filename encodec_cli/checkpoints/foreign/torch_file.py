"""Files that torch.save wrote: opened without running code, checked before they are believed.

audiocraft's training checkpoints keep their config as objects of omegaconf. Those are unpickled as
empty classes of this module, which have no code to run, and `plain_config` reads what is in them.
"""

import collections
import typing
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from encodec_cli.errors import CheckpointError

__all__ = ["load_torch_file", "plain_config", "plain_tensors"]

_MOST_BYTES = 4 << 30
_MOST_NODES = 100_000


class _Node:
    """Stands for a class of omegaconf: `_content` of a container, or `_val` of a value."""


class _Metadata:
    """Stands for what omegaconf notes of a node; of no interest here."""


_HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Node, "omegaconf.dictconfig.DictConfig"),
    (_Node, "omegaconf.listconfig.ListConfig"),
    *((_Node, f"omegaconf.nodes.{name}Node") for name in ("Any", "Integer", "Float", "String")),
    (_Node, "omegaconf.nodes.BooleanNode"),
    (_Metadata, "omegaconf.base.Metadata"),
    (_Metadata, "omegaconf.base.ContainerMetadata"),
    (typing.cast(Callable[..., Any], typing.Any), "typing.Any"),
    collections.defaultdict,
    *(dict, list, tuple, int, float, str, bool),
]


def load_torch_file(path: Path) -> Any:
    """The object in `path`: tensors and plain containers of them.

    Raises:
        CheckpointError: damaged, unpacks to far more than its size, or holds Python objects.
    """
    _check_archive(path)
    try:
        # weights_only: unpickles tensors and plain containers, refuses anything that runs code.
        with safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for damaged and hostile files
        line = " ".join(str(error).split())
        if "weights_only" in line or "Unsupported global" in line:
            line = "it holds Python objects, which could run code; only plain tensors are read"
            if any(name.startswith("omegaconf.") for name in _classes(path)):
                line += (
                    "; of an audiocraft training checkpoint, make an export with "
                    "audiocraft.utils.export.export_encodec and name that"
                )
        raise CheckpointError(f"{path}: not a readable checkpoint: {line[:250]}") from error


def _classes(path: Path) -> list[str]:
    """Names of the classes that a file wants, beyond those of plain tensors."""
    try:
        return get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it is not even a pickle; the error that led here says so
        return []


def plain_config(node: Any) -> Any:
    """A config of omegaconf's, as unpickled here, in plain mappings, lists and values.

    Raises:
        ValueError: it has too many or too deep nodes.
    """
    try:
        return _plain(node, iter(range(_MOST_NODES)))
    except (StopIteration, RecursionError):
        raise ValueError("a config of endless size") from None


def _plain(node: Any, budget: Iterator[int]) -> Any:
    next(budget)
    if not isinstance(node, _Node):
        return node
    content = vars(node).get("_content", vars(node).get("_val"))
    if isinstance(content, dict):
        return {key: _plain(value, budget) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(value, budget) for value in content]
    return content


def plain_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    """`state` if it is a flat dictionary of ordinary tensors that `path` has the bytes for.

    Raises:
        CheckpointError: it is anything else.
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise CheckpointError(f"{path}: not a flat dictionary of tensors, as Meta's .th files are")
    most = 2 * path.stat().st_size + (1 << 20)
    for name, value in state.items():
        # Sparse, quantized and expanded tensors hold more numbers than the file has bytes for.
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise CheckpointError(f"{path}: {name}: not a plain tensor")
        if not value.is_floating_point():
            raise CheckpointError(f"{path}: {name}: holds {value.dtype}, not fp32 or fp16 numbers")
        if value.numel() * value.element_size() > most:
            raise CheckpointError(f"{path}: {name}: larger than the file; not a checkpoint")
    return dict(state)


def _check_archive(path: Path) -> None:
    """Refuse an archive that would unpack to far more than its own size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged archive: {error}") from error
    if sum(sizes) > min(_MOST_BYTES, 2 * path.stat().st_size + (1 << 20)):
        raise CheckpointError(f"{path}: unpacks to {sum(sizes)} bytes; not a checkpoint")
