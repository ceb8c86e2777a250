"""The weights that a run begins with."""

from pathlib import Path

import torch
from torch import Tensor

from encodec_cli.checkpoints.card import file_sha256
from encodec_cli.checkpoints.modules import build_and_load, read_checkpoint
from encodec_cli.errors import ConfigError
from encodec_cli.model.module import CompressionModel

__all__ = ["warm_start"]


def warm_start(model: CompressionModel, paths: list[Path]) -> list[str]:
    """Give `model` the mean of the weights of checkpoints; returns what names their codes.

    Raises:
        ConfigError: one was made with another model config.
        CheckpointError: one cannot be read.
    """
    sums: dict[str, Tensor] = {}
    identities = []
    for path in paths:
        card, state = read_checkpoint(path)
        identities.append(card.identity or file_sha256(path))
        source = build_and_load(card.config, state, str(path))
        if source.config.to_dict() | {"name": ""} != model.config.to_dict() | {"name": ""}:
            raise ConfigError(f"warm_start: {path}: was made with another model config")
        for name, value in source.state_dict().items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value
    model.load_state_dict({name: value / len(paths) for name, value in sums.items()})
    for book in model.quantizer.codebooks:
        # Checkpoints do not say how much each code is used: enough that none counts as dead.
        book.cluster_size.fill_(max(1.0, 2 * book.threshold_ema_dead_code))
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])
    return identities
