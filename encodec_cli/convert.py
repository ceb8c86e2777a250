"""Meta's `.th` checkpoints: recognised by their tensors, renamed to ours, never executed.

Source of the layout: the state of `encodec.EncodecModel` (peers: facebookresearch/encodec).
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encodec_cli.config import CodecConfig, load_codec_config
from encodec_cli.errors import CheckpointError
from encodec_cli.model_file import ModelCard
from encodec_cli.resources import configs_folder

__all__ = ["load_meta_checkpoint", "meta_card", "rename_meta_state"]

_MOST_BYTES = 4 << 30
_TRAINING_STATE = re.compile(
    r"^quantizer\.vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)$"
)


def load_meta_checkpoint(path: Path) -> tuple[CodecConfig, dict[str, Tensor]]:
    """Config and folded weights of Meta's 24 or 48 kHz `.th` file.

    Raises:
        CheckpointError: not a torch file, holds anything but tensors, or is another model.
    """
    state = _load_tensors(path)
    # The normalisation tells the two apart: weights in two parts, or norm layers.
    if "encoder.model.0.conv.conv.weight_g" in state:
        name = "encodec_24khz"
    elif "encoder.model.0.conv.norm.weight" in state:
        name = "encodec_48khz"
    else:
        raise CheckpointError(
            f"{path}: not Meta's EnCodec 24 or 48 kHz checkpoint; its first keys are "
            f"{', '.join(sorted(state)[:3]) or 'none'}"
        )
    try:
        return load_codec_config(configs_folder() / f"{name}.yaml"), rename_meta_state(state)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def meta_card(path: Path) -> ModelCard:
    """What can be said of Meta's `.th` file, which carries no metadata.

    Raises:
        CheckpointError: see `load_meta_checkpoint`.
    """
    config, state = load_meta_checkpoint(path)
    return ModelCard(
        path=path,
        config=config,
        licence="MIT (Meta's published EnCodec weights; otherwise unstated)",
        training_data="unstated",
        metrics={},
        parameters=sum(value.numel() for value in state.values()),
        dtype="F32",
        identity=None,
    )


def rename_meta_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold `weight_g` and `weight_v` into `weight`, drop the codebooks' training state.

    Raises:
        ValueError: one half of a folded weight is missing or does not fit the other.
    """
    folded: dict[str, Tensor] = {}
    for name, value in state.items():
        if _TRAINING_STATE.match(name):
            continue
        if name.endswith(".weight_v"):
            stem = name.removesuffix("_v")
            gain = state.get(f"{stem}_g")
            if gain is None:
                raise ValueError(f"missing {stem}_g beside {name}")
            if not value.dim() or gain.shape != (value.shape[0], *[1] * (value.dim() - 1)):
                raise ValueError(f"{stem}_g: shape {tuple(gain.shape)} does not fit {name}")
            # As torch's weight_norm with dim=0; the same for transposed convolutions.
            folded[stem] = torch._weight_norm(value.float(), gain.float(), 0)
        elif name.endswith(".weight_g"):
            if f"{name.removesuffix('_g')}_v" not in state:
                raise ValueError(f"missing {name.removesuffix('_g')}_v beside {name}")
        else:
            folded[name] = value
    return folded


def _load_tensors(path: Path) -> dict[str, Tensor]:
    _check_archive(path)
    try:
        # weights_only: unpickles tensors and plain containers, refuses anything that runs code.
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for damaged and hostile files
        line = " ".join(str(error).split())
        if "weights_only" in line or "Unsupported global" in line:
            line = "it holds Python objects, which could run code; only plain tensors are read"
        raise CheckpointError(f"{path}: not a readable checkpoint: {line[:200]}") from error
    if not isinstance(state, dict) or not all(
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
    return state


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
