"""The layers of SEANet compiled for coding: weights laid out for few, large matrix products.

Each layer has `step(x, states, scratch)`: `x` are the streams' next rows, `states[b]` is what
stream b left behind (None before its first rows) and is replaced. All layers are causal: what they
need of the past are rows in front of the new ones. To look ahead is to drop the first rows of a
stream, and to make as many more at its end. Between layers, activations are in `UNIT`s.
"""

from typing import Protocol

import torch
from torch import Tensor

from encodec_cli.engine.activation import UNIT, Activation, compiled_activation
from encodec_cli.engine.products import Products
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.engine.windows import State, Windows
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.seanet import SEANetResnetBlock

__all__ = ["CompiledConv", "CompiledLayer", "CompiledResidual", "CompiledUpsampling"]

_ROWS_TOGETHER = 16


class CompiledLayer(Protocol):
    """What the networks are made of."""

    reflected: int
    """Rows that a stream's first block must exceed, unless it is all: its start is reflected."""

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """The rows that the next ones complete; they lie in `scratch`. Moves `states` on."""


class CompiledConv:
    """Causal convolution after an optional activation.

    Takes `unit_in` times its true inputs and gives `unit_out` times its true outputs.
    """

    def __init__(
        self,
        conv: StreamableConv1d,
        act: Activation | None,
        name: str,
        unit_in: float = UNIT,
        unit_out: float = UNIT,
    ) -> None:
        plan, module = conv.plan, conv.conv.conv
        weight = module.weight.detach().permute(0, 2, 1) * (unit_out / unit_in)
        bias = None if module.bias is None else module.bias.detach() * unit_out
        # One or two output channels make thin products: several rows together make more of them.
        thin = plan.outputs <= 2 and plan.stride * plan.dilation == 1
        self._together = _ROWS_TOGETHER if thin else 1
        if self._together > 1:
            weight, bias = _several_rows(weight, bias, self._together)
        self._stride = plan.stride
        step = plan.stride * self._together
        self._products = Products(weight, bias, step, plan.dilation)
        self._windows = Windows(plan.back, plan.stride, step, plan.pad_mode, act)
        self.reflected = plan.back if plan.pad_mode == "reflect" else 0
        self._outputs = plan.outputs
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, ceil(T / stride), C']`."""
        batch, rows, _ = x.data.shape
        frames = self._windows.fill(x, states, scratch)
        out = self._products.over(frames, batch, self._name, scratch)
        out = out.view(batch, -1, self._outputs)
        # Only decoders have starts, and their convolutions no stride.
        stops = [-(-n // self._stride) for n in x.stops]
        return x.with_data(out[:, : -(-rows // self._stride)], stops=stops)


def _several_rows(
    weight: Tensor, bias: Tensor | None, together: int
) -> tuple[Tensor, Tensor | None]:
    """A kernel `[N, taps, C]` as one that makes `together` rows at once, one window's apart."""
    n, taps, channels = weight.shape
    wide = weight.new_zeros(together, n, taps + together - 1, channels)
    for i in range(together):
        wide[i, :, i : i + taps] = weight
    return wide.flatten(0, 1), None if bias is None else bias.repeat(together)


class CompiledUpsampling:
    """Transposed convolution of twice its stride, after an activation.

    Each input row and the one before it make `stride` output rows: a convolution of 2 taps with
    `stride * C'` outputs. One that looks ahead drops `trim_left` of a stream's first.
    """

    reflected = 0

    def __init__(self, conv: StreamableConvTranspose1d, act: Activation | None, name: str) -> None:
        plan, module = conv.plan, conv.convtr.convtr
        self._outputs, self._stride = plan.outputs, plan.stride
        # [C, C', 2 s] -> (s, C'), taps, C; the tap of the row before comes first.
        taps = module.weight.detach().view(plan.inputs, plan.outputs, 2, plan.stride)
        weight = taps.permute(3, 1, 2, 0).flip(2).flatten(0, 1)
        bias = None if module.bias is None else module.bias.detach() * UNIT
        if bias is not None:
            bias = bias.repeat(self._stride)
        self._products = Products(weight, bias, 1, 1)
        self._trimmed = plan.trim_left
        self._windows = Windows(1, 1, 1, "constant", act, after=1 if self._trimmed else 0)
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T * stride, C']`, or more where a stream ends."""
        # No more than what one row makes is trimmed: all of it where the first one comes.
        starts = [
            start * self._stride + (self._trimmed if s is None and start < stop else 0)
            for s, start, stop in zip(states, x.starts, x.stops, strict=True)
        ]
        stops = [
            stop * self._stride + (self._trimmed if last else 0)
            for stop, last in zip(x.stops, x.last, strict=True)
        ]
        frames = self._windows.fill(x, states, scratch)
        out = self._products.over(frames, x.data.shape[0], self._name, scratch)
        data = out.view(out.shape[0], out.shape[1] * self._stride, self._outputs)
        rows = max(x.data.shape[1] * self._stride, *stops)
        return x.with_data(data[:, :rows], starts, stops)


class CompiledResidual:
    """Residual block: a convolution and one of kernel 1, each activated, beside a shortcut."""

    def __init__(self, module: SEANetResnetBlock, name: str) -> None:
        first, last = module.convolutions
        act = compiled_activation(module.plan.activation)
        if act is None:
            raise TypeError(f"{module.plan.activation} has no compiled form")
        self._act = act
        self._conv = CompiledConv(first, self._act, "hidden")
        self.reflected = self._conv.reflected
        self._weight, self._bias = _pointwise(last)
        self._shortcut: Tensor | None = None
        if isinstance(module.shortcut, StreamableConv1d):
            self._shortcut, bias = _pointwise(module.shortcut)
            self._bias = self._bias + bias
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T, C]`."""
        hidden = self._conv.step(x, states, scratch).data
        active = scratch.take("active", hidden, *hidden.shape)
        self._act.into(active, hidden)
        out = scratch.take(self._name, x.data, *x.data.shape)
        for rows, inner, result in zip(x.data, active, out, strict=True):
            if self._shortcut is None:
                torch.addmm(rows, inner, self._weight, out=result).add_(self._bias)
            else:
                torch.addmm(self._bias, rows, self._shortcut, out=result)
                result.addmm_(inner, self._weight)
        return x.with_data(out)


def _pointwise(conv: StreamableConv1d) -> tuple[Tensor, Tensor]:
    """Weight `[C, C']` and bias `[C']`, in `UNIT`s, of a convolution of kernel 1."""
    weight = conv.conv.conv.weight.detach()[:, :, 0]
    bias = conv.conv.conv.bias
    bias = weight.new_zeros(weight.shape[0]) if bias is None else bias.detach() * UNIT
    return weight.t().contiguous(), bias
