"""The layers of SEANet compiled for coding: weights laid out for few, large matrix products.

Each layer has `step(x, states, scratch)`: `x` are the streams' next rows, `states[b]` is what
stream b left behind (None before its first rows) and is replaced. All layers are causal: what they
need of the past are rows in front of the new ones.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_cli.config import PadMode
from encodec_cli.engine.rows import Rows, Scratch
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d, extra_padding, pad1d
from encodec_cli.nn.seanet import SEANetResnetBlock

__all__ = ["CompiledConv", "CompiledResidual", "CompiledUpsampling", "Elu", "Layer", "State"]

_MANY_ROWS = 300
_ROWS_OF_ONE = 16

State = Tensor | None


class Layer(Protocol):
    """What the networks are made of."""

    reflected: int
    """Rows that a stream's first block must exceed, unless it is all: its start is reflected."""

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """The rows that the next ones complete; they lie in `scratch`. Moves `states` on."""


class Elu:
    """`x` where positive, else `exp(x) - 1`."""

    def __init__(self) -> None:
        # As tensors: operators would convert numbers each time.
        numbers = torch.tensor([0.0, 1.0, 1 / math.log(2)], dtype=torch.float32)
        self._zero, self._one, self._log2_e = numbers

    def into(self, out: Tensor, x: Tensor, scratch: Scratch) -> None:
        """Write the activation of `x` to `out`, which may be `x`."""
        if x.device.type != "cpu" or x.dtype != torch.float32:
            torch.ops.aten.elu.out(x, out=out)
            return
        # 5 cheap passes: the library's ELU goes through expm1, which alone takes twice their time.
        # The error of exp(x) - 1 is that of rounding 1, as in any sum of the next layer.
        t = scratch.take("elu", x, *x.shape) if out.data_ptr() == x.data_ptr() else out
        torch.minimum(x, self._zero, out=t)
        t.mul_(self._log2_e).exp2_().sub_(self._one)
        torch.maximum(x, t, out=out)


class _Windows:
    """The operand of a convolution: rows of the past, then the new ones, activated."""

    def __init__(self, history: int, stride: int, pad_mode: PadMode, act: Elu | None) -> None:
        self.history = history
        self._stride = stride
        self._pad_mode: PadMode = pad_mode
        self._act = act

    def fill(self, x: Rows, states: list[State], scratch: Scratch, step: int) -> Tensor:
        """`[B, R, C]`, R a multiple of `step`: history, new rows, zeros. Moves the states on."""
        batch, rows, channels = x.data.shape
        h = self.history
        new = rows + extra_padding(rows, step)
        buffer = scratch.take(
            "windows", x.data, batch, h + new + extra_padding(h + new, step), channels
        )
        place = buffer[:, h : h + rows]
        if self._act is None:
            place.copy_(x.data)
        else:
            self._act.into(place, x.data, scratch)
        buffer[:, h + rows :] = 0
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
            edge = pad1d(buffer[end - right - 1 : end].t(), 0, right, mode).t()
            buffer[end : end + right] = edge[right + 1 :]


class _Kernel:
    """A convolution's weight, `[N, taps, C]`, over windows of rows.

    With few rows it is one matrix product over the windows of all streams, read in place: those
    across two streams give rows that nobody reads, which is cheaper than many small products. With
    many, oneDNN's convolution makes more of narrow layers (measured: 81 GFLOP/s instead of 54 for
    32 to 16 channels, 89 instead of 51 for 64 to 32). Both read the same weight, channels last.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, step: int, dilation: int) -> None:
        self.step = step
        self._dilation = dilation
        self._matrix = weight.flatten(1).contiguous()
        self._kernel = self._matrix.view(weight.shape)[:, None].permute(0, 3, 1, 2)
        self._bias = weight.new_zeros(weight.shape[0]) if bias is None else bias.detach()

    def over(self, windows: Tensor, name: str, scratch: Scratch) -> Tensor:
        """`[B, R, C] -> [B, at least (R - reach) / step + 1, N]`, R a multiple of `step`."""
        batch, rows, channels = windows.shape
        outputs, _, _, taps = self._kernel.shape
        many = batch * rows >= _MANY_ROWS * self.step and windows.device.type == "cpu"
        if self._dilation > 1 or (many and channels > 1):
            image = windows[:, None].permute(0, 3, 1, 2)
            found = F.conv2d(
                image, self._kernel, self._bias, (1, self.step), 0, (1, self._dilation)
            )
            return found.permute(0, 2, 3, 1)[:, 0]
        count = (batch * rows - taps) // self.step + 1
        operand = windows.as_strided((count, taps * channels), (self.step * channels, 1))
        out = scratch.take(name, windows, batch, rows // self.step, outputs)
        torch.addmm(self._bias, operand, self._matrix.t(), out=out.view(-1, outputs)[:count])
        return out


class CompiledConv:
    """Causal convolution after an optional ELU."""

    def __init__(self, conv: StreamableConv1d, act: Elu | None, name: str) -> None:
        module = conv.conv.conv
        weight = module.weight.detach().permute(0, 2, 1)
        bias = None if module.bias is None else module.bias.detach()
        dilation = module.dilation[0]
        # A single output channel makes a product of one column: several rows together make more.
        self._together = _ROWS_OF_ONE if weight.shape[0] * conv.stride * dilation == 1 else 1
        if self._together > 1:
            weight, bias = _several_rows(weight, bias, self._together)
        self._stride = conv.stride
        self._kernel = _Kernel(weight, bias, conv.stride * self._together, dilation)
        self._windows = _Windows(conv.padding_total, conv.stride, conv.pad_mode, act)
        self.reflected = conv.padding_total if conv.pad_mode == "reflect" else 0
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, ceil(T / stride), C']`."""
        windows = self._windows.fill(x, states, scratch, self._kernel.step)
        out = self._kernel.over(windows, self._name, scratch)
        if self._together > 1:
            out = out.reshape(out.shape[0], -1, 1)
        lengths = [-(-n // self._stride) for n in x.lengths]
        return x.with_data(out[:, : -(-x.data.shape[1] // self._stride)], lengths)


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
    """Causal transposed convolution of twice its stride, after an ELU.

    Each input row and the one before it make `stride` output rows: a convolution of 2 taps with
    `stride * C'` outputs.
    """

    reflected = 0

    def __init__(self, conv: StreamableConvTranspose1d, act: Elu | None, name: str) -> None:
        module = conv.convtr.convtr
        inputs, self._outputs, _ = module.weight.shape
        self._stride = module.stride[0]
        # [C, C', 2 s] -> (s, C'), taps, C; the tap of the row before comes first.
        taps = module.weight.detach().view(inputs, self._outputs, 2, self._stride)
        weight = taps.permute(3, 1, 2, 0).flip(2).flatten(0, 1)
        bias = None if module.bias is None else module.bias.detach().repeat(self._stride)
        self._kernel = _Kernel(weight, bias, 1, 1)
        self._windows = _Windows(1, 1, "constant", act)
        self._name = name

    def step(self, x: Rows, states: list[State], scratch: Scratch) -> Rows:
        """`[B, T, C] -> [B, T * stride, C']`."""
        windows = self._windows.fill(x, states, scratch, 1)
        out = self._kernel.over(windows, self._name, scratch)
        data = out.view(out.shape[0], out.shape[1] * self._stride, self._outputs)
        return x.with_data(
            data[:, : x.data.shape[1] * self._stride], [n * self._stride for n in x.lengths]
        )


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
