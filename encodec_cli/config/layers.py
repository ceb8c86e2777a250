"""The layers of a network, planned from its config: the one description that all others follow.

    encoder  waveform [n, channels]
               convolution, kernel_size                         n_filters channels
               per ratio, reversed: residual blocks, activation,
                                    convolution of 2 * ratio    more channels, rate / ratio
               LSTM (optional), activation, convolution, last_kernel_size
             latents [ceil(n / hop), dimension]

A decoder is the mirror image, with transposed convolutions. Layer i of a plan has the weights
`model.i.` of a state dict, numbered as in Meta's checkpoints. Norms of weights count as folded
into the weights; the other norms are part of the convolution that they follow.

Source: SEANet (Tagliasacchi et al. 2020); EnCodec (Défossez et al. 2022, section 3.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from encodec_cli.config.codec import (
    CodecConfig,
    Norm,
    PadMode,
    SEANetConfig,
    SEANetDecoderConfig,
)
from encodec_cli.errors import ConfigError

__all__ = [
    "LSTM",
    "Activation",
    "Convolution",
    "Layer",
    "NetworkPlan",
    "ResidualBlock",
    "Shapes",
    "TransposedConvolution",
    "codec_shapes",
    "decoder_plan",
    "encoder_plan",
    "layer_count",
    "residual_block",
]

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by their names in a state dict."""


@dataclass(frozen=True)
class Activation:
    """A class of `torch.nn`, by its name and arguments; it looks at one number at a time."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def shapes(self, name: str) -> Shapes:
        """It has no weights."""
        return {}


@dataclass(frozen=True)
class Convolution:
    """Convolution that pads itself: `[n, inputs] -> [ceil(n / stride), outputs]`.

    Raises:
        ConfigError: the kernel is shorter than the stride, or a causal network has a norm that
            averages over all time.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    causal: bool = False
    pad_mode: PadMode = "reflect"
    norm: Norm = "none"
    norm_params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ConfigError(f"kernel_size {self.kernel} does not cover its stride {self.stride}")

    @property
    def reach(self) -> int:
        """Rows from the first to the last that one output sees."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padding(self) -> int:
        """Rows that are padded at both ends of a signal together, of whole strides."""
        return self.reach - self.stride

    @property
    def ahead(self) -> int:
        """Rows after those of its stride that an output sees."""
        return 0 if self.causal else self.padding // 2

    @property
    def back(self) -> int:
        """Rows before those of its stride that an output sees."""
        return self.padding - self.ahead

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        return {
            f"{name}.conv.conv.weight": (self.outputs, self.inputs, self.kernel),
            f"{name}.conv.conv.bias": (self.outputs,),
            **_norm_shapes(f"{name}.conv.norm", self.norm, self.outputs),
        }


@dataclass(frozen=True)
class TransposedConvolution:
    """Transposed convolution trimmed to its stride: `[n, inputs] -> [n * stride, outputs]`.

    `trim_right_ratio` is the share of what is trimmed that lies on the right, if it is causal.

    Raises:
        ConfigError: the kernel is shorter than the stride, or one that is not causal trims another
            share than half.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    causal: bool = False
    trim_right_ratio: float = 1.0
    norm: Norm = "none"
    norm_params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.causal and self.trim_right_ratio != 1.0:
            raise ConfigError("trim_right_ratio: only a causal convolution can trim asymmetrically")
        if self.kernel < self.stride:
            raise ConfigError(f"kernel_size {self.kernel} does not cover its stride {self.stride}")

    @property
    def trim_right(self) -> int:
        """Rows dropped at the end of a signal."""
        trimmed = self.kernel - self.stride
        return math.ceil(trimmed * self.trim_right_ratio) if self.causal else trimmed // 2

    @property
    def trim_left(self) -> int:
        """Rows dropped at the start of a signal, by which the others come later: look-ahead."""
        return self.kernel - self.stride - self.trim_right

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        return {
            f"{name}.convtr.convtr.weight": (self.inputs, self.outputs, self.kernel),
            f"{name}.convtr.convtr.bias": (self.outputs,),
            **_norm_shapes(f"{name}.convtr.norm", self.norm, self.outputs),
        }


@dataclass(frozen=True)
class ResidualBlock:
    """Activated convolutions beside a shortcut, which is the identity if None; their sum."""

    activation: Activation
    convolutions: tuple[Convolution, ...]
    shortcut: Convolution | None

    @property
    def ahead(self) -> int:
        """Rows after its own that an output sees."""
        return sum(conv.ahead for conv in self.convolutions)

    @property
    def back(self) -> int:
        """Rows before its own that an output sees."""
        return sum(conv.back for conv in self.convolutions)

    def names(self, name: str) -> list[str]:
        """Of the modules of its convolutions, under its own name; activations have no weights."""
        return [f"{name}.block.{2 * i + 1}" for i in range(len(self.convolutions))]

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        found: Shapes = {}
        for conv, place in zip(self.convolutions, self.names(name), strict=True):
            found |= conv.shapes(place)
        return found | (self.shortcut.shapes(f"{name}.shortcut") if self.shortcut else {})


@dataclass(frozen=True)
class LSTM:
    """Residual LSTM of equally wide layers: `[n, width] -> [n, width]`. It forgets nothing."""

    width: int
    layers: int

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name; 4 gates: input, forget, cell, output."""
        found: Shapes = {}
        for i in range(self.layers):
            for kind in ("ih", "hh"):
                found[f"{name}.lstm.weight_{kind}_l{i}"] = (4 * self.width, self.width)
                found[f"{name}.lstm.bias_{kind}_l{i}"] = (4 * self.width,)
        return found


Layer = Activation | Convolution | TransposedConvolution | ResidualBlock | LSTM


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
            norm_params=c.norm_params,
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


def codec_shapes(config: CodecConfig) -> Shapes:
    """All tensors of a codec's file: both networks' weights, norms of weights folded, codebooks.

    Raises:
        ConfigError: sizes that make no layer.
    """
    quantizer = config.quantizer
    books: Shapes = {
        f"quantizer.vq.layers.{k}._codebook.embed": (quantizer.bins, quantizer.dimension)
        for k in range(quantizer.n_q)
    }
    return {
        **encoder_plan(config.seanet).shapes(),
        **books,
        **decoder_plan(config.decoder).shapes(),
    }


def layer_count(config: CodecConfig) -> int:
    """At most as many layers and codebooks as the codec has; each has at least one tensor.

    Unlike the plans it costs nothing to know, whatever the config says.
    """
    seanet = config.seanet
    return config.quantizer.n_q + sum(seanet.residual_layers) + seanet.lstm + len(seanet.ratios)


def _activation(config: SEANetConfig) -> Activation:
    return Activation(config.activation, config.activation_params)


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
        "norm_params": config.norm_params,
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


def _norm_shapes(name: str, norm: Norm, channels: int) -> Shapes:
    """Weights of a norm that follows a convolution; others are folded into its weights."""
    if norm not in ("time_group_norm", "layer_norm"):
        return {}
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
