"""Multi-scale STFT discriminator (EnCodec, Défossez et al. 2022, section 3.4 and figure 2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from encodec_cli.dsp.spectra import stft

__all__ = ["MultiScaleSTFTDiscriminator", "STFTDiscriminator"]


def _conv(
    inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, dilation: int = 1
) -> nn.Module:
    """Convolution over (time, frequency); only frequency is strided, only time dilated."""
    padding = ((kernel[0] - 1) * dilation // 2, (kernel[1] - 1) // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, (1, stride), padding, (dilation, 1))
    normed: nn.Module = weight_norm(conv)
    return normed


class STFTDiscriminator(nn.Module):
    """Judges the real and imaginary part of one STFT."""

    def __init__(self, n_fft: int, filters: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.convs = nn.ModuleList(
            [
                _conv(2, filters, (3, 9)),
                *(_conv(filters, filters, (3, 9), stride=2, dilation=d) for d in (1, 2, 4)),
                _conv(filters, filters, (3, 3)),
            ]
        )
        self.last = _conv(filters, 1, (3, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`[B, N]` -> score `[B, 1, frames, bands]` and the features of each layer."""
        spectrum = stft(x, self.n_fft, self.n_fft // 4) / self.n_fft**0.5
        y = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        features = []
        for conv in self.convs:
            y = F.leaky_relu(conv(y), 0.2)
            features.append(y)
        return self.last(y), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One `STFTDiscriminator` per size in `n_ffts`."""

    def __init__(self, filters: int = 32, n_ffts: Sequence[int] = (2048, 1024, 512, 256, 128)):
        super().__init__()
        self.scales = nn.ModuleList(STFTDiscriminator(n_fft, filters) for n_fft in n_ffts)

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """`[B, N]` -> scores and features, one entry per scale."""
        results = [scale(x) for scale in self.scales]
        return [score for score, _ in results], [features for _, features in results]
