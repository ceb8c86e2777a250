"""Convolutions that pad themselves, causally or centred, so that lengths come out exact.

A convolution with kernel k, dilation d and stride s sees k' = (k - 1) d + 1 samples. It is padded
with k' - s samples, plus as many on the right as the last, incomplete hop needs ("extra"):

    k' = 4, s = 2, causal, T = 5            _ _ 1 2 3 4 5 0
    left = k' - s = 2, extra = 1            [-----]            frame 0
                                                [-----]        frame 1
                                                    [-----]    frame 2 = ceil(5 / 2) - 1

Names of the sub-modules are those of Meta's and audiocraft's checkpoints (`conv.conv.weight`).
"""

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from encodec_cli.config import Norm, PadMode
from encodec_cli.errors import ConfigError
from encodec_cli.nn.norm import norm_module, parametrize_norm

__all__ = [
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
        self.norm = norm_module(self.conv.out_channels, norm, causal, **(norm_kwargs or {}))
        parametrize_norm(self.conv, norm)

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
        self.norm = norm_module(self.convtr.out_channels, norm, causal, **(norm_kwargs or {}))
        parametrize_norm(self.convtr, norm)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.convtr(x))
        return out


class StreamableConv1d(nn.Module):
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
        self.causal = causal
        self.pad_mode: PadMode = pad_mode
        self.stride = stride
        self.padding_total = (kernel_size - 1) * dilation + 1 - stride
        if self.padding_total < 0:
            raise ConfigError(f"kernel_size {kernel_size} does not cover its stride {stride}")

    @property
    def padding_right(self) -> int:
        """Look-ahead in samples of the input; 0 if causal."""
        return 0 if self.causal else self.padding_total // 2

    def forward(self, x: Tensor) -> Tensor:
        left = self.padding_total - self.padding_right
        right = self.padding_right + extra_padding(x.shape[-1], self.stride)
        out: Tensor = self.conv(pad1d(x, left, right, self.pad_mode))
        return out


class StreamableConvTranspose1d(nn.Module):
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
        self.convtr = NormConvTranspose1d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            causal=causal,
            norm=norm,
            norm_kwargs=norm_kwargs,
        )
        if not causal and trim_right_ratio != 1.0:
            raise ConfigError("trim_right_ratio: only a causal convolution can trim asymmetrically")
        padding_total = kernel_size - stride
        if padding_total < 0:
            raise ConfigError(f"kernel_size {kernel_size} does not cover its stride {stride}")
        share = math.ceil(padding_total * trim_right_ratio) if causal else padding_total // 2
        self.trim_right = share
        self.trim_left = padding_total - share

    def forward(self, x: Tensor) -> Tensor:
        return unpad1d(self.convtr(x), self.trim_left, self.trim_right)
