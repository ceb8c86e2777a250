"""SEANet encoder and decoder, drop-in for audiocraft's classes.

    waveform [B, channels, T]
      conv k=kernel_size                                   n_filters channels
      per ratio, reversed:  residual blocks, activation,
                            strided conv k=2*ratio         channels double, rate / ratio
      LSTM (optional), activation, conv k=last_kernel_size
    latents [B, dimension, ceil(T / prod(ratios))]

and the mirror image back. The numbering of `model` is that of Meta's checkpoints.

Source: SEANet (Tagliasacchi et al. 2020); EnCodec (Défossez et al. 2022, section 3.1).
"""

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from encodec_cli.config.codec import Norm, PadMode, SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import ConfigError
from encodec_cli.nn.conv import (
    ConvState,
    ConvTransposeState,
    StreamableConv1d,
    StreamableConvTranspose1d,
)
from encodec_cli.nn.lstm import LSTMState, StreamableLSTM

__all__ = [
    "ResnetBlockState",
    "SEANetDecoder",
    "SEANetEncoder",
    "SEANetResnetBlock",
    "SEANetState",
]

_Config = TypeVar("_Config", bound=SEANetConfig)


def _activation(name: str, params: dict[str, Any] | None) -> nn.Module:
    layer = getattr(nn, name, None)
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise ConfigError(f"activation: {name!r} is not a class of torch.nn")
    try:
        return layer(**(params or {}))
    except TypeError as error:
        raise ConfigError(f"activation_params: {params} do not fit torch.nn.{name}") from error


@dataclass
class ResnetBlockState:
    """States of the branch's layers, then of the shortcut; `ahead` waits for the branch."""

    layers: list[Any] = field(default_factory=list)
    ahead: Tensor | None = None


