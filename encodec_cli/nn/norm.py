"""Normalisations of convolutions: re-parametrisations of the weight, and layers after it."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from encodec_cli.config import Norm
from encodec_cli.errors import ConfigError

__all__ = ["ConvLayerNorm", "norm_module", "parametrize_norm"]


class ConvLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of `[B, C, T]`, separately for each time step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, -1)).transpose(1, -1)


def parametrize_norm(conv: nn.Module, norm: Norm) -> None:
    """Re-parametrise the weight of `conv` in place if `norm` is of that kind."""
    if norm == "weight_norm":
        parametrizations.weight_norm(conv)
    elif norm == "spectral_norm":
        parametrizations.spectral_norm(conv)


def norm_module(channels: int, norm: Norm, causal: bool, **params: Any) -> nn.Module:
    """The layer that follows a convolution with `channels` outputs.

    Raises:
        ConfigError: `time_group_norm` in a causal network; it averages over all time.
    """
    if norm == "layer_norm":
        return ConvLayerNorm(channels, **params)
    if norm == "time_group_norm":
        if causal:
            raise ConfigError("causal: a causal network cannot use norm: time_group_norm")
        return nn.GroupNorm(1, channels, **params)
    return nn.Identity()
