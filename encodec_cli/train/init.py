"""Initial weights that start from a linear codec instead of from noise.

In both networks some channels carry the signal itself, untouched by the rest. The encoder's first
convolution copies the waveform; each strided convolution takes the principal components of every
block of `stride` samples of all signals (a Karhunen-Loève transform), as many as there is room
for; the last convolution keeps `dimension` of them, at scales that spread quantization over the
spectrum. The decoder is the transpose of all this. If it looks ahead, the last strided convolution
laps over two frames instead.

    encoder   x --copy--> KLT of 40 --> KLT of 8 x 40 --> lapped --> KLT, scaled --> latents
    decoder   x <--copy-- inverse   <-- inverse       <-- inverse <-- inverse    <-- latents

A signal s travels as the pair s, -s, because f(s) - f(-s) is proportional to s for a (leaky) ReLU,
and nearly so for other activations. The remaining channels start as random features (variance
kept, He et al. 2015) that do not flow into the signal yet; residual layers start silent.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from encodec_cli.config.layers import Activation
from encodec_cli.errors import ConfigError
from encodec_cli.model.module import CompressionModel
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.lstm import StreamableLSTM
from encodec_cli.nn.norm import set_weight
from encodec_cli.nn.seanet import SEANetResnetBlock

__all__ = ["initialize"]

_GAIN = 1.4
"""Of random weights, such that an activation keeps the variance."""
_SIGNAL_GAIN = 7.0
"""From the waveform, of about 0.07 RMS, to the signals inside."""
_SILENT = 1e-6
"""Deviation of weights that start as good as zero; a weight norm cannot start at zero itself."""

_Conv = nn.Conv1d | nn.ConvTranspose1d


@torch.no_grad()
def initialize(model: CompressionModel, batches: Iterable[Tensor]) -> None:
    """Set all weights of `model`'s networks in place; the signal's path fits `batches` `[B, C, T]`.

    Draws from torch's random generator.

    Raises:
        ConfigError: too few channels to carry the signal.
    """
    if min(model.config.seanet.widths) < 2 * model.channels:
        raise ConfigError(
            f"n_filters: {model.config.seanet.n_filters}: training needs at least two per channel "
            "of audio"
        )
    for network in (model.encoder, model.decoder):
        for layer in network.model:
            _randomize(layer)
    slope = _pair_slope(model)
    first, *downs, last = _convs(model.encoder.model)
    head, *_, end = _convs(model.decoder.model)
    copy = torch.eye(model.channels, device=first.conv.conv.weight.device)[..., None]
    set_weight(first.conv.conv, first.conv.conv.weight * _SIGNAL_GAIN)
    _carry(first, _pair_outputs(copy * _SIGNAL_GAIN))
    _carry(end, _pair_inputs(copy / _SIGNAL_GAIN, slope), alone=True)

    activations = [first(x) for x in batches]
    signals = model.channels
    basis = copy  # what each signal stands for, [signals, channels, samples]
    ups = iter(reversed(_ups(model)))
    for layer in list(model.encoder.model)[1:]:
        if layer is last:
            dimension = last.plan.outputs
            taps, powers = _components(activations, signals, 1, dimension, slope)
            scales = _latent_scales(powers)[:, None, None]
            _carry(last, _pair_inputs(taps * scales, slope), alone=True)
            _carry(head, _pair_outputs((taps / scales).transpose(0, 1)))
        elif layer in downs:
            up = next(ups)
            room = up.plan.inputs // 2
            lapped = layer is downs[-1] and model.config.decoder.trim_right_ratio == 0
            if lapped:
                taps = _lapped_components(basis, layer.plan.stride, room)
            else:
                taps, _ = _components(activations, signals, layer.plan.stride, room, slope)
                basis = _compose(taps, basis)
            _carry(layer, _pair_outputs(_pair_inputs(taps, slope)), lapped=lapped)
            _carry_up(up, _pair_outputs(_pair_inputs(taps.transpose(0, 1), slope)), lapped=lapped)
            signals = len(taps)
        activations = [layer(x) for x in activations]


def _latent_scales(powers: Tensor) -> Tensor:
    """Scales of latents with these powers (falling) that raise the weak ones and keep the sum.

    Quantization makes errors of equal power in all latents, so the scales decide how the noise
    spreads over the spectrum. With these it follows the square root of the signal's level.
    """
    scales = powers.clamp(min=1e-5 * float(powers[0])) ** -0.25
    return scales * (powers.sum() / (scales.square() * powers).sum()).sqrt()


def _compose(taps: Tensor, basis: Tensor) -> Tensor:
    """Functions of time `[o, channels, stride * N]` of outputs, from those of the inputs."""
    return torch.einsum("oij,icn->ocjn", taps, basis).flatten(2)


def _lapped_components(basis: Tensor, stride: int, most: int) -> Tensor:
    """The lowest frequencies of a lapped transform, `[o, signals, 2 * stride]`.

    Over signals with these functions of time it is the modified discrete cosine transform
    (Princen and Bradley 1986) with a sine window of two frames. Unlike blocks, it leaves no edges
    between frames.
    """
    samples = basis.shape[2]
    hop = stride * samples
    n, k = torch.arange(2 * hop).double(), torch.arange(hop).double()
    window = torch.sin(math.pi / (2 * hop) * (n + 0.5))
    cosines = torch.cos(math.pi / hop * (n + 0.5 + hop / 2) * (k[:, None] + 0.5))
    transform = ((2 / hop) ** 0.5 * window * cosines).to(basis).unflatten(1, (2 * stride, samples))
    taps = torch.einsum("kjn,icn->kcij", transform, basis).flatten(0, 1)
    return taps[:most]


def _components(
    activations: list[Tensor], signals: int, stride: int, most: int, slope: float
) -> tuple[Tensor, Tensor]:
    """The first principal components of blocks of `stride` samples, and their powers.

    `[o, signals, stride]` and `[o]`; `activations` `[B, C, T]` hold the activated pairs of the
    signals.
    """
    size = signals * stride
    covariance, count = activations[0].new_zeros(size, size), 0
    for x in activations:
        s = (x[:, 0 : 2 * signals : 2] - x[:, 1 : 2 * signals : 2]) / slope
        blocks = s.unfold(2, stride, stride).transpose(1, 2).reshape(-1, size)
        covariance += blocks.t() @ blocks
        count += len(blocks)
    powers, components = torch.linalg.eigh(covariance.double() / count)
    components = components.flip(1)[:, :most].t().reshape(-1, signals, stride)
    return components.float(), powers.flip(0)[:most].clamp(min=1e-12).float()


def _convs(layers: nn.Sequential) -> list[StreamableConv1d]:
    return [m for m in layers if isinstance(m, StreamableConv1d)]


def _ups(model: CompressionModel) -> list[StreamableConvTranspose1d]:
    return [m for m in model.decoder.model if isinstance(m, StreamableConvTranspose1d)]


def _pair_slope(model: CompressionModel) -> float:
    """f(s) - f(-s) over s for the model's activation f."""
    encoder = model.encoder
    activation = next(
        module
        for plan, module in zip(encoder.plan.layers, encoder.model, strict=True)
        if isinstance(plan, Activation)
    )
    plus, minus = activation(torch.tensor([0.1, -0.1])).tolist()
    return float(plus - minus) / 0.1


