"""Initial weights: the networks start as a linear codec that keeps the signal."""

from typing import Any

import pytest
import torch
from torch import Tensor

from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import ConfigError
from encodec_cli.model.module import CompressionModel
from encodec_cli.train.init import initialize

RATE = 8000
ROOMY: dict[str, Any] = {
    "dimension": 12,
    "n_filters": [6, 12, 30],
    "ratios": [3, 4],
    "n_residual_layers": 1,
    "activation": "ReLU",
    "activation_params": {},
    "causal": True,
    "pad_mode": "replicate",
}


def make(channels: int = 1, **changes: Any) -> CompressionModel:
    return CompressionModel(
        CodecConfig.from_dict(
            {
                "name": "tiny",
                "sample_rate": RATE,
                "channels": channels,
                "target_bandwidths": [5.4],
                "seanet": ROOMY | changes,
                "quantizer": {"n_q": 2, "bins": 16},
            }
        )
    ).eval()


def smooth(batch: int = 2, channels: int = 1, samples: int = 600) -> Tensor:
    """Noise whose neighbouring samples resemble each other."""
    noise = 0.1 * torch.randn(batch, channels, samples + 5)
    return noise.unfold(2, 6, 1).mean(-1)


@torch.no_grad()
def through(model: CompressionModel, x: Tensor) -> Tensor:
    y: Tensor = model.decoder(model.encoder(x))[..., : x.shape[-1]]
    return y


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "LeakyReLU", "activation_params": {"negative_slope": 0.1}},
        {"norm": "weight_norm"},
        {"true_skip": False},
        {"lstm": 2},
        {"causal": False},
        {"pad_mode": "reflect"},
        {"decoder": {"trim_right_ratio": 0.5}},
    ],
    ids=str,
)
def test_with_room_for_everything_the_signal_comes_back(changes: dict[str, Any]) -> None:
    model = make(**changes)
    initialize(model, [smooth()])
    x = torch.randn(3, 1, 480)
    torch.testing.assert_close(through(model, x), x, rtol=0, atol=1e-4)


def test_channels_share_the_components() -> None:
    model = make(channels=2, dimension=24, n_filters=[6, 20, 60])
    initialize(model, [smooth(channels=2)])
    x = torch.randn(1, 2, 480)
    torch.testing.assert_close(through(model, x), x, rtol=0, atol=1e-4)


def test_fewer_latents_keep_the_principal_components() -> None:
    torch.manual_seed(1)
    x = smooth(batch=8)
    blocks = x.reshape(-1, 12)
    variances = torch.linalg.eigvalsh(blocks.t() @ blocks).flip(0)
    model = make(dimension=5)
    initialize(model, [x])
    lost = float((through(model, x) - x).square().sum())
    assert lost == pytest.approx(float(variances[5:].sum()), rel=1e-3)


def test_an_elu_network_keeps_a_quiet_signal_nearly() -> None:
    torch.manual_seed(2)
    model = make(activation="ELU", activation_params={"alpha": 1.0})
    initialize(model, [smooth()])
    x = 0.1 * smooth()
    assert float((through(model, x) - x).square().sum()) < 0.02 * float(x.square().sum())


def test_features_beside_the_signal_are_alive() -> None:
    model = make()
    initialize(model, [smooth()])
    x = smooth().requires_grad_()
    model.decoder(model.encoder(x)).square().mean().backward()
    last = model.decoder.model[-1].conv.conv  # type: ignore[union-attr]
    gradient = last.weight.grad  # type: ignore[union-attr]
    assert isinstance(gradient, Tensor)
    assert bool((gradient[:, 2:].abs().sum((0, 2)) > 0).all())


def test_too_few_channels_are_named() -> None:
    with pytest.raises(ConfigError, match="n_filters: 1: training needs at least two"):
        initialize(make(n_filters=1, n_residual_layers=0), [smooth()])


def test_a_decoder_that_looks_ahead_starts_lapped() -> None:
    model = make(decoder={"trim_right_ratio": 0.0})
    initialize(model, [smooth()])
    x = torch.randn(2, 1, 480)
    y = through(model, x)
    # The first and the last frame have no neighbour to overlap with.
    torch.testing.assert_close(y[..., 12:-12], x[..., 12:-12], rtol=0, atol=1e-4)
    assert float((y - x)[..., -12:].abs().max()) > 0.1


def test_lapped_channels_share_the_frequencies() -> None:
    model = make(channels=2, dimension=24, n_filters=[6, 20, 60], decoder={"trim_right_ratio": 0.0})
    initialize(model, [smooth(channels=2)])
    x = torch.randn(1, 2, 480)
    torch.testing.assert_close(through(model, x)[..., 12:-12], x[..., 12:-12], rtol=0, atol=1e-4)


def test_weak_latents_are_raised_by_the_fourth_root_of_their_power() -> None:
    torch.manual_seed(3)
    model = make()
    x = smooth(batch=64)
    initialize(model, [x])
    with torch.no_grad():
        powers = model.encoder(x).square().mean((0, 2))
    blocks = x.reshape(-1, 12)
    variances = torch.linalg.eigvalsh(blocks.t() @ blocks / len(blocks)).flip(0)
    expected = variances.sqrt() * float(powers[0]) / float(variances[0]) ** 0.5
    torch.testing.assert_close(powers, expected, rtol=1e-2, atol=0)
    assert float(powers.sum()) == pytest.approx(float(variances.sum()) * 7.0**2, rel=1e-2)
