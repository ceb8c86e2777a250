"""Spectral distances against values that follow from their definitions."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from encodec_cli.dsp.spectra import log_mel, mel_filterbank
from encodec_cli.evaluation import distances
from encodec_cli.evaluation.distances import dac_mel_distance, dac_stft_distance, mel_distance

RATE = 16_000
Distance = Callable[[Tensor, Tensor, int], float]
ALL = pytest.mark.parametrize("distance", [mel_distance, dac_mel_distance, dac_stft_distance])


@ALL
def test_it_is_a_distance(distance: Distance) -> None:
    x, y = torch.randn(12_000), 0.3 * torch.randn(12_000)
    assert distance(x, x, RATE) == 0
    assert distance(x, y, RATE) == pytest.approx(distance(y, x, RATE))
    assert distance(x, y, RATE) > distance(x, 0.5 * x, RATE) > distance(x, 0.99 * x, RATE) > 0


@ALL
def test_signals_shorter_than_a_window(distance: Distance) -> None:
    x = torch.randn(700)
    assert distance(x, x, RATE) == 0
    assert math.isfinite(distance(x[:1], 0 * x[:1], RATE))


@ALL
def test_long_signals_are_the_mean_of_their_pieces(
    distance: Distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = torch.randn(RATE), torch.randn(RATE)
    first, second = (distance(a, b, RATE) for a, b in zip(x.chunk(2), y.chunk(2), strict=True))
    monkeypatch.setattr(distances, "_PIECE_SECONDS", 0.6)
    assert distance(x, y, RATE) == pytest.approx((first + second) / 2)


def test_mel_distance_of_20_db_is_one_per_scale() -> None:
    """Filters that hold no bin, as some of the smallest window's 5, stay at the floor."""
    x = 10 * torch.randn(24_000)
    expected = 0.0
    for size, mels in distances._MEL_SCALES:
        heard = log_mel(x[None], RATE, size, mels, floor=1e-5) > -5
        expected += float(heard.float().mean())
    assert expected > 6
    assert mel_distance(x, 0.1 * x, RATE) == pytest.approx(expected, abs=1e-3)


def dac_magnitudes(x: Tensor, size: int) -> Tensor:
    """As audiotools computes them: Hann, hop of a quarter, mirrored ends."""
    window = torch.hann_window(size)
    return torch.stft(x, size, size // 4, window=window, return_complex=True).abs()


def dac_loss(a: Tensor, b: Tensor) -> float:
    """The sum of dac 1.0.0's two terms, as its loss classes write them."""
    logs = [z.clamp(1e-5).pow(2.0).log10() for z in (a, b)]
    l1 = torch.nn.L1Loss()
    return float(l1(*logs) + l1(a, b))


def test_dac_distances_follow_dacs_definition() -> None:
    x = torch.randn(24_000)
    y = x + 0.1 * torch.randn(24_000)
    y[8000:12_000] = 0  # reaches the floor
    expected = sum(dac_loss(dac_magnitudes(x, n), dac_magnitudes(y, n)) for n in (2048, 512))
    assert dac_stft_distance(x, y, RATE) == pytest.approx(expected, rel=1e-5)
    expected = 0.0
    for size, mels in ((2048, 150), (512, 80)):
        filters = mel_filterbank(size // 2 + 1, mels, RATE, torch.device("cpu")).t()
        expected += dac_loss(*(filters @ dac_magnitudes(z, size) for z in (x, y)))
    assert dac_mel_distance(x, y, RATE) == pytest.approx(expected, rel=1e-5)


def test_dac_stft_of_20_db_is_two_per_window_and_the_lost_magnitude() -> None:
    x = 10 * torch.randn(24_000)
    lost = sum(0.9 * float(dac_magnitudes(x, n).mean()) for n in (2048, 512))
    assert dac_stft_distance(x, 0.1 * x, RATE) == pytest.approx(4 + lost, rel=1e-4)
