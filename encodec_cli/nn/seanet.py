"""SEANet encoder and decoder as modules, drop-in for audiocraft's classes.

What they are made of is in their plan, see `config.plan`.

Source: SEANet (Tagliasacchi et al. 2020); EnCodec (Défossez et al. 2022, section 3.1).
"""

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from encodec_cli.config.layers import (
    LSTM,
    Activation,
    Convolution,
    Layer,
    ResidualBlock,
    TransposedConvolution,
)
from encodec_cli.config.plan import NetworkPlan, decoder_plan, encoder_plan, residual_block
from encodec_cli.config.seanet import Norm, PadMode, SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import ConfigError
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.lstm import StreamableLSTM
from encodec_cli.nn.streamable import Streamable, new_states, step_through

__all__ = [
    "ResnetBlockState",
    "SEANetDecoder",
    "SEANetEncoder",
    "SEANetResnetBlock",
    "SEANetState",
]

_Config = TypeVar("_Config", bound=SEANetConfig)


def _activation(plan: Activation) -> nn.Module:
    layer = getattr(nn, plan.name, None)
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise ConfigError(f"activation: {plan.name!r} is not a class of torch.nn")
    try:
        return layer(**plan.params)
    except TypeError as error:
        raise ConfigError(
            f"activation_params: {plan.params} do not fit torch.nn.{plan.name}"
        ) from error


def _residual_block(
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
) -> ResidualBlock:
    if activation_params is None:
        activation_params = {"alpha": 1.0} if activation == "ELU" else {}
    return residual_block(
        dim,
        kernel_sizes,
        dilations,
        Activation(activation, activation_params),
        compress,
        true_skip,
        causal=causal,
        pad_mode=pad_mode,
        norm=norm,
        norm_params=norm_params or {},
    )


@dataclass
class ResnetBlockState:
    """States of the branch's layers and of the shortcut; `ahead` waits for the branch."""

    branch: list[Any]
    shortcut: list[Any]
    ahead: Tensor | None = None


class SEANetResnetBlock(Streamable):
    """Residual block: a bottleneck of dilated convolutions beside a shortcut.

    `[B, dim, T] -> [B, dim, T]`. With `true_skip` the shortcut is the identity, otherwise a
    convolution of kernel 1. Takes audiocraft's arguments, or the layer of a plan as `plan`.
    """

    def __init__(self, *args: Any, plan: ResidualBlock | None = None, **kwargs: Any) -> None:
        super().__init__()
        self.plan = _residual_block(*args, **kwargs) if plan is None else plan
        layers: list[nn.Module] = []
        for conv in self.plan.convolutions:
            layers += [_activation(self.plan.activation), StreamableConv1d.of(conv)]
        self.block = nn.Sequential(*layers)
        shortcut = self.plan.shortcut
        self.shortcut: nn.Module = (
            nn.Identity() if shortcut is None else StreamableConv1d.of(shortcut)
        )

    @property
    def convolutions(self) -> list[StreamableConv1d]:
        """Those of the branch."""
        return [layer for layer in self.block if isinstance(layer, StreamableConv1d)]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.block(x)
        return out

    def new_state(self) -> ResnetBlockState:
        return ResnetBlockState(new_states(self.block), new_states([self.shortcut]))

    def step(self, x: Tensor, state: ResnetBlockState, last: bool) -> Tensor:
        """Outputs `[B, dim, m]` that the next samples `[B, dim, n]` (n >= 0) complete."""
        through = step_through(self.block, x, state.branch, last)
        around = step_through([self.shortcut], x, state.shortcut, last)
        if state.ahead is not None:
            around = torch.cat((state.ahead, around), dim=-1)
        ready = through.shape[-1]
        state.ahead = around[..., ready:]
        return around[..., :ready] + through


def _module(layer: Layer) -> nn.Module:
    """The module of one layer."""
    match layer:
        case Activation():
            return _activation(layer)
        case Convolution():
            return StreamableConv1d.of(layer)
        case TransposedConvolution():
            return StreamableConvTranspose1d.of(layer)
        case ResidualBlock():
            return SEANetResnetBlock(plan=layer)
        case LSTM():
            return StreamableLSTM(layer.width, layer.layers)


@dataclass
class SEANetState:
    """Where one stream stands in each layer of an encoder or a decoder; fresh when empty."""

    layers: list[Any] = field(default_factory=list)


class _Network(nn.Module):
    """The layers of a plan as modules, which run whole or in steps."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.model = nn.Sequential(*map(_module, plan.layers))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.plan.hop

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
            state.layers = new_states(self.model)
        return step_through(self.model, x, state.layers, last)


class SEANetEncoder(_Network):
    """Waveform `[B, channels, T]` to latents `[B, dimension, ceil(T / prod(ratios))]`.

    Takes the fields of `SEANetConfig` as arguments, or one as `config`.

    Raises:
        ConfigError: arguments out of range or that contradict each other.
    """

    def __init__(self, *args: Any, config: SEANetConfig | None = None, **kwargs: Any) -> None:
        resolved = _resolve(SEANetConfig, config, args, kwargs)
        super().__init__(encoder_plan(resolved))
        self.config = resolved


class SEANetDecoder(_Network):
    """Latents `[B, dimension, T']` to waveform `[B, channels, T' * prod(ratios)]`.

    Takes the fields of `SEANetDecoderConfig` as arguments, or one as `config`.

    Raises:
        ConfigError: arguments out of range or that contradict each other.
    """

    def __init__(
        self, *args: Any, config: SEANetDecoderConfig | None = None, **kwargs: Any
    ) -> None:
        resolved = _resolve(SEANetDecoderConfig, config, args, kwargs)
        super().__init__(decoder_plan(resolved))
        self.config = resolved


def _resolve(
    cls: type[_Config], config: _Config | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Config:
    if config is None:
        return cls(*args, **kwargs)
    if args:
        raise TypeError("give either config, or the arguments one by one")
    return dataclasses.replace(config, **kwargs)


# The constructors take what these take; help() and editors should say so.
SEANetResnetBlock.__signature__ = inspect.signature(_residual_block)  # type: ignore[attr-defined]
SEANetEncoder.__signature__ = inspect.signature(SEANetConfig)  # type: ignore[attr-defined]
SEANetDecoder.__signature__ = inspect.signature(SEANetDecoderConfig)  # type: ignore[attr-defined]
