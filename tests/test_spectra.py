"""Spectra against torchaudio's and torch's own."""

import pytest
import torch

from encodec_cli.dsp.spectra import log_mel, mel_filterbank, stft, third_octaves
from encodec_cli.dsp.torchaudio_import import import_torchaudio

CPU = torch.device("cpu")


@pytest.mark.parametrize(("size", "mels", "rate"), [(2048, 128, 24_000), (512, 40, 16_000)])
def test_mel_filterbank_is_torchaudios(size: int, mels: int, rate: int) -> None:
    bins = size // 2 + 1
    expected = import_torchaudio().functional.melscale_fbanks(
        bins, 0.0, rate / 2, mels, rate, norm="slaney", mel_scale="slaney"
    )
    filters = mel_filterbank(bins, mels, rate, CPU)
    assert filters.shape == (bins, mels)
    torch.testing.assert_close(filters, expected, rtol=0, atol=0)
    assert bool((filters.sum(0) > 0).all())


def test_more_filters_than_resolution_leave_some_empty_without_a_warning() -> None:
    filters = mel_filterbank(17, 40, 24_000, CPU)
    assert bool((filters >= 0).all())
    assert bool((filters.sum(0) == 0).any())


def test_stft_is_linear_and_centred() -> None:
    x = torch.randn(2, 1000)
    spectrum = stft(x, 64, 16)
    assert spectrum.shape == (2, 33, 1000 // 16 + 1)
    torch.testing.assert_close(stft(3 * x, 64, 16), 3 * spectrum)
    click = torch.zeros(1, 1000)
    click[0, 480] = 1.0
    assert int(stft(click, 64, 16).abs().sum(1).argmax()) == 480 // 16


def test_log_mel_matches_its_definition_and_keeps_its_floor() -> None:
    x = torch.randn(2, 4000)
    logs = log_mel(x, 16_000, 512, 40, floor=1e-5)
    expected = mel_filterbank(257, 40, 16_000, CPU).t() @ stft(x, 512, 128).abs()
    torch.testing.assert_close(logs, expected.clamp(min=1e-5).log10())
    assert logs.shape == (2, 40, 32)
    silence = log_mel(torch.zeros(1, 4000), 16_000, 512, 40, floor=1e-3)
    torch.testing.assert_close(silence, torch.full_like(silence, -3.0))
    assert log_mel(x, 16_000, 512, 40, floor=1e-5, hop=256).shape[-1] == 16


def test_tenfold_amplitude_is_one_more() -> None:
    x = torch.randn(1, 4000)
    loud, soft = (log_mel(g * x, 16_000, 512, 40, floor=1e-12) for g in (1.0, 0.1))
    torch.testing.assert_close(loud - soft, torch.ones_like(loud), rtol=0, atol=1e-4)


def test_thirds_of_octaves_share_the_spectrum_between_them() -> None:
    bands = third_octaves(513, 24_000, 150.0, CPU)
    hz = torch.linspace(0, 12_000, 513)
    assert bands.shape == (19, 513)
    assert float(bands.sum(0).max()) == 1
    inside = (hz > 150 * 2 ** (-1 / 6)) & (hz < 150 * 2 ** (18 / 3 + 1 / 6))
    assert torch.equal(bands.sum(0) == 1, inside)
    centres = (bands * hz).sum(1) / bands.sum(1)
    torch.testing.assert_close(centres[9] / centres[6], torch.tensor(2.0), rtol=0.02, atol=0)
