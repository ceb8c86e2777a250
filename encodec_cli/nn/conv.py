"""Convolutions that pad themselves, causally or centred, so that lengths come out exact.

A convolution with kernel k, dilation d and stride s sees k' = (k - 1) d + 1 samples. It is padded
with k' - s samples, plus as many on the right as the last, incomplete hop needs ("extra"):

    k' = 4, s = 2, causal, T = 5            _ _ 1 2 3 4 5 0
    left = k' - s = 2, extra = 1            [-----]            frame 0
                                                [-----]        frame 1
                                                    [-----]    frame 2 = ceil(5 / 2) - 1

Each also runs in steps: `step(x, state, last)` takes the next samples, returns all outputs that
they make possible, and leaves in `state` what later outputs still need. The steps' outputs, put
together, are those of `forward` on the whole signal, whatever the steps' sizes. A reflected left
edge makes the first outputs wait until enough samples are there to reflect.

Names of the sub-modules are those of Meta's and audiocraft's checkpoints (`conv.conv.weight`).
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_cli.config.layers import Convolution, TransposedConvolution
from encodec_cli.config.seanet import Norm, PadMode
from encodec_cli.nn.norm import attach_norm
from encodec_cli.nn.streamable import Streamable

__all__ = [
    "ConvState",
    "ConvTransposeState",
    "NormConv1d",
    "NormConvTranspose1d",
    "StreamableConv1d",
    "StreamableConvTranspose1d",
    "extra_padding",
    "pad1d",
    "unpad1d",
]


def extra_padding(samples: int, stride: int) -> int:
    """Zeros missing on the right to fill the last hop of `samples` samples."""
    return -samples % stride


def pad1d(x: Tensor, left: int, right: int, mode: PadMode, value: float = 0.0) -> Tensor:
    """Pad the last axis of `[B, C, T]`; unlike torch's, reflects signals of any length >= 1.

    A signal too short to be reflected is first extended with zeros on the right.
    """
    if mode != "reflect":
        return F.pad(x, (left, right), mode, value if mode == "constant" else None)
    short = max(0, max(left, right) + 1 - x.shape[-1])
    padded = F.pad(F.pad(x, (0, short)), (left, right), "reflect")
    return padded[..., : padded.shape[-1] - short] if short else padded


def unpad1d(x: Tensor, left: int, right: int) -> Tensor:
    """Drop `left` and `right` samples from the ends of the last axis."""
    return x[..., left : x.shape[-1] - right]


class NormConv1d(nn.Module):
    """`Conv1d` with one of the supported normalisations. `[B, C, T] -> [B, C', T']`."""

    def __init__(
        self,
        *args: Any,
        causal: bool = False,
        norm: Norm = "none",
        norm_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(*args, **kwargs)
        self.norm = attach_norm(self.conv, norm, causal, norm_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class NormConvTranspose1d(nn.Module):
    """`ConvTranspose1d` with one of the supported normalisations. `[B, C, T] -> [B, C', T']`."""

    def __init__(
        self,
        *args: Any,
        causal: bool = False,
        norm: Norm = "none",
        norm_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.convtr = nn.ConvTranspose1d(*args, **kwargs)
        self.norm = attach_norm(self.convtr, norm, causal, norm_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.convtr(x))
        return out


@dataclass
class ConvState:
    """What a `StreamableConv1d` remembers between steps.

    Until `started`, `window` `[B, C, n]` holds all samples so far; then the padded samples from
    the first that the next output sees. `tail` holds the last samples for padding the right end.
    """

    window: Tensor | None = None
    tail: Tensor | None = None
    samples: int = 0
    started: bool = False


class StreamableConv1d(Streamable):
    """Self-padding convolution. `[B, C, T] -> [B, C', ceil(T / stride)]`, T >= 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        causal: bool = False,
        norm: Norm = "none",
        norm_kwargs: dict[str, Any] | None = None,
        pad_mode: PadMode = "reflect",
    ) -> None:
        super().__init__()
        self.plan = Convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation,
            causal=causal,
            pad_mode=pad_mode,
            norm=norm,
            norm_params=norm_kwargs or {},
        )
        self.conv = NormConv1d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation=dilation,
            groups=groups,
            bias=bias,
            causal=causal,
            norm=norm,
            norm_kwargs=norm_kwargs,
        )

    @classmethod
    def of(cls, plan: Convolution) -> Self:
        """The layer of a plan."""
        return cls(
            plan.inputs,
            plan.outputs,
            plan.kernel,
            plan.stride,
            plan.dilation,
            causal=plan.causal,
            norm=plan.norm,
            norm_kwargs=plan.norm_params,
            pad_mode=plan.pad_mode,
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = self._padding(x.shape[-1])
        out: Tensor = self.conv(pad1d(x, left, right, self.plan.pad_mode))
        return out

    def _padding(self, samples: int) -> tuple[int, int]:
        """Left and right padding of a signal of `samples` samples."""
        return self.plan.back, self.plan.ahead + extra_padding(samples, self.plan.stride)

    def new_state(self) -> ConvState:
        return ConvState()

    def step(self, x: Tensor, state: ConvState, last: bool) -> Tensor:
        """Outputs `[B, C', m]` that the next samples `[B, C, n]` (n >= 0) complete."""
        plan = self.plan
        state.samples += x.shape[-1]
        window = x if state.window is None else torch.cat((state.window, x), dim=-1)
        most_right = plan.ahead + plan.stride - 1
        if not state.started:
            # Enough to reflect either end, so that only a whole signal can be too short for it.
            if state.samples <= max(plan.back, most_right):
                if last:
                    return self._empty(x) if not state.samples else self.forward(window)
                state.window = window
                return self._empty(x)
            state.started = True
            state.tail = window
            window = pad1d(window, plan.back, 0, plan.pad_mode)
        else:
            assert state.tail is not None
            state.tail = torch.cat((state.tail, x), dim=-1)
        # One sample more than is padded: reflection leaves out the edge itself.
        state.tail = state.tail[..., max(0, state.tail.shape[-1] - most_right - 1) :]
        if last:
            right = self._padding(state.samples)[1]
            padding = pad1d(state.tail, 0, right, plan.pad_mode)[..., state.tail.shape[-1] :]
            window = torch.cat((window, padding), dim=-1)
        outputs = (window.shape[-1] - plan.reach) // plan.stride + 1
        if outputs <= 0:
            state.window = window
            return self._empty(x)
        state.window = window[..., outputs * plan.stride :]
        out: Tensor = self.conv(window[..., : (outputs - 1) * plan.stride + plan.reach])
        return out

    def _empty(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.plan.outputs, 0)


@dataclass
class ConvTransposeState:
    """What a `StreamableConvTranspose1d` remembers between steps.

    `history` `[B, C, n]` holds the last inputs, whose outputs overlap those of the next ones;
    `frames` counts all inputs so far.
    """

    history: Tensor | None = None
    frames: int = 0


class StreamableConvTranspose1d(Streamable):
    """Transposed convolution trimmed to its stride. `[B, C, T] -> [B, C', T * stride]`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        causal: bool = False,
        norm: Norm = "none",
        trim_right_ratio: float = 1.0,
        norm_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.plan = TransposedConvolution(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            causal=causal,
            trim_right_ratio=trim_right_ratio,
            norm=norm,
            norm_params=norm_kwargs or {},
        )
        self.convtr = NormConvTranspose1d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            causal=causal,
            norm=norm,
            norm_kwargs=norm_kwargs,
        )

    @classmethod
    def of(cls, plan: TransposedConvolution) -> Self:
        """The layer of a plan."""
        return cls(
            plan.inputs,
            plan.outputs,
            plan.kernel,
            plan.stride,
            causal=plan.causal,
            norm=plan.norm,
            trim_right_ratio=plan.trim_right_ratio,
            norm_kwargs=plan.norm_params,
        )

    def forward(self, x: Tensor) -> Tensor:
        return unpad1d(self.convtr(x), self.plan.trim_left, self.plan.trim_right)

    def new_state(self) -> ConvTransposeState:
        return ConvTransposeState()

    def step(self, x: Tensor, state: ConvTransposeState, last: bool) -> Tensor:
        """Outputs `[B, C', m]` that the next inputs `[B, C, n]` (n >= 0) complete."""
        stride = self.plan.stride
        inputs = x if state.history is None else torch.cat((state.history, x), dim=-1)
        before, state.frames = state.frames, state.frames + x.shape[-1]
        # Positions of the untrimmed output: inputs yet to come reach those from frames * stride.
        begin = max(before * stride, self.plan.trim_left)
        end = state.frames * stride
        if last and state.frames:
            end += self.plan.trim_left
        origin = (state.frames - inputs.shape[-1]) * stride
        overlap = -(-self.plan.kernel // stride) - 1
        state.history = inputs[..., max(0, inputs.shape[-1] - overlap) :]
        if end <= begin:
            return x.new_zeros(x.shape[0], self.plan.outputs, 0)
        out: Tensor = self.convtr(inputs)
        return out[..., begin - origin : end - origin]