def _pair_inputs(taps: Tensor, slope: float) -> Tensor:
    """`[O, I, K]` on signals to `[O, 2 I, K]` on the activated pairs of them."""
    return torch.stack((taps, -taps), dim=2).flatten(1, 2) / slope


def _pair_outputs(taps: Tensor) -> Tensor:
    """`[O, I, K]` that give signals to `[2 O, I, K]` that give pairs."""
    return torch.stack((taps, -taps), dim=1).flatten(0, 1)


def _carry(
    layer: StreamableConv1d, taps: Tensor, *, alone: bool = False, lapped: bool = False
) -> None:
    """Let the first outputs be `taps` `[o, i, k]` of the first inputs, from the present tap on.

    With `lapped` they fill the whole kernel, past taps too. With `alone` all other weights of the
    layer become zero.
    """
    conv = layer.conv.conv
    outputs, inputs, length = taps.shape
    present = 0 if lapped else layer.plan.back
    weight = torch.zeros_like(conv.weight) if alone else conv.weight.clone()
    weight[:outputs] = 0
    weight[:outputs, :inputs, present : present + length] = taps
    set_weight(conv, weight)


def _carry_up(layer: StreamableConvTranspose1d, taps: Tensor, *, lapped: bool = False) -> None:
    """The same for a transposed convolution; `taps` `[o, i, k]` fill its stride, or all of it."""
    conv = layer.convtr.convtr
    outputs, inputs, length = taps.shape
    weight = conv.weight.clone()
    weight[:, :outputs] = 0
    begin = 0 if lapped else layer.plan.trim_left
    here = slice(begin, begin + length)
    weight[:inputs, :outputs, here] = taps.transpose(0, 1)
    set_weight(conv, weight)


def _randomize(layer: nn.Module) -> None:
    if isinstance(layer, StreamableConv1d):
        _fill(layer.conv.conv, _GAIN / (layer.plan.inputs * layer.plan.kernel) ** 0.5)
    elif isinstance(layer, StreamableConvTranspose1d):
        plan = layer.plan
        _fill(layer.convtr.convtr, _GAIN / (plan.inputs * plan.kernel / plan.stride) ** 0.5)
    elif isinstance(layer, SEANetResnetBlock):
        for part in layer.convolutions:
            _randomize(part)
        _fill(layer.convolutions[-1].conv.conv, _SILENT)
        if isinstance(layer.shortcut, StreamableConv1d):
            shortcut, width = layer.shortcut.conv.conv, layer.shortcut.plan.outputs
            _fill(shortcut, _SILENT)
            set_weight(shortcut, torch.eye(width, device=shortcut.weight.device)[..., None])
    elif isinstance(layer, StreamableLSTM):
        # With no input to its cells, the top layer gives nothing.
        top, width = layer.lstm.num_layers - 1, layer.lstm.hidden_size
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(layer.lstm, f"{name}_l{top}")[2 * width : 3 * width] = 0


def _fill(conv: _Conv, deviation: float) -> None:
    set_weight(conv, torch.randn_like(conv.weight) * deviation)
    if conv.bias is not None:
        conv.bias.zero_()
