"""Metrics against values known beforehand."""

import math
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from encodec_cli.errors import UsageError
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.metrics import (
    estoi,
    level_dbfs,
    measure,
    missing_packages,
    pesq_wb,
    si_sdr,
)

RATE = 16_000
ALWAYS = {"si_sdr", "mel", "mel_dac", "stft_dac", "level_db"}
SPEECH = Path(__file__).resolve().parent.parent / "samples" / "speech.wav"


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Three seconds of the bundled sample at 16 kHz."""
    samples, rate = soundfile.read(SPEECH, dtype="float32", frames=3 * RATE)
    assert rate == RATE
    return torch.from_numpy(samples)


def with_noise(x: Tensor, snr_db: float) -> Tensor:
    """`x` and noise that is orthogonal to it, exactly `snr_db` below it."""
    x = x.double() - x.double().mean()
    noise = torch.randn(len(x), dtype=torch.float64)
    noise -= noise.mean()
    noise -= (noise @ x) / (x @ x) * x
    return (x + noise * (x.norm() / noise.norm() * 10 ** (-snr_db / 20))).float()


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 6.0, 40.0])
def test_si_sdr_of_known_noise(snr_db: float) -> None:
    x = torch.randn(8000)
    assert si_sdr(x, with_noise(x, snr_db)) == pytest.approx(snr_db, abs=0.01)


def test_si_sdr_ignores_scale_and_offset() -> None:
    x = torch.randn(8000)
    y = with_noise(x, 7.0)
    for changed in (y * 0.01, y * 30, -y, y + 0.5):
        assert si_sdr(x, changed) == pytest.approx(7.0, abs=0.01)


def test_si_sdr_extremes_are_finite() -> None:
    x, silence = torch.randn(8000), torch.zeros(8000)
    assert si_sdr(x, x) > 100
    for pair in ((x, silence), (silence, x), (silence, silence), (x[:1], x[:1])):
        assert math.isfinite(si_sdr(*pair))
    assert si_sdr(x, torch.randn(8000)) < -20


def test_estoi_and_pesq_fall_with_noise(speech: Tensor) -> None:
    noisy = [with_noise(speech, snr_db) for snr_db in (20.0, 5.0)]
    for metric, best in ((estoi, 1.0), (pesq_wb, 4.64)):
        scores = [metric(speech, y, RATE) for y in (speech, *noisy)]
        assert scores[0] == pytest.approx(best, abs=0.01)
        assert scores[0] > scores[1] > scores[2] > 0


def test_published_examples() -> None:
    """Of torchmetrics' documentation: SI-SNR, and PESQ of noise (seed 1) by the same package."""
    target, estimate = torch.tensor([3.0, -0.5, 2.0, 7.0]), torch.tensor([2.5, 0.0, 2.0, 8.0])
    assert si_sdr(target, estimate) == pytest.approx(15.0918, abs=1e-4)
    torch.manual_seed(1)
    estimate, target = torch.randn(8000), torch.randn(8000)
    assert pesq_wb(target, estimate, RATE) == pytest.approx(1.7359, abs=1e-4)


def test_pesq_of_equal_signals_is_the_top_of_the_scale(speech: Tensor) -> None:
    """ITU-T P.862.2, equation 1, of a raw score of 4.5."""
    top = 0.999 + 4 / (1 + math.exp(-1.3669 * 4.5 + 3.8224))
    assert pesq_wb(speech, speech, RATE) == pytest.approx(top, abs=1e-4)


def test_estoi_is_the_extended_one_with_the_source_first(speech: Tensor) -> None:
    from pystoi import stoi

    y = with_noise(speech, 3.0)
    expected = stoi(speech.numpy(), y.numpy(), RATE, extended=True)
    assert estoi(speech, y, RATE) == pytest.approx(expected)
    assert estoi(y, speech, RATE) != pytest.approx(expected, abs=1e-3)


def test_metrics_that_need_more_sound_say_nan(speech: Tensor) -> None:
    silence = torch.zeros(RATE)
    for metric in (estoi, pesq_wb):
        assert math.isnan(metric(speech[:100], speech[:100], RATE))
        assert math.isnan(metric(silence, silence, RATE))
        assert math.isnan(metric(silence, speech[:RATE], RATE))
    assert math.isnan(pesq_wb(speech[:RATE], silence, RATE))


@pytest.mark.slow
def test_pesq_of_a_long_recording_is_the_mean_of_its_pieces() -> None:
    """The package crashes the whole process on more than 50 utterances."""
    t = torch.arange(int(0.4 * RATE)) / RATE
    bleep = torch.sin(2 * math.pi * 440 * t) * torch.sin(2 * math.pi * 3 * t)
    x = torch.cat((bleep, torch.zeros(int(0.4 * RATE)))).repeat(100)
    y = x + 0.01 * torch.randn(len(x))
    pieces = math.ceil(len(x) / (15 * RATE))
    assert pieces > 1
    parts = zip(x.tensor_split(pieces), y.tensor_split(pieces), strict=True)
    mean = sum(pesq_wb(a, b, RATE) for a, b in parts) / pieces
    assert pesq_wb(x, y, RATE) == pytest.approx(mean)


def test_measure_names_what_it_can_tell(speech: Tensor) -> None:
    full = measure(speech, 0.5 * speech, RATE, speech=True)
    assert full.keys() == ALWAYS | {"estoi", "pesq"} == METRICS.keys()
    assert full["level_db"] == pytest.approx(-6.02, abs=0.01)
    assert measure(speech, speech, RATE, speech=False).keys() == ALWAYS
    short = measure(speech[:500], speech[:500], RATE, speech=True)
    assert short.keys() == ALWAYS


def test_silence_has_no_level_to_keep_and_no_waveform_to_follow() -> None:
    silence, hiss = torch.zeros(RATE), 1e-4 * torch.randn(RATE)
    assert measure(silence, hiss, RATE, speech=True).keys() == ALWAYS - {"si_sdr", "level_db"}
    assert measure(hiss, silence, RATE, speech=False)["level_db"] == pytest.approx(-40, abs=0.5)
    assert level_dbfs(silence) == pytest.approx(-120)
    assert level_dbfs(hiss) == pytest.approx(-80, abs=0.2)


def test_without_the_eval_extra(speech: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_packages() == []
    for name in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, name, None)
    assert missing_packages() == ["pesq", "pystoi"]
    with pytest.raises(UsageError, match=r"needs the package pystoi; run: pip install pystoi"):
        estoi(speech, speech, RATE)
    with pytest.raises(UsageError, match=r"needs the package pesq; run: pip install pesq"):
        pesq_wb(speech, speech, RATE)
    assert measure(speech, speech, RATE, speech=True).keys() == ALWAYS
