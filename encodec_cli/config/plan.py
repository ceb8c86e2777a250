"""The plan of a network, made from its config: the one description that all others follow.

    encoder  waveform [n, channels]
               convolution, kernel_size                         n_filters channels
               per ratio, reversed: residual blocks, activation,
                                    convolution of 2 * ratio    more channels, rate / ratio
               LSTM (optional), activation, convolution, last_kernel_size
             latents [ceil(n / hop), dimension]

A decoder is the mirror image, with transposed convolutions. Layer i of a plan has the weights
`model.i.` of a state dict, numbered as in Meta's checkpoints.

Source: SEANet (Tagliasacchi et al. 2020); EnCodec (Défossez et al. 2022, section 3.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from encodec_cli.config.layers import (
    LSTM,
    Activation,
    Convolution,
    Layer,
    ResidualBlock,
    Shapes,
    TransposedConvolution,
)
from encodec_cli.config.seanet import Norm, SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import ConfigError

__all__ = ["NetworkPlan", "decoder_plan", "encoder_plan", "residual_block"]


@dataclass(frozen=True)
class NetworkPlan:
    """An encoder or a decoder; `hop` is samples per frame."""

    layers: tuple[Layer, ...]
    inputs: int
    outputs: int
    hop: int
    decodes: bool

    @property
    def name(self) -> str:
        """Of the network in a codec."""
        return "decoder" if self.decodes else "encoder"

    def named(self) -> list[tuple[str, Layer]]:
        """Each layer with the name of its module in a codec."""
        return [(f"{self.name}.model.{i}", layer) for i, layer in enumerate(self.layers)]

    def shapes(self) -> Shapes:
        """All weights, under their names in a codec's state dict."""
        return {
            name: shape
            for module, layer in self.named()
            for name, shape in layer.shapes(module).items()
        }


def encoder_plan(config: SEANetConfig) -> NetworkPlan:
    """The layers of `SEANetEncoder`.

    Raises:
        ConfigError: sizes that make no layer.
    """
    c, depth = config, len(config.ratios)
    layers: list[Layer] = [_convolution(c, 0, (c.channels, c.widths[0]), c.kernel_size)]
    for stage, ratio in enumerate(reversed(c.ratios)):
        widths = (c.widths[stage], c.widths[stage + 1])
        layers += [
            *_residual_blocks(c, stage),
            _activation(c),
            _convolution(c, stage + 1, widths, 2 * ratio, ratio),
        ]
    layers += [
        *_lstm(c),
        _activation(c),
        _convolution(c, depth + 1, (c.widths[depth], c.dimension), c.last_kernel_size),
    ]
    return NetworkPlan(tuple(layers), c.channels, c.dimension, c.hop_length, decodes=False)


def decoder_plan(config: SEANetDecoderConfig) -> NetworkPlan:
    """The layers of `SEANetDecoder`.

    Raises:
        ConfigError: sizes that make no layer.
    """
    c, depth = config, len(config.ratios)
    widths = (c.dimension, c.widths[depth])
    layers: list[Layer] = [_convolution(c, depth + 1, widths, c.kernel_size), *_lstm(c)]
    for i, ratio in enumerate(c.ratios):
        stage = depth - 1 - i
        upsampling = TransposedConvolution(
            c.widths[stage + 1],
            c.widths[stage],
            2 * ratio,
            ratio,
            causal=c.causal,
            trim_right_ratio=c.trim_right_ratio,
            norm=_norm(c, stage + 1),
            norm_params=c.norm_params or {},
        )
        layers += [_activation(c), upsampling, *_residual_blocks(c, stage)]
    layers += [
        _activation(c),
        _convolution(c, 0, (c.widths[0], c.channels), c.last_kernel_size),
    ]
    if c.final_activation is not None:
        layers.append(Activation(c.final_activation, c.final_activation_params or {}))
    return NetworkPlan(tuple(layers), c.dimension, c.channels, c.hop_length, decodes=True)


def residual_block(
    width: int,
    kernels: Sequence[int],
    dilations: Sequence[int],
    activation: Activation,
    compress: int,
    true_skip: bool,
    **common: Any,
) -> ResidualBlock:
    """A block of `width` channels, `width // compress` inside; `common` is for all convolutions.

    Raises:
        ConfigError: not as many dilations as kernels.
    """
    if len(kernels) != len(dilations):
        raise ConfigError(f"{len(kernels)} kernel_sizes, but {len(dilations)} dilations")
    widths = [width, *[width // compress] * (len(kernels) - 1), width]
    branch = tuple(
        Convolution(widths[i], widths[i + 1], kernel, dilation=dilation, **common)
        for i, (kernel, dilation) in enumerate(zip(kernels, dilations, strict=True))
    )
    shortcut = None if true_skip else Convolution(width, width, 1, **common)
    return ResidualBlock(activation, branch, shortcut)


def _activation(config: SEANetConfig) -> Activation:
    return Activation(config.activation, config.activation_params or {})


def _norm(config: SEANetConfig, block: int) -> Norm:
    """The norm of a block; the `disable_norm_outer_blocks` nearest the waveform have none.

    Blocks count 0 (the waveform's convolution), 1 .. len(ratios), len(ratios) + 1 (the latents').
    """
    return "none" if block < config.disable_norm_outer_blocks else config.norm


def _common(config: SEANetConfig, block: int) -> dict[str, Any]:
    """What all convolutions of a block have in common."""
    return {
        "causal": config.causal,
        "pad_mode": config.pad_mode,
        "norm": _norm(config, block),
        "norm_params": config.norm_params or {},
    }


def _convolution(
    config: SEANetConfig, block: int, widths: tuple[int, int], kernel: int, stride: int = 1
) -> Convolution:
    return Convolution(*widths, kernel, stride, **_common(config, block))


def _residual_blocks(config: SEANetConfig, stage: int) -> list[Layer]:
    c = config
    return [
        residual_block(
            c.widths[stage],
            (c.residual_kernel_size, 1),
            (c.dilation_base**j, 1),
            _activation(c),
            c.compress,
            c.true_skip,
            **_common(c, stage + 1),
        )
        for j in range(c.residual_layers[stage])
    ]


def _lstm(config: SEANetConfig) -> list[Layer]:
    return [LSTM(config.widths[-1], config.lstm)] if config.lstm else []
