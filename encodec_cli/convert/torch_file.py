"""Files that torch.save wrote: opened without running code, checked before they are believed."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_cli.errors import CheckpointError

__all__ = ["load_torch_file", "plain_tensors"]

_MOST_BYTES = 4 << 30


def load_torch_file(path: Path) -> Any:
    """The object in `path`: tensors and plain containers of them.

    Raises:
        CheckpointError: damaged, unpacks to far more than its size, or holds Python objects.
    """
    _check_archive(path)
    try:
        # weights_only: unpickles tensors and plain containers, refuses anything that runs code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for damaged and hostile files
        line = " ".join(str(error).split())
        if "omegaconf." in line:
            raise CheckpointError(
                f"{path}: an audiocraft training checkpoint, whose xp.cfg is a Python object that "
                "only running code can read; export it with audiocraft.utils.export.export_encodec "
                "and name the exported file"
            ) from error
        if "weights_only" in line or "Unsupported global" in line:
            line = "it holds Python objects, which could run code; only plain tensors are read"
        raise CheckpointError(f"{path}: not a readable checkpoint: {line[:200]}") from error


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
