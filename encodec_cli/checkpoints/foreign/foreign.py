"""Checkpoints of other programs, read into our names whatever wrote them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from encodec_cli.checkpoints.card import ModelCard
from encodec_cli.checkpoints.foreign.audiocraft import CONFIG_KEY, read_audiocraft
from encodec_cli.checkpoints.foreign.huggingface import (
    codec_config,
    read_hub_config,
    rename_hub_state,
)
from encodec_cli.checkpoints.foreign.identify import HUB_CONFIG, Layout, refuse_start
from encodec_cli.checkpoints.foreign.meta import meta_identity, read_meta
from encodec_cli.checkpoints.foreign.torch_file import load_torch_file, plain_tensors
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.tensors import expected_shapes
from encodec_cli.errors import CheckpointError, ConfigError

__all__ = ["Foreign", "read_foreign"]

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MOST_INDEX_BYTES = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Foreign:
    """A checkpoint's card, and its folded weights under our names."""

    card: ModelCard
    state: dict[str, Tensor]


def read_foreign(path: Path, layout: Layout) -> Foreign:
    """Read the checkpoint that `identify` says is of `layout`, not "ours".

    Raises:
        CheckpointError: damaged, incomplete, holds code, or is no codec of this family.
    """
    try:
        if layout == "huggingface":
            return _read_hub(path)
        content = load_torch_file(path)
        if isinstance(content, Mapping):
            if "pretrained" in content or CONFIG_KEY in content:
                config, state = read_audiocraft(content, path)
                licence = "unstated (what audiocraft publishes is CC-BY-NC 4.0)"
                return _foreign(path, [path], config, state, licence, None)
            if {"state_dict", "metadata"} <= content.keys():
                raise CheckpointError(
                    f"{path}: a checkpoint of audiotools, as the Descript Audio Codec (DAC) has "
                    "them; this program runs EnCodec models"
                )
            if any(isinstance(k, str) and k.startswith("encoder.layers.") for k in content):
                if not (path.parent / HUB_CONFIG).is_file():
                    raise CheckpointError(
                        f"{path}: Hugging Face's EnCodec without its {HUB_CONFIG}; "
                        "put that beside it"
                    )
                return _hub(path, [path], plain_tensors(content, path), None)
        config, state = read_meta(content, path)
        licence = "MIT (Meta's published EnCodec weights; otherwise unstated)"
        return _foreign(path, [path], config, state, licence, meta_identity(content))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _foreign(
    path: Path,
    files: Sequence[Path],
    config: CodecConfig,
    state: dict[str, Tensor],
    licence: str,
    identity: str | None,
) -> Foreign:
    dtypes = {"F16" if v.dtype == torch.float16 else "F32" for v in state.values()}
    known = identity is not None and _SHA256.fullmatch(identity)
    card = ModelCard(
        path=path,
        config=config,
        licence=licence,
        training_data="unstated",
        metrics={},
        parameters=sum(value.numel() for value in state.values()),
        dtype="/".join(sorted(dtypes)),
        identity=identity if known else _sha256(files),
        bytes=sum(file.stat().st_size for file in files),
    )
    return Foreign(card, state)


def _read_hub(path: Path) -> Foreign:
    """A folder with `config.json`, or the safetensors file beside one."""
    first = _weights_file(path) if path.is_dir() else path
    files = _shards(first) if first.suffix == ".json" else [first]
    state: dict[str, Tensor] = {}
    identities = []
    for file in files:
        refuse_start(file)
        if file.suffix == ".bin":
            state |= plain_tensors(load_torch_file(file), file)
            continue
        try:
            with safe_open(file, framework="pt") as tensors:
                identities.append((tensors.metadata() or {}).get("identity"))
                state |= {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            line = " ".join(str(error).split())
            raise CheckpointError(f"{file}: not a readable safetensors file: {line}") from error
    return _hub(path, files, state, identities[0] if len(identities) == 1 else None)


def _hub(
    path: Path, files: Sequence[Path], state: dict[str, Tensor], identity: str | None
) -> Foreign:
    place = (path if path.is_dir() else path.parent) / HUB_CONFIG
    try:
        config = codec_config(read_hub_config(place), state, str(place))
    except ConfigError as error:
        raise CheckpointError(error.args[0]) from error
    ours = expected_shapes(config, len(state), str(place))
    return _foreign(path, files, config, rename_hub_state(state, ours), "unstated", identity)


def _weights_file(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: has {HUB_CONFIG} but no {_WEIGHTS[0]} or {_WEIGHTS[2]}")


def _shards(index: Path) -> list[Path]:
    """The files that an index of shards names, in order."""
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError(f"larger than {_MOST_INDEX_BYTES} bytes")
        data: Any = json.loads(index.read_bytes())
        names = set(data["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: not an index of weights: {error}") from error
    files = []
    for name in sorted(map(str, names)):
        if Path(name).name != name or not name.endswith((".safetensors", ".bin")):
            raise CheckpointError(f"{index}: names {name!r}, which is no weights file beside it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: names {name}, which is missing; download it too")
        files.append(index.parent / name)
    return files


def _sha256(files: Sequence[Path]) -> str:
    """SHA-256 of the files' bytes, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
