"""The model of a config without its weights: which tensors it has, and of what shapes."""

import torch

from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import CheckpointError, ConfigError
from encodec_cli.model.module import CompressionModel

__all__ = ["skeleton"]


def skeleton(config: CodecConfig, tensors: int, where: str) -> CompressionModel:
    """The folded model of `config` on torch's meta device, for a file of that many tensors.

    Raises:
        CheckpointError: a config that no such file can hold; it would cost endless memory.
    """
    seanet = config.seanet
    layers = config.quantizer.n_q + sum(seanet.residual_layers) + seanet.lstm + len(seanet.ratios)
    if layers > max(tensors, 1):
        raise CheckpointError(
            f"{where}: does not fit {config.name}: a model of {layers} layers, {tensors} tensors"
        )
    try:
        with torch.device("meta"):
            return CompressionModel(folded_config(config))
    except (ConfigError, RuntimeError, OverflowError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{where}: {config.name}: cannot be built: {line}") from error
