"""Initial weights that keep the signal's level through depth.

torch's default shrinks it layer by layer, and on a small budget the latents then collapse to a
few codes. Here each convolution preserves variance (He et al. 2015), the last one of a residual
branch starts small so that depth starts shallow, and the two convolutions at the waveform bring
its level of about 0.07 to 1 and back.
"""

import torch
from torch import nn

from encodec_cli.model import CompressionModel
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.seanet import SEANetResnetBlock

__all__ = ["initialize"]

_ELU_GAIN = 1.25
_BRANCH_GAIN = 0.4
_WAVEFORM_LEVEL = 0.07


@torch.no_grad()
def initialize(model: CompressionModel) -> None:
    """Set all convolution weights of `model` in place, from torch's random generator."""
    for network in (model.encoder, model.decoder):
        for module in network.modules():
            if isinstance(module, StreamableConv1d):
                conv = module.conv.conv
                _fill(conv, conv.in_channels * conv.kernel_size[0], _ELU_GAIN)
            elif isinstance(module, StreamableConvTranspose1d):
                convtr = module.convtr.convtr
                overlap = convtr.kernel_size[0] / convtr.stride[0]
                _fill(convtr, convtr.in_channels * overlap, _ELU_GAIN)
        for module in network.modules():
            if isinstance(module, SEANetResnetBlock):
                _scale(module.block[-1], _BRANCH_GAIN)
    _scale(model.encoder.model[0], 0.5 / _WAVEFORM_LEVEL)
    last = next(m for m in reversed(model.decoder.model) if isinstance(m, StreamableConv1d))
    _scale(last, 0.5 * _WAVEFORM_LEVEL)


def _fill(conv: nn.Conv1d | nn.ConvTranspose1d, fan_in: float, gain: float) -> None:
    _set_weight(conv, torch.randn_like(conv.weight) * (gain / fan_in**0.5))
    if conv.bias is not None:
        conv.bias.zero_()


def _scale(module: nn.Module, factor: float) -> None:
    conv = module.conv.conv  # type: ignore[union-attr]
    _set_weight(conv, conv.weight * factor)  # type: ignore[arg-type, operator, union-attr]


def _set_weight(conv: nn.Conv1d | nn.ConvTranspose1d, weight: torch.Tensor) -> None:
    """Set the weight whether it is a parameter or computed from the parts of a weight norm."""
    if nn.utils.parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight
    else:
        conv.weight.copy_(weight)
