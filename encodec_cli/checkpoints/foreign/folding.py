"""Weight norms, folded away and put back, whatever a layout calls their two parts.

A norm stores a weight as its direction `v` and its gain `g`, one per first index: w = g v / |v|.
The files call them `weight_g` and `weight_v` (torch until 2.0), or
`parametrizations.weight.original0` and `original1` (since).
"""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from encodec_cli.config.codec import CodecConfig

__all__ = ["fold_weight_norms", "folded_config", "unfold_state", "unfold_weight"]

_PARTS = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


def fold_weight_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with one `X.weight` in place of each gain and direction; the rest as it is.

    Raises:
        ValueError: one of the two parts is missing, does not fit the other, or is there twice.
    """
    folded: dict[str, Tensor] = {}
    for name, value in state.items():
        stem, part, other = _split(name)
        if not part:
            target, weight = name, value
        elif other not in state:
            raise ValueError(f"missing {other} beside {name}")
        elif part == "gain":
            continue
        else:
            target, weight = f"{stem}.weight", _fold(state[other], value, other, name)
        if target in folded:
            raise ValueError(f"{target}: there more than once")
        folded[target] = weight
    return folded


def unfold_state(state: Mapping[str, Tensor], normed: tuple[str, ...]) -> dict[str, Tensor]:
    """Folded weights as the fp32 state of networks that can be trained on.

    Weights whose names end in one of `normed` become gain and direction, and codebooks get the
    running sums behind them, as after one sight of each code.
    """
    made: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(normed):
            made[f"{name}_g"], made[f"{name}_v"] = unfold_weight(value)
        elif name.endswith("codebook.embed"):
            codebook = name.removesuffix("embed")
            made[f"{codebook}inited"] = torch.ones(1)
            made[f"{codebook}cluster_size"] = torch.ones(value.shape[0])
            made[name], made[f"{codebook}embed_avg"] = value.float(), value.float().clone()
        else:
            made[name] = value.float()
    return made


def unfold_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and direction that fold to exactly `weight`, both in fp32.

    The gain is the length as folding itself computes it; any other way to sum the squares would
    be a bit off, and so would the folded weight.
    """
    direction = weight.float()
    ones = direction.new_ones(direction.shape[0], *[1] * (direction.dim() - 1))
    return torch._weight_norm_interface(direction, ones, 0)[1].view_as(ones), direction


def folded_config(config: CodecConfig) -> CodecConfig:
    """The config of the same model with norms of weights folded away."""
    if config.seanet.norm not in ("weight_norm", "spectral_norm"):
        return config
    return dataclasses.replace(
        config,
        seanet=dataclasses.replace(config.seanet, norm="none", norm_params={}),
        decoder=dataclasses.replace(config.decoder, norm="none", norm_params={}),
    )


def _split(name: str) -> tuple[str, str, str]:
    """Stem of a norm's part, which part it is ("" if none), and what the other one is called."""
    for gain, direction in _PARTS:
        if name.endswith(gain):
            stem = name.removesuffix(gain)
            return stem, "gain", stem + direction
        if name.endswith(direction):
            stem = name.removesuffix(direction)
            return stem, "direction", stem + gain
    return name, "", ""


def _fold(gain: Tensor, direction: Tensor, gain_name: str, name: str) -> Tensor:
    rank = direction.dim()
    if not rank or gain.shape != (direction.shape[0], *[1] * (rank - 1)):
        raise ValueError(f"{gain_name}: shape {tuple(gain.shape)} does not fit {name}")
    # As torch's weight_norm with dim=0; the same for transposed convolutions.
    return torch._weight_norm(direction.float(), gain.float(), 0)
