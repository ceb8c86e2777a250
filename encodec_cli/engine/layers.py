"""The layers of SEANet compiled for coding: weights laid out for few, large matrix products.

Each layer has `step(x, states, scratch)`: `x` are the streams' next rows, `states[b]` is what
stream b left behind (None before its first rows) and is replaced. All layers are causal: what they
need of the past are rows in front of the new ones.
"""

from typing import Protocol

import torch
from torch import Tensor

from encodec_cli.config import PadMode
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d, extra_padding, pad1d
from encodec_cli.nn.seanet import SEANetResnetBlock

__all__ = ["CompiledConv", "CompiledResidual", "CompiledUpsampling", "Elu", "Layer", "State"]

_LOG2_E = 1.4426950408889634

State = Tensor | None


class Layer(Protocol):
    """What the networks are made of."""

    reflected: int
    """Rows that a stream's first block must exceed, unless it is all: its start is reflected."""

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """The rows that the next ones complete; they lie in `scratch`. Moves `states` on."""


class Elu:
    """`x` where positive, else `exp(x) - 1`."""

    def into(self, out: Tensor, x: Tensor, scratch: Scratch) -> None:
        """Write the activation of `x` to `out`, which may be `x`."""
        if x.device.type != "cpu" or x.dtype != torch.float32:
            torch.ops.aten.elu.out(x, out=out)
            return
        # 5 cheap passes: the library's ELU goes through expm1, which alone takes twice their time.
        # The error of exp(x) - 1 is that of rounding 1, as in any sum of the next layer.
        t = scratch.take("elu", x, *x.shape) if out.data_ptr() == x.data_ptr() else out
        torch.clamp_max(x, 0.0, out=t)
        t.mul_(_LOG2_E).exp2_().sub_(1.0)
        torch.maximum(x, t, out=out)


class _Windows:
    """The operand of a convolution: rows of the past, then the new ones, activated."""

    def __init__(self, history: int, stride: int, pad_mode: PadMode, act: Elu | None) -> None:
        self.history = history
        self._stride = stride
        self._pad_mode: PadMode = pad_mode
        self._act = act

    def fill(self, x: Rows, states: list[State], scratch: Scratch) -> Tensor:
        """`[B, history + T', C]`, T' a multiple of the stride; moves the states on."""
        batch, rows, channels = x.data.shape
        h = self.history
        padded = rows + extra_padding(rows, self._stride)
        buffer = scratch.take("windows", x.data, batch, h + padded, channels)
        new = buffer[:, h : h + rows]
        if self._act is None:
            new.copy_(x.data)
        else:
            self._act.into(new, x.data, scratch)
        for b, (length, last) in enumerate(zip(x.lengths, x.last, strict=True)):
            self._pad(buffer[b], states[b], length, last)
            if h and not last:
                states[b] = buffer[b, rows : rows + h].clone()
        return buffer

    def _pad(self, buffer: Tensor, state: State, length: int, last: bool) -> None:
        h, mode = self.history, self._pad_mode
        right = extra_padding(length, self._stride) if last else 0
        end = h + length
        if state is not None:
            buffer[:h] = state
        elif last and length <= max(h, right):  # too short to be reflected from either side
            whole = pad1d(buffer[h:end].t(), h, right, mode).t().clone()
            buffer[: end + right] = whole
            return
        elif h:
            # One row more than is padded: reflection leaves out the edge itself.
            buffer[:h] = pad1d(buffer[h : 2 * h + 1].t(), h, 0, mode).t()[:h]
        if right:
            buffer[end : end + right] = pad1d(
                buffer[end - right - 1 : end].t(), 0, right, mode
            ).t()[right + 1 :]


def _product(
    windows: Tensor, weight: Tensor, bias: Tensor | None, taps: int, step: int, out: Tensor
) -> Tensor:
    """Multiply all windows of `taps` rows, each `step` rows after the one before, by `weight`.

    `windows` `[B, R, C]` (contiguous, R a multiple of `step`), `weight` `[taps * C, N]`, `out`
    `[B, R / step, N]`. One product for all streams: windows across two of them give rows that
    nobody reads, which is cheaper than many small products.
    """
    batch, rows, channels = windows.shape
    n = weight.shape[1]
    count = (batch * rows - taps) // step + 1
    operand = windows.as_strided((count, taps * channels), (step * channels, 1))
    result = out.view(-1, n)[:count]
    if bias is None:
        torch.mm(operand, weight, out=result)
    else:
        torch.addmm(bias, operand, weight, out=result)
    return out


