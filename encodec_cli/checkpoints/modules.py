"""Torch modules in and out of files. See `card` for our format, `foreign` for those of others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from encodec_cli.checkpoints.card import (
    FORMAT_VERSION,
    ModelCard,
    file_sha256,
    find_model,
    read_card,
)
from encodec_cli.checkpoints.foreign.export import check_hub_target, export_hub, export_meta
from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.checkpoints.foreign.foreign import check_finite, read_foreign
from encodec_cli.checkpoints.foreign.identify import identify, refuse_config
from encodec_cli.checkpoints.foreign.told import read_told
from encodec_cli.checkpoints.lasting import lasting_weights
from encodec_cli.checkpoints.safetensors_bytes import sorted_metadata
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.tensors import check_shapes
from encodec_cli.errors import CheckpointError, ConfigError, UsageError, parameter
from encodec_cli.io.files import atomic_output, check_writable
from encodec_cli.model.module import CompressionModel
from encodec_cli.model.precision import set_precision

__all__ = [
    "build_and_load",
    "convert_checkpoint",
    "export_checkpoint",
    "folded_state",
    "load_model_file",
    "load_module",
    "read_checkpoint",
    "save_model",
]

_TRAINING_STATE = ("inited", "cluster_size", "embed_avg")


def load_module(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    config: Path | None = None,
    to_code: bool = True,
) -> CompressionModel:
    """A model as torch modules: by the name of a bundled one, or a path; see `load_model`.

    Raises:
        CheckpointError, UsageError: see `load_model`.
    """
    path = find_model(name_or_path)
    if to_code:
        path = lasting_weights(path)
    card, state = read_checkpoint(path, config)
    model = build_and_load(card.config, state, str(card.path))
    model.sha256 = card.identity or file_sha256(card.path)
    model.assumed = card.assumed
    model.path = card.path
    try:
        set_precision(model, dtype)
        return model.to(device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        line = " ".join(str(error).split())[:160]
        raise UsageError(f"{parameter('device', device)}: cannot be used here ({line})") from error


def load_model_file(path: Path) -> CompressionModel:
    """A model on the CPU in fp32, evaluation mode, weight norms folded.

    Raises:
        CheckpointError: see `load_model`.
    """
    card, state = read_checkpoint(path)
    return build_and_load(card.config, state, str(path))


def read_checkpoint(path: Path, config: Path | None = None) -> tuple[ModelCard, dict[str, Tensor]]:
    """Card and folded weights, under our names, of a checkpoint of any layout we know.

    `config`, a YAML file, says what another program's weights do not tell, see `foreign.told`.

    Raises:
        CheckpointError, UsageError, ConfigError: see `load_model`.
    """
    layout = identify(path)
    refuse_config(path, layout, config)
    if layout != "ours":
        foreign = read_foreign(path, layout, read_told(config))
        return foreign.card, foreign.state
    card = read_card(path)
    try:
        return card, load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged: {' '.join(str(error).split())}") from error


def build_and_load(config: CodecConfig, state: dict[str, Tensor], where: str) -> CompressionModel:
    """Build the model of `config` with the folded weights of `state`, key for key.

    Raises:
        CheckpointError: keys are missing or left over, shapes differ, or a weight is not finite.
    """
    check_shapes(config, {name: tuple(value.shape) for name, value in state.items()}, where)
    check_finite(state, where)
    model = _on_meta_device(config, where)
    weights = {name: value.float() for name, value in state.items()}
    for name, value in model.state_dict().items():
        if name.endswith("embed_avg"):  # training goes on from where the codebook stands
            weights[name] = weights[name.removesuffix("_avg")].clone()
        elif name not in weights:
            weights[name] = torch.ones(value.shape)
    model.load_state_dict(weights, assign=True)
    model.requires_grad_(False)
    return model.eval()


def save_model(
    model: CompressionModel,
    path: Path,
    *,
    licence: str,
    training_data: str,
    metrics: dict[str, Any] | None = None,
    identity: str | None = None,
    unfinished: bool = False,
    half: bool = True,
    force: bool = False,
) -> None:
    """Write `model` as one file of ours, in fp16 (`half`) or fp32; weight norms are folded.

    `identity` and `unfinished` are those of `ModelCard`.

    Raises:
        OutputError: `path` exists and not `force`, or cannot be written.
        CheckpointError: weights that are not finite, or too large for fp16.
    """
    state = {
        name: value.to(torch.float16 if half else torch.float32).contiguous().cpu()
        for name, value in folded_state(model).items()
        if not name.endswith(_TRAINING_STATE)
    }
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"{path}: {name}: not finite{' in fp16; save in fp32' if half else ''}"
            )
    metadata = {
        "format": "encodec-cli",
        "format_version": str(FORMAT_VERSION),
        "name": model.config.name,
        "licence": licence,
        "training_data": training_data,
        "metrics": json.dumps(metrics or {}),
        "config": json.dumps(folded_config(model.config).to_dict()),
    }
    if identity is not None:
        metadata["identity"] = identity
    if unfinished:
        metadata["unfinished"] = "true"
    with atomic_output(path, force=force) as file:
        file.write(sorted_metadata(save(state, metadata)))


def convert_checkpoint(
    source: Path,
    target: Path,
    *,
    half: bool = False,
    licence: str | None = None,
    config: Path | None = None,
    force: bool = False,
) -> ModelCard:
    """Write the model in `source`, of any layout we read, to `target` in our format.

    `config` is that of `load_model`.

    Raises:
        CheckpointError: see `load_model`.
        OutputError: `target` exists and not `force`, or cannot be written.
    """
    if target.suffix != ".safetensors":
        raise UsageError(f"{target}: our checkpoints end in .safetensors; name it so")
    check_writable(target, force=force)
    card, state = read_checkpoint(find_model(source), config)
    model = build_and_load(card.config, state, str(card.path))
    save_model(
        model,
        target,
        licence=licence or card.licence,
        training_data=card.training_data,
        metrics=card.metrics,
        identity=card.identity or file_sha256(card.path),
        half=half,
        force=force,
    )
    return replace(read_card(target), assumed=card.assumed)


def export_checkpoint(
    source: Path,
    target: Path,
    *,
    to: Literal["hf", "meta"],
    config: Path | None = None,
    force: bool = False,
) -> ModelCard:
    """Write the model in `source` to `target` for another program, in fp32.

    "hf" makes the folder that transformers' `EncodecModel.from_pretrained` takes, "meta" the `.th`
    file whose state Meta's package loads.

    Raises:
        CheckpointError: see `load_model`.
        UsageError: the other program has no such model.
        OutputError: `target` exists and not `force`, or cannot be written.
    """
    if to == "hf":
        check_hub_target(target, force=force)
    else:
        check_writable(target, force=force)
    card, state = read_checkpoint(find_model(source), config)
    build_and_load(card.config, state, str(card.path))  # nothing unchecked is handed on
    export = export_hub if to == "hf" else export_meta
    identity = card.identity or file_sha256(card.path)
    export(card.config, state, target, identity=identity, force=force)
    return card


def folded_state(model: nn.Module) -> dict[str, Tensor]:
    """State with each re-parametrised weight replaced by the weight it computes."""
    state = {k: v.detach() for k, v in model.state_dict().items() if ".parametrizations." not in k}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()
    return state


def _on_meta_device(config: CodecConfig, where: str) -> CompressionModel:
    """The folded model of `config` without memory for its weights."""
    try:
        with torch.device("meta"):
            return CompressionModel(folded_config(config))
    except (ConfigError, RuntimeError, OverflowError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{where}: {config.name}: cannot be built: {line}") from error