class SEANetResnetBlock(nn.Module):
    """Residual block: a bottleneck of dilated convolutions beside a shortcut.

    `[B, dim, T] -> [B, dim, T]`. With `true_skip` the shortcut is the identity, otherwise a
    convolution of kernel 1.
    """

    def __init__(
        self,
        dim: int,
        kernel_sizes: Sequence[int] = (3, 1),
        dilations: Sequence[int] = (1, 1),
        activation: str = "ELU",
        activation_params: dict[str, Any] | None = None,
        norm: Norm = "none",
        norm_params: dict[str, Any] | None = None,
        causal: bool = False,
        pad_mode: PadMode = "reflect",
        compress: int = 2,
        true_skip: bool = True,
    ) -> None:
        super().__init__()
        if len(kernel_sizes) != len(dilations):
            raise ConfigError(f"{len(kernel_sizes)} kernel_sizes, but {len(dilations)} dilations")
        if activation_params is None:
            activation_params = {"alpha": 1.0} if activation == "ELU" else {}
        common: dict[str, Any] = {
            "norm": norm,
            "norm_kwargs": norm_params,
            "causal": causal,
            "pad_mode": pad_mode,
        }
        hidden = dim // compress
        widths = [dim, *[hidden] * (len(kernel_sizes) - 1), dim]
        layers: list[nn.Module] = []
        for i, (kernel_size, dilation) in enumerate(zip(kernel_sizes, dilations, strict=True)):
            layers += [
                _activation(activation, activation_params),
                StreamableConv1d(
                    widths[i], widths[i + 1], kernel_size, dilation=dilation, **common
                ),
            ]
        self.block = nn.Sequential(*layers)
        self.shortcut: nn.Module = (
            nn.Identity() if true_skip else StreamableConv1d(dim, dim, 1, **common)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.block(x)
        return out

    def step(self, x: Tensor, state: ResnetBlockState, last: bool) -> Tensor:
        """Outputs `[B, dim, m]` that the next samples `[B, dim, n]` (n >= 0) complete."""
        if not state.layers:
            state.layers = _initial_states([*self.block, self.shortcut])
        through = x
        for layer, layer_state in zip(self.block, state.layers[:-1], strict=True):
            through = _step(layer, through, layer_state, last)
        around = _step(self.shortcut, x, state.layers[-1], last)
        if state.ahead is not None:
            around = torch.cat((state.ahead, around), dim=-1)
        ready = through.shape[-1]
        state.ahead = around[..., ready:]
        return around[..., :ready] + through


def _initial_states(layers: Iterable[nn.Module]) -> list[Any]:
    """One fresh state per layer; None for those that look at one sample at a time."""
    for_class: dict[type[nn.Module], type[Any]] = {
        StreamableConv1d: ConvState,
        StreamableConvTranspose1d: ConvTransposeState,
        StreamableLSTM: LSTMState,
        SEANetResnetBlock: ResnetBlockState,
    }
    return [for_class[type(layer)]() if type(layer) in for_class else None for layer in layers]


def _step(layer: nn.Module, x: Tensor, state: Any, last: bool) -> Tensor:
    out: Tensor
    if isinstance(layer, StreamableLSTM):
        out = layer.step(x, state)
    elif isinstance(layer, StreamableConv1d | StreamableConvTranspose1d | SEANetResnetBlock):
        out = layer.step(x, state, last)
    else:
        out = layer(x)
    return out


@dataclass
class SEANetState:
    """Where one stream stands in each layer of an encoder or a decoder; fresh when empty."""

    layers: list[Any] = field(default_factory=list)


class _Steps(nn.Module):
    """A stack of layers that runs whole or in steps."""

    model: nn.Sequential
    config: SEANetConfig

    def new_activation(self) -> nn.Module:
        """A layer like those between the convolutions."""
        return _activation(self.config.activation, self.config.activation_params)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out

    def step(self, x: Tensor, state: SEANetState, last: bool) -> Tensor:
        """Outputs that the next inputs `[B, C, n]` (n >= 0) complete, `[B, C', m]`.

        All steps' outputs together are `forward` of all inputs together; `last` says that none
        follow. `state` starts as `SEANetState()` and belongs to one stream. Not for
        `time_group_norm`, which needs the whole signal.
        """
        if not state.layers:
            state.layers = _initial_states(self.model)
        for layer, layer_state in zip(self.model, state.layers, strict=True):
            x = _step(layer, x, layer_state, last)
        return x


class _Stages:
    """What encoder and decoder share: their parts, built from one config.

    Norms are switched off in the `disable_norm_outer_blocks` blocks nearest the waveform; blocks
    count 0 (the waveform's convolution), 1 .. len(ratios), len(ratios) + 1 (the latents').
    """

    def __init__(self, config: SEANetConfig) -> None:
        self.config = config
        self.depth = len(config.ratios)

    def _norm(self, block: int) -> Norm:
        return "none" if block < self.config.disable_norm_outer_blocks else self.config.norm

    def width(self, stage: int) -> int:
        """Channels after `stage` down-samplings."""
        return self.config.widths[stage]

    def _common(self, block: int) -> dict[str, Any]:
        c = self.config
        return {"norm": self._norm(block), "norm_kwargs": c.norm_params, "causal": c.causal}

    def conv(
        self, block: int, inputs: int, outputs: int, kernel_size: int, stride: int = 1
    ) -> StreamableConv1d:
        return StreamableConv1d(
            inputs,
            outputs,
            kernel_size,
            stride,
            pad_mode=self.config.pad_mode,
            **self._common(block),
        )

    def upsample(self, stage: int, ratio: int, trim_right_ratio: float) -> nn.Module:
        return StreamableConvTranspose1d(
            self.width(stage + 1),
            self.width(stage),
            2 * ratio,
            ratio,
            trim_right_ratio=trim_right_ratio,
            **self._common(stage + 1),
        )

    def residual_blocks(self, stage: int) -> list[nn.Module]:
        c = self.config
        return [
            SEANetResnetBlock(
                self.width(stage),
                kernel_sizes=(c.residual_kernel_size, 1),
                dilations=(c.dilation_base**j, 1),
                activation=c.activation,
                activation_params=c.activation_params,
                norm=self._norm(stage + 1),
                norm_params=c.norm_params,
                causal=c.causal,
                pad_mode=c.pad_mode,
                compress=c.compress,
                true_skip=c.true_skip,
            )
            for j in range(c.residual_layers[stage])
        ]

    def lstm(self) -> list[nn.Module]:
        layers = self.config.lstm
        return [StreamableLSTM(self.width(self.depth), layers)] if layers else []


class SEANetEncoder(_Steps):
    """Waveform `[B, channels, T]` to latents `[B, dimension, ceil(T / prod(ratios))]`.

    Takes the fields of `SEANetConfig` as arguments, or one as `config`.

    Raises:
        ConfigError: arguments out of range or that contradict each other.
    """

    def __init__(self, *args: Any, config: SEANetConfig | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.config = c = _resolve(SEANetConfig, config, args, kwargs)
        stages = _Stages(c)
        layers: list[nn.Module] = [stages.conv(0, c.channels, stages.width(0), c.kernel_size)]
        for stage, ratio in enumerate(reversed(c.ratios)):
            layers += [
                *stages.residual_blocks(stage),
                self.new_activation(),
                stages.conv(
                    stage + 1, stages.width(stage), stages.width(stage + 1), 2 * ratio, ratio
                ),
            ]
        layers += [
            *stages.lstm(),
            self.new_activation(),
            stages.conv(
                stages.depth + 1, stages.width(stages.depth), c.dimension, c.last_kernel_size
            ),
        ]
        self.model = nn.Sequential(*layers)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.config.hop_length


class SEANetDecoder(_Steps):
    """Latents `[B, dimension, T']` to waveform `[B, channels, T' * prod(ratios)]`.

    Takes the fields of `SEANetDecoderConfig` as arguments, or one as `config`.

    Raises:
        ConfigError: arguments out of range or that contradict each other.
    """

    def __init__(
        self, *args: Any, config: SEANetDecoderConfig | None = None, **kwargs: Any
    ) -> None:
        super().__init__()
        self.config = c = _resolve(SEANetDecoderConfig, config, args, kwargs)
        stages = _Stages(c)
        layers: list[nn.Module] = [
            stages.conv(stages.depth + 1, c.dimension, stages.width(stages.depth), c.kernel_size),
            *stages.lstm(),
        ]
        for i, ratio in enumerate(c.ratios):
            stage = stages.depth - 1 - i
            layers += [
                self.new_activation(),
                stages.upsample(stage, ratio, c.trim_right_ratio),
                *stages.residual_blocks(stage),
            ]
        layers += [
            self.new_activation(),
            stages.conv(0, stages.width(0), c.channels, c.last_kernel_size),
        ]
        if c.final_activation is not None:
            layers.append(_activation(c.final_activation, c.final_activation_params))
        self.model = nn.Sequential(*layers)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.config.hop_length


def _resolve(
    cls: type[_Config], config: _Config | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Config:
    if config is None:
        return cls(*args, **kwargs)
    if args:
        raise TypeError("give either config, or the arguments one by one")
    return dataclasses.replace(config, **kwargs)


# The constructors take what the configs take; help() and editors should say so.
SEANetEncoder.__signature__ = inspect.signature(SEANetConfig)  # type: ignore[attr-defined]
SEANetDecoder.__signature__ = inspect.signature(SEANetDecoderConfig)  # type: ignore[attr-defined]