class CompiledConv:
    """Causal convolution after an optional ELU."""

    def __init__(self, conv: StreamableConv1d, act: Elu | None, name: str) -> None:
        weight = conv.conv.conv.weight.detach()
        outputs, _, self._taps = weight.shape
        self._stride = conv.stride
        self._dilation = conv.conv.conv.dilation[0]
        self._windows = _Windows(conv.padding_total, conv.stride, conv.pad_mode, act)
        self.reflected = conv.padding_total if conv.pad_mode == "reflect" else 0
        self._weight = weight.permute(2, 1, 0).reshape(-1, outputs).contiguous()
        bias = conv.conv.conv.bias
        self._bias = None if bias is None else bias.detach()
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, ceil(T / stride), C']`."""
        windows = self._windows.fill(x, states, scratch)
        batch, rows, _ = windows.shape
        out = scratch.take(self._name, windows, batch, rows // self._stride, self._weight.shape[1])
        if self._dilation == 1:
            _product(windows, self._weight, self._bias, self._taps, self._stride, out)
        else:
            self._dilated(windows, out)
        data = out[:, : (rows - self._windows.history) // self._stride]
        return x.with_data(data, [-(-n // self._stride) for n in x.lengths])

    def _dilated(self, windows: Tensor, out: Tensor) -> None:
        flat, result = windows.flatten(0, 1), out.flatten(0, 1)
        channels, d = flat.shape[1], self._dilation
        count = flat.shape[0] - (self._taps - 1) * d
        result = result[:count]
        for tap in range(self._taps):
            operand = flat[tap * d : tap * d + count]
            weight = self._weight[tap * channels : (tap + 1) * channels]
            if tap == 0 and self._bias is not None:
                torch.addmm(self._bias, operand, weight, out=result)
            elif tap == 0:
                torch.mm(operand, weight, out=result)
            else:
                result.addmm_(operand, weight)


class CompiledUpsampling:
    """Causal transposed convolution of twice its stride, after an ELU.

    Each input row and the one before it make `stride` output rows: a convolution of 2 taps with
    `stride * C'` outputs.
    """

    reflected = 0

    def __init__(self, conv: StreamableConvTranspose1d, act: Elu | None, name: str) -> None:
        module = conv.convtr.convtr
        weight = module.weight.detach()
        inputs, self._outputs, _ = weight.shape
        self._stride = module.stride[0]
        # [C, C', 2 s] -> taps, C, (s, C'); the tap of the row before comes first.
        taps = weight.view(inputs, self._outputs, 2, self._stride).permute(2, 0, 3, 1).flip(0)
        self._weight = taps.reshape(2 * inputs, self._stride * self._outputs).contiguous()
        bias = module.bias
        self._bias = None if bias is None else bias.detach().repeat(self._stride)
        self._windows = _Windows(1, 1, "constant", act)
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T * stride, C']`."""
        windows = self._windows.fill(x, states, scratch)
        batch, rows, _ = windows.shape
        out = scratch.take(self._name, windows, batch, rows, self._weight.shape[1])
        _product(windows, self._weight, self._bias, 2, 1, out)
        data = out.view(batch, rows * self._stride, self._outputs)[:, : -self._stride]
        return x.with_data(data, [n * self._stride for n in x.lengths])


class CompiledResidual:
    """Residual block: ELU, convolution, ELU, convolution of kernel 1, beside a shortcut."""

    def __init__(self, module: SEANetResnetBlock, name: str) -> None:
        first, last = (m for m in module.block if isinstance(m, StreamableConv1d))
        shortcut = module.shortcut if isinstance(module.shortcut, StreamableConv1d) else None
        self._act = Elu()
        self._conv = CompiledConv(first, self._act, "hidden")
        self.reflected = self._conv.reflected
        self._weight, self._bias = _pointwise(last)
        self._shortcut: Tensor | None = None
        if shortcut is not None:
            self._shortcut, bias = _pointwise(shortcut)
            self._bias = self._bias + bias
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T, C]`."""
        hidden = self._conv.step(x, states, scratch).data
        self._act.into(hidden, hidden, scratch)
        out = scratch.take(self._name, x.data, *x.data.shape)
        for rows, inner, result in zip(x.data, hidden, out, strict=True):
            if self._shortcut is None:
                torch.addmm(rows, inner, self._weight, out=result).add_(self._bias)
            else:
                torch.addmm(self._bias, rows, self._shortcut, out=result)
                result.addmm_(inner, self._weight)
        return x.with_data(out)


def _pointwise(conv: StreamableConv1d) -> tuple[Tensor, Tensor]:
    """Weight `[C, C']` and bias `[C']` of a convolution of kernel 1."""
    weight = conv.conv.conv.weight.detach()[:, :, 0]
    bias = conv.conv.conv.bias
    return weight.t().contiguous(), weight.new_zeros(
        weight.shape[0]
    ) if bias is None else bias.detach()
