"""Losses after models of hearing: they rank sounds as the measures do that they follow."""

import numpy as np
import pytest
import torch
from torch import Tensor

from encodec_cli.train.perception import intelligibility_loss, loudness_loss

RATE = 16000


def speech_like(seconds: float = 2.0) -> Tensor:
    """Harmonics under a spectrum and a level that change a few times a second, `[1, N]`."""
    torch.manual_seed(0)
    t = torch.arange(int(seconds * RATE)) / RATE
    pitch = 140 + 20 * torch.sin(2 * torch.pi * 1.3 * t)
    phase = 2 * torch.pi * torch.cumsum(pitch, 0) / RATE
    x = torch.zeros_like(t)
    for k in range(1, 40):
        level = (1 + torch.sin(2 * torch.pi * (2 + 0.13 * k) * t + k)) / k
        x += level * torch.sin(k * phase)
    x *= 0.6 + 0.5 * torch.sin(2 * torch.pi * 3.7 * t)
    return (x / x.square().mean().sqrt())[None]


def noisy(x: Tensor, snr_db: float) -> Tensor:
    torch.manual_seed(1)
    return x + torch.randn_like(x) * 10 ** (-snr_db / 20)


@pytest.mark.parametrize("loss", [intelligibility_loss, loudness_loss])
def test_nothing_is_lost_in_a_copy_and_more_in_more_noise(loss) -> None:  # type: ignore[no-untyped-def]
    x = speech_like()
    losses = [float(loss(noisy(x, snr), x, RATE)) for snr in (40.0, 20.0, 10.0, 0.0)]
    assert float(loss(x, x, RATE)) < 2e-3
    assert losses == sorted(losses)
    assert losses[-1] > 5 * losses[0]


@pytest.mark.parametrize("snr", [20.0, 5.0, -5.0])
def test_intelligibility_is_close_to_estoi(snr: float) -> None:
    pystoi = pytest.importorskip("pystoi")
    x = speech_like(4.0)
    y = noisy(x, snr)
    estoi = pystoi.stoi(x[0].numpy(), y[0].numpy(), RATE, extended=True)
    assert 1 - float(intelligibility_loss(y, x, RATE)) == pytest.approx(estoi, abs=0.06)


def test_intelligibility_does_not_depend_on_level() -> None:
    x = speech_like()
    y = noisy(x, 5.0)
    both = [float(intelligibility_loss(gain * y, x, RATE)) for gain in (1.0, 0.3)]
    assert both[0] == pytest.approx(both[1], abs=1e-3)


def test_silence_around_speech_does_not_dilute_the_loss() -> None:
    x = speech_like()
    quiet = torch.zeros(1, 3 * RATE)
    torch.manual_seed(2)
    hiss = 1e-3 * torch.randn(1, 3 * RATE)
    alone = float(intelligibility_loss(noisy(x, 5.0), x, RATE))
    padded = intelligibility_loss(
        torch.cat((noisy(x, 5.0), hiss), 1), torch.cat((x, quiet), 1), RATE
    )
    assert float(padded) == pytest.approx(alone, abs=0.08)


def test_masked_noise_is_less_loud_than_noise_in_a_gap() -> None:
    """The same noise counts less where the sound covers it."""
    torch.manual_seed(3)
    half = RATE
    x = torch.cat((torch.randn(1, half), torch.zeros(1, half)), 1) * 2**0.5
    noise = 0.1 * torch.randn(1, half)
    nothing = torch.zeros(1, half)
    under = loudness_loss(x + torch.cat((noise, nothing), 1), x, RATE)
    beside = loudness_loss(x + torch.cat((nothing, noise), 1), x, RATE)
    assert float(beside) > 3 * float(under)


def test_what_is_added_counts_more_than_what_is_missing() -> None:
    x = speech_like()
    spectrum = torch.fft.rfft(x)
    bins = torch.arange(spectrum.shape[1]) / spectrum.shape[1] * RATE / 2
    without = torch.fft.irfft(spectrum * (bins < 2000), x.shape[1])
    missing = loudness_loss(without, x, RATE)
    added = loudness_loss(x, without, RATE)
    assert float(added) > 1.5 * float(missing)


@pytest.mark.parametrize("loss", [intelligibility_loss, loudness_loss])
@pytest.mark.parametrize("samples", [200, 3000, 24000])
def test_gradients_are_finite_even_of_silence(loss, samples: int) -> None:  # type: ignore[no-untyped-def]
    target = torch.zeros(2, samples)
    target[0] = torch.from_numpy(np.sin(0.1 * np.arange(samples))).float()
    estimate = torch.zeros(2, samples, requires_grad=True)
    loss(estimate, target, RATE).backward()
    assert estimate.grad is not None
    assert bool(torch.isfinite(estimate.grad).all())
