"""Normalisations of convolutions: re-parametrisations of the weight, and layers after it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from encodec_cli.config.seanet import Norm
from encodec_cli.errors import ConfigError

__all__ = ["ConvLayerNorm", "attach_norm", "norm_module", "set_weight"]


class ConvLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of `[B, C, T]`, separately for each time step."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, -1)).transpose(1, -1)


def attach_norm(
    conv: nn.Conv1d | nn.ConvTranspose1d, norm: Norm, causal: bool, params: dict[str, Any] | None
) -> nn.Module:
    """Normalise `conv`: re-parametrise its weight in place, or return the layer to follow it.

    Raises:
        ConfigError: see `norm_module`.
    """
    module = norm_module(conv.out_channels, norm, causal, **(params or {}))
    if norm == "weight_norm":
        parametrizations.weight_norm(conv)
    elif norm == "spectral_norm":
        parametrizations.spectral_norm(conv)
    return module


@torch.no_grad()
def set_weight(conv: nn.Conv1d | nn.ConvTranspose1d, weight: Tensor) -> None:
    """Set a convolution's weight in place, whether a parameter or computed for a weight norm."""
    if nn.utils.parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight
    else:
        conv.weight.copy_(weight)


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
