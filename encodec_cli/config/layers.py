"""The layers that networks are made of: their sizes, what they look back and ahead, their weights.

A layer says all that its counterparts in `nn`, `engine` and `runtime` have in common. Norms of
weights count as folded into the weights; the other norms are part of the convolution that they
follow.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from encodec_cli.config.seanet import Norm, PadMode
from encodec_cli.errors import ConfigError

__all__ = [
    "LSTM",
    "Activation",
    "Convolution",
    "Layer",
    "ResidualBlock",
    "Shapes",
    "TransposedConvolution",
]

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by their names in a state dict."""


@dataclass(frozen=True)
class Activation:
    """A class of `torch.nn`, by its name and arguments; it looks at one number at a time."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def first_input(self, output: int) -> int:
        """The first row that an output and all after it depend on."""
        return output

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name; only PReLU has some."""
        if self.name != "PReLU":
            return {}
        return {f"{name}.weight": (self.params.get("num_parameters", 1),)}


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

    def first_input(self, output: int) -> int:
        """The first row, of a whole stride, that an output and all after it depend on."""
        if self.norm == "time_group_norm":
            return 0
        return max(0, output * self.stride - self.back) // self.stride * self.stride

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        return {
            f"{name}.conv.conv.weight": (self.outputs, self.inputs, self.kernel),
            f"{name}.conv.conv.bias": (self.outputs,),
            **_norm_shapes(f"{name}.conv.norm", self.norm, self.norm_params, self.outputs),
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

    def first_input(self, output: int) -> int:
        """The first row that an output and all after it depend on."""
        if self.norm == "time_group_norm":
            return 0
        # Inputs i reach the untrimmed outputs i * stride to i * stride + kernel - 1.
        return max(0, -((self.kernel - 1 - self.trim_left - output) // self.stride))

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        return {
            f"{name}.convtr.convtr.weight": (self.inputs, self.outputs, self.kernel),
            f"{name}.convtr.convtr.bias": (self.outputs,),
            **_norm_shapes(f"{name}.convtr.norm", self.norm, self.norm_params, self.outputs),
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

    def first_input(self, output: int) -> int:
        """The first row that an output and all after it depend on."""
        for conv in reversed(self.convolutions):
            output = conv.first_input(output)
        return output

    def names(self, name: str) -> list[str]:
        """Of the modules of its convolutions, under its own name."""
        return [f"{name}.block.{2 * i + 1}" for i in range(len(self.convolutions))]

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name."""
        found: Shapes = {}
        for i, (conv, place) in enumerate(zip(self.convolutions, self.names(name), strict=True)):
            found |= self.activation.shapes(f"{name}.block.{2 * i}") | conv.shapes(place)
        return found | (self.shortcut.shapes(f"{name}.shortcut") if self.shortcut else {})


@dataclass(frozen=True)
class LSTM:
    """Residual LSTM of equally wide layers: `[n, width] -> [n, width]`. It forgets nothing."""

    width: int
    layers: int

    def first_input(self, output: int) -> int:
        """The first row that an output and all after it depend on."""
        return 0

    def shapes(self, name: str) -> Shapes:
        """Its weights, under the module's name; 4 gates: input, forget, cell, output."""
        found: Shapes = {}
        for i in range(self.layers):
            for kind in ("ih", "hh"):
                found[f"{name}.lstm.weight_{kind}_l{i}"] = (4 * self.width, self.width)
                found[f"{name}.lstm.bias_{kind}_l{i}"] = (4 * self.width,)
        return found


Layer = Activation | Convolution | TransposedConvolution | ResidualBlock | LSTM


def _norm_shapes(name: str, norm: Norm, params: dict[str, Any], channels: int) -> Shapes:
    """Weights of a norm that follows a convolution; others are folded into its weights."""
    affine = {"time_group_norm": "affine", "layer_norm": "elementwise_affine"}.get(norm)
    if affine is None or not params.get(affine, True):
        return {}
    shapes: Shapes = {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    if not params.get("bias", True):
        del shapes[f"{name}.bias"]
    return shapes
