"""Initial weights that start from a linear codec instead of from noise.

In both networks some channels carry the signal itself, untouched by the rest. The encoder's first
convolution copies the waveform; each strided convolution takes the principal components of every
block of `stride` samples of all signals (a Karhunen-Loève transform), as many as there is room
for; the last convolution keeps `dimension` of them. The decoder is the transpose of all this.

    encoder   x --copy--> KLT of 40 --> KLT of 8 x 40 --> latents
    decoder   x <--copy-- inverse   <-- inverse       <-- latents

A signal s travels as the pair s, -s, because f(s) - f(-s) is proportional to s for a (leaky) ReLU,
and nearly so for other activations. The remaining channels start as random features (variance
kept, He et al. 2015) that do not flow into the signal yet; residual layers start silent.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from encodec_cli.errors import ConfigError
from encodec_cli.model import CompressionModel
from encodec_cli.nn.conv import StreamableConv1d, StreamableConvTranspose1d
from encodec_cli.nn.lstm import StreamableLSTM
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
    copy = torch.eye(model.channels)[..., None]
    _set_weight(first.conv.conv, first.conv.conv.weight * _SIGNAL_GAIN)
    _carry(first, _pair_outputs(copy * _SIGNAL_GAIN))
    _carry(end, _pair_inputs(copy / _SIGNAL_GAIN, slope), alone=True)

    activations = [first(x) for x in batches]
    signals = model.channels
    ups = iter(reversed(_ups(model)))
    for layer in list(model.encoder.model)[1:]:
        if layer is last:
            taps = _components(activations, signals, 1, last.conv.conv.out_channels, slope)
            _carry(last, _pair_inputs(taps, slope), alone=True)
            _carry(head, _pair_outputs(taps.transpose(0, 1)))
        elif layer in downs:
            up = next(ups)
            room = up.convtr.convtr.in_channels // 2
            taps = _components(activations, signals, layer.stride, room, slope)
            _carry(layer, _pair_outputs(_pair_inputs(taps, slope)))
            _carry_up(up, _pair_outputs(_pair_inputs(taps.transpose(0, 1), slope)))
            signals = len(taps)
        activations = [layer(x) for x in activations]


def _components(
    activations: list[Tensor], signals: int, stride: int, most: int, slope: float
) -> Tensor:
    """The first principal components of blocks of `stride` samples, `[o, signals, stride]`.

    `activations` `[B, C, T]` hold the activated pairs of the signals.
    """
    size = signals * stride
    covariance = activations[0].new_zeros(size, size)
    for x in activations:
        s = (x[:, 0 : 2 * signals : 2] - x[:, 1 : 2 * signals : 2]) / slope
        blocks = s.unfold(2, stride, stride).transpose(1, 2).reshape(-1, size)
        covariance += blocks.t() @ blocks
    components: Tensor = torch.linalg.eigh(covariance.double()).eigenvectors.flip(1)[:, :most]
    return components.t().reshape(-1, signals, stride).float()


def _convs(layers: nn.Sequential) -> list[StreamableConv1d]:
    return [m for m in layers if isinstance(m, StreamableConv1d)]


def _ups(model: CompressionModel) -> list[StreamableConvTranspose1d]:
    return [m for m in model.decoder.model if isinstance(m, StreamableConvTranspose1d)]


def _pair_slope(model: CompressionModel) -> float:
    """f(s) - f(-s) over s for the model's activation f."""
    activation = next(m for m in model.encoder.model if not hasattr(m, "step"))
    plus, minus = activation(torch.tensor([0.1, -0.1])).tolist()
    return float(plus - minus) / 0.1


def _pair_inputs(taps: Tensor, slope: float) -> Tensor:
    """`[O, I, K]` on signals to `[O, 2 I, K]` on the activated pairs of them."""
    return torch.stack((taps, -taps), dim=2).flatten(1, 2) / slope


def _pair_outputs(taps: Tensor) -> Tensor:
    """`[O, I, K]` that give signals to `[2 O, I, K]` that give pairs."""
    return torch.stack((taps, -taps), dim=1).flatten(0, 1)


def _carry(layer: StreamableConv1d, taps: Tensor, *, alone: bool = False) -> None:
    """Let the first outputs be `taps` `[o, i, k]` of the first inputs, from the present tap on.

    With `alone` nothing else of the layer's weights remains.
    """
    conv = layer.conv.conv
    outputs, inputs, length = taps.shape
    present = layer.padding_total - layer.padding_right
    weight = torch.zeros_like(conv.weight) if alone else conv.weight.clone()
    weight[:outputs] = 0
    weight[:outputs, :inputs, present : present + length] = taps
    _set_weight(conv, weight)


def _carry_up(layer: StreamableConvTranspose1d, taps: Tensor) -> None:
    """The same for a transposed convolution; `taps` `[o, i, k]` fill its stride."""
    conv = layer.convtr.convtr
    outputs, inputs, length = taps.shape
    weight = conv.weight.clone()
    weight[:, :outputs] = 0
    here = slice(layer.trim_left, layer.trim_left + length)
    weight[:inputs, :outputs, here] = taps.transpose(0, 1)
    _set_weight(conv, weight)


def _randomize(layer: nn.Module) -> None:
    if isinstance(layer, StreamableConv1d):
        conv = layer.conv.conv
        _fill(conv, _GAIN / (conv.in_channels * conv.kernel_size[0]) ** 0.5)
    elif isinstance(layer, StreamableConvTranspose1d):
        up = layer.convtr.convtr
        _fill(up, _GAIN / (up.in_channels * up.kernel_size[0] / up.stride[0]) ** 0.5)
    elif isinstance(layer, SEANetResnetBlock):
        for part in layer.block:
            _randomize(part)
        _fill(_convs(layer.block)[-1].conv.conv, _SILENT)
        if isinstance(layer.shortcut, StreamableConv1d):
            shortcut = layer.shortcut.conv.conv
            _fill(shortcut, _SILENT)
            _set_weight(
                shortcut, torch.eye(shortcut.out_channels, device=shortcut.weight.device)[..., None]
            )
    elif isinstance(layer, StreamableLSTM):
        # With no input to its cells, the top layer gives nothing.
        top, width = layer.lstm.num_layers - 1, layer.lstm.hidden_size
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(layer.lstm, f"{name}_l{top}")[2 * width : 3 * width] = 0


def _fill(conv: _Conv, deviation: float) -> None:
    _set_weight(conv, torch.randn_like(conv.weight) * deviation)
    if conv.bias is not None:
        conv.bias.zero_()


def _set_weight(conv: _Conv, weight: Tensor) -> None:
    """Set the weight whether it is a parameter or computed from the parts of a weight norm."""
    if nn.utils.parametrize.is_parametrized(conv, "weight"):
        conv.weight = weight
    else:
        conv.weight.copy_(weight)
