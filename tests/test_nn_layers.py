"""Convolutions, padding, LSTM and norms, one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from encodec_cli.errors import ConfigError
from encodec_cli.nn import (
    NormConv1d,
    NormConvTranspose1d,
    StreamableConv1d,
    StreamableConvTranspose1d,
    StreamableLSTM,
)
from encodec_cli.nn.conv import extra_padding, pad1d, unpad1d
from encodec_cli.nn.lstm import LSTMState
from encodec_cli.nn.norm import ConvLayerNorm, norm_module


@pytest.mark.parametrize("mode", ["reflect", "constant", "replicate"])
def test_padding_is_torchs_where_torch_can(mode: str) -> None:
    x = torch.randn(1, 2, 6)
    assert torch.equal(pad1d(x, 5, 2, mode), F.pad(x, (5, 2), mode))


def test_signals_too_short_to_reflect_are_first_extended_by_zeros() -> None:
    x = torch.tensor([[[1.0, 2.0]]])
    # 1 2 0 0 is reflected, 0 0 2 1 2 0 0 or 1 2 0 0 0 2 1, and two samples taken off the end.
    assert pad1d(x, 3, 0, "reflect").tolist() == [[[0, 0, 2, 1, 2]]]
    assert pad1d(x, 0, 3, "reflect").tolist() == [[[1, 2, 0, 0, 0]]]
    assert unpad1d(pad1d(x, 3, 1, "constant", 7.0), 3, 1).equal(x)
    assert pad1d(x, 1, 0, "constant", 7.0).tolist() == [[[7, 1, 2]]]


@pytest.mark.parametrize("samples", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_the_last_hop_is_filled(samples: int, stride: int) -> None:
    assert 0 <= extra_padding(samples, stride) < stride
    assert (samples + extra_padding(samples, stride)) % stride == 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_a_causal_convolution_is_a_padded_one(groups: int, bias: bool) -> None:
    layer = StreamableConv1d(
        4, 6, 5, stride=2, dilation=2, groups=groups, bias=bias, causal=True, pad_mode="constant"
    )
    x = torch.randn(1, 4, 11)
    conv = layer.conv.conv
    assert (conv.bias is not None) == bias
    by_hand = F.conv1d(F.pad(x, (7, 1)), conv.weight, conv.bias, 2, 0, 2, groups)
    torch.testing.assert_close(layer(x), by_hand)
    assert by_hand.shape == (1, 6, 6)


def test_a_transposed_convolution_is_trimmed_on_the_right_if_causal() -> None:
    x = torch.randn(1, 2, 4)
    for causal, ratio, left in (
        (True, 1.0, 0),
        (True, 0.5, 2),
        (True, 0.1, 3),
        (True, 0.0, 4),
        (False, 1.0, 2),
    ):
        layer = StreamableConvTranspose1d(2, 3, 7, 3, causal=causal, trim_right_ratio=ratio)
        conv = layer.convtr.convtr
        whole = F.conv_transpose1d(x, conv.weight, conv.bias, 3)
        torch.testing.assert_close(layer(x), whole[..., left : left + 12])


def test_kernels_must_cover_their_stride() -> None:
    with pytest.raises(ConfigError, match="kernel_size 2 does not cover its stride 3"):
        StreamableConv1d(1, 1, 2, stride=3)
    with pytest.raises(ConfigError, match="kernel_size 2 does not cover its stride 3"):
        StreamableConvTranspose1d(1, 1, 2, 3)
    with pytest.raises(ConfigError, match="only a causal convolution"):
        StreamableConvTranspose1d(1, 1, 4, 2, trim_right_ratio=0.5)


def test_the_lstm_adds_its_input_unless_told_not_to() -> None:
    layer = StreamableLSTM(3, num_layers=2)
    x = torch.randn(2, 3, 7)
    alone, _ = layer.lstm(x.permute(2, 0, 1))
    torch.testing.assert_close(layer(x), alone.permute(1, 2, 0) + x)
    layer.skip = False
    torch.testing.assert_close(layer(x), alone.permute(1, 2, 0))


@torch.no_grad()
def test_the_lstm_carries_its_state_from_step_to_step() -> None:
    layer, x, state = StreamableLSTM(3), torch.randn(1, 3, 9), LSTMState()
    pieces = [layer.step(piece, state) for piece in x.split([1, 0, 4, 4], dim=-1)]
    torch.testing.assert_close(torch.cat(pieces, -1), layer(x))
    assert state.hidden is not None
    assert [tuple(s.shape) for s in state.hidden] == [(2, 1, 3), (2, 1, 3)]


def test_layer_norm_sees_one_time_step_at_a_time() -> None:
    out = ConvLayerNorm(5)(torch.randn(2, 5, 4) * 3 + 1)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.pow(2).mean(1), torch.ones(2, 4), atol=1e-3, rtol=0)


def test_group_norm_sees_all_time_at_once() -> None:
    out = norm_module(5, "time_group_norm", False)(torch.randn(2, 5, 4) * 3 + 1)
    torch.testing.assert_close(out.mean((1, 2)), torch.zeros(2), atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match=r"causal: .*time_group_norm"):
        norm_module(5, "time_group_norm", True)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_norms_of_weights_add_no_layer(norm: str) -> None:
    for layer, conv in (
        (NormConv1d(2, 3, 3, norm=norm), "conv"),
        (NormConvTranspose1d(2, 3, 3, norm=norm), "convtr"),
    ):
        assert isinstance(layer.norm, nn.Identity)
        assert nn.utils.parametrize.is_parametrized(getattr(layer, conv), "weight")
