"""Level of what the decoder gives: the last step of training.

The losses bias the decoder low, by up to 1 dB: squared errors shrink what is uncertain, and the
models of hearing count added noise more than missing sound. A constant gain corrects it.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from encodec_cli.model.module import CompressionModel
from encodec_cli.nn.conv import StreamableConv1d
from encodec_cli.nn.norm import set_weight

__all__ = ["match_level"]


@torch.no_grad()
def match_level(model: CompressionModel, batches: Iterable[Tensor], n_q: int) -> float:
    """Scale the decoder's last layer so that crops come back as loud as they were.

    The median over the crops of `batches` `[B, C, T]`, coded with `n_q` codebooks, decides.
    Returns the gain in dB; 0 for a decoder whose last layer is an activation or a norm.
    """
    last = model.decoder.model[-1]
    if not isinstance(last, StreamableConv1d) or not isinstance(last.conv.norm, nn.Identity):
        return 0.0
    missing = []
    for x in batches:
        codes = model.quantizer.encode(model.encoder(x))[:, :n_q]
        y = model.decoder(model.quantizer.decode(codes))[..., : x.shape[-1]]
        powers = [signal.square().mean((1, 2)).clamp(min=1e-10) for signal in (x, y)]
        missing.append(powers[0] / powers[1])
    gain = float(torch.cat(missing).median().sqrt())
    conv = last.conv.conv
    set_weight(conv, conv.weight * gain)
    if conv.bias is not None:
        conv.bias.mul_(gain)
    return 20 * math.log10(gain)
