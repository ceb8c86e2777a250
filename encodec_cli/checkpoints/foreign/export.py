"""Checkpoints that other programs load: a folder for transformers, a `.th` file for Meta's package.

Both keep the SHA-256 that `.ecdc` files know the model by, where their own readers overlook it, so
that files coded before the conversion decode after it.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.checkpoints.foreign.huggingface import hub_config, hub_state
from encodec_cli.checkpoints.foreign.identify import HUB_CONFIG
from encodec_cli.checkpoints.foreign.meta import meta_state
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import OutputError, parameter
from encodec_cli.io.files import atomic_output, check_writable
from encodec_cli.io.temporary import temporary_folder

__all__ = ["check_hub_target", "export_hub", "export_meta"]


def export_hub(
    config: CodecConfig,
    state: Mapping[str, Tensor],
    folder: Path,
    *,
    identity: str,
    force: bool = False,
) -> None:
    """Write folded weights as the folder that transformers' `EncodecModel.from_pretrained` takes.

    Raises:
        UsageError: transformers has no such model.
        OutputError: `folder` exists and not `force`, or cannot be written.
    """
    config = folded_config(config)
    files = {
        HUB_CONFIG: hub_config(config),
        "preprocessor_config.json": {
            "feature_extractor_type": "EncodecFeatureExtractor",
            "feature_size": config.channels,
            "sampling_rate": config.sample_rate,
            "chunk_length_s": config.segment_seconds,
            "overlap": None if config.segment_seconds is None else config.overlap,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": True,
        },
    }
    check_hub_target(folder, force=force)
    try:
        with temporary_folder(folder.parent, folder.name) as temporary:
            stage = temporary / folder.name
            stage.mkdir()
            weights = save(hub_state(config, state), {"format": "pt", "identity": identity})
            (stage / "model.safetensors").write_bytes(weights)
            for name, content in files.items():
                (stage / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            if folder.is_dir():
                for path in stage.iterdir():
                    path.replace(folder / path.name)
            else:
                stage.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there: {error.strerror}") from error


def check_hub_target(folder: Path, *, force: bool) -> None:
    """Refuse early what `export_hub` would refuse after the work is done.

    Raises:
        OutputError: `folder` is a file, is not empty and not `force`, or its parent is missing.
    """
    if not folder.is_dir():
        check_writable(folder, force=False)
    elif any(folder.iterdir()) and not force:
        raise OutputError(
            f"{folder}: exists already; use {parameter('force', True)} to replace the model in it"
        )


def export_meta(
    config: CodecConfig,
    state: Mapping[str, Tensor],
    path: Path,
    *,
    identity: str,
    force: bool = False,
) -> None:
    """Write folded weights as the `.th` file that Meta's `EncodecModel.load_state_dict` takes.

    Raises:
        UsageError: the model is not built like one of Meta's two.
        OutputError: `path` exists and not `force`, or cannot be written.
    """
    buffer = io.BytesIO()  # torch's own writer reports a full disk in its own way
    torch.save(meta_state(config, state, identity), buffer)
    with atomic_output(path, force=force) as file:
        file.write(buffer.getbuffer())
