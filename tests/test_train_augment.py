"""Augmentations: what they change, and what they leave alone."""

import pytest
import torch
from torch import Tensor

from encodec_cli.errors import ConfigError
from encodec_cli.train.augment import augment, resample_to
from encodec_cli.train.config import AugmentConfig

RATE = 24000


def changed(x: Tensor, config: AugmentConfig) -> Tensor:
    return augment(x, RATE, config)


def white(count: int, samples: int = RATE // 2) -> Tensor:
    return torch.randn(count, samples)


def test_nothing_is_asked_for_nothing_happens() -> None:
    x = white(3)
    torch.testing.assert_close(changed(x, AugmentConfig()), x, rtol=0, atol=0)
    assert resample_to(x, x.shape[1]) is x


def test_only_some_crops_change() -> None:
    x = white(200, 600)
    same = (changed(x, AugmentConfig(reverb=0.3)) - x).abs().amax(1) < 1e-4
    assert float(same.float().mean()) == pytest.approx(0.7, abs=0.1)


def test_speed_moves_the_pitch_and_keeps_the_level() -> None:
    n = 2400
    x = torch.sin(2 * torch.pi * 300 * torch.arange(n) / RATE)[None]
    faster = resample_to(x, n // 2)
    assert int(torch.fft.rfft(faster).abs().argmax()) * RATE / (n // 2) == pytest.approx(600)
    assert float(faster.square().mean()) == pytest.approx(0.5, rel=0.01)
    torch.testing.assert_close(resample_to(resample_to(x, 2 * n), n), x, rtol=0, atol=1e-4)


def test_band_limits_cut_the_top_and_spare_speech() -> None:
    spectrum = torch.fft.rfft(changed(white(40), AugmentConfig(band_limit=1.0))).abs().square()
    frequency = torch.linspace(0, RATE / 2, spectrum.shape[1])
    total = spectrum.mean(1)
    assert float(spectrum[:, frequency < 2500].mean(1).div(total).min()) > 0.9
    top = spectrum[:, frequency > 11500].mean(1) / total
    assert float((top < 0.1).float().mean()) > 0.5


def test_rooms_keep_the_direct_sound_and_add_a_tail() -> None:
    click = torch.zeros(20, RATE // 2)
    click[:, 100] = 1
    y = changed(click, AugmentConfig(reverb=1.0))
    torch.testing.assert_close(y[:, 100], torch.ones(20), rtol=0, atol=0.02)
    assert float(y[:, :99].abs().max()) < 1e-3
    energy = y[:, 102:].square().sum(1)
    assert 0.01 * 0.9 < float(energy.min()) < float(energy.max()) < 0.64 * 1.1
    assert float(y[:, -RATE // 20 :].square().sum(1).median()) < 0.1 * float(energy.median())


def test_noise_is_as_loud_as_stated() -> None:
    x = white(50)
    level_db = 10 * (changed(x, AugmentConfig(noise=1.0)) - x).square().mean(1).log10()
    assert -45.1 < float(level_db.min()) < -30 < -25 < float(level_db.max()) < -9.9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reverb": 1.5}, "reverb: 1.5: give 0 to 1"),
        ({"noise": -0.1}, "noise: -0.1: give 0 to 1"),
        ({"fastest": 0.9}, "fastest: 0.9: give 1 to 2"),
    ],
)
def test_shares_out_of_range(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AugmentConfig(**changes)
