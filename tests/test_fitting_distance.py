"""The distance that fitting follows: its gradient is one, and it sees what it should."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cli_samples import REPOSITORY
from numpy.typing import NDArray

from encodec_cli.audio import read_mono
from encodec_cli.fitting import hearing
from encodec_cli.fitting.distance import Distance
from encodec_cli.fitting.hearing import Intelligibility, Loudness
from encodec_cli.fitting.spectrum import Spectrum

Floats = NDArray[np.floating[Any]]
RATE = 24_000


@pytest.fixture(scope="module")
def speech() -> Floats:
    """One second, `[n, 1]`."""
    samples = read_mono(REPOSITORY / "samples" / "speech.wav", RATE)
    return samples[RATE : 2 * RATE, None].astype(np.float64)


def noisy(x: Floats, share: float, seed: int = 0) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(x.shape)
    return x + share * float(np.sqrt(np.square(x).mean())) * noise


def assert_gradient(of: Callable[[Floats], tuple[float, Floats]], x: Floats, step: float) -> None:
    """Central differences along some directions are what the gradient says."""
    _, gradient = of(x)
    rng = np.random.default_rng(1)
    for direction in (*rng.standard_normal((4, *x.shape)), gradient / np.abs(gradient).max()):
        change = step * direction
        difference = (of(x + change)[0] - of(x - change)[0]) / 2
        scale = float(np.linalg.norm(gradient) * np.linalg.norm(change))
        assert difference == pytest.approx(float(np.vdot(gradient, change)), abs=2e-4 * scale)


@pytest.mark.parametrize("rate", [1_000, 8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_gradient_is_that_of_the_distance(
    rate: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "_ADDED_SHARE", 0)  # the gradient takes it as given
    wanted = np.random.default_rng(2).standard_normal((rate // 2, channels)) * 0.1
    estimate = noisy(wanted, 0.4)
    distance = Distance(wanted, rate)
    value, gradient = distance(estimate)
    assert value > 0
    assert gradient.shape == estimate.shape
    assert_gradient(distance, estimate, 1e-7)


@pytest.mark.parametrize("samples", [1, 2, 100, 5_000])
def test_short_signals_have_gradients(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_ADDED_SHARE", 0)
    wanted = np.random.default_rng(3).standard_normal((samples, 1)) * 0.1
    assert_gradient(Distance(wanted, RATE), noisy(wanted, 0.4), 1e-7)


@pytest.mark.parametrize("model", [Intelligibility, Loudness])
def test_models_of_hearing_have_gradients(model: Any, speech: Floats) -> None:
    spectrum = Spectrum(512)

    def powers(x: Floats) -> Floats:
        found: Floats = np.abs(spectrum.of(x[:, 0])) ** 2
        return found

    of = model(powers(speech), RATE)
    assert_gradient(of, 0.7 * powers(speech) + 1e-4 * powers(noisy(speech, 1)), 1e-10)


def test_spectra_lead_back_to_samples(speech: Floats) -> None:
    """<S x, g> = <x, S' g>, with real and imaginary parts as numbers of their own."""
    spectrum, x = Spectrum(512), speech[:10_001, 0]
    spectra = spectrum.of(x)
    rng = np.random.default_rng(4)
    gradient = rng.standard_normal(spectra.shape) + 1j * rng.standard_normal(spectra.shape)
    forth = float(np.vdot(gradient, spectra).real)
    assert float(np.vdot(spectrum.back(gradient, x.size), x)) == pytest.approx(forth)


def test_white_noise_has_a_mean_power_of_one() -> None:
    noise = np.random.default_rng(5).standard_normal(400_000)
    powers = np.abs(Spectrum(512).of(noise)) ** 2
    assert powers[5:-5, 5:-5].mean() == pytest.approx(1, abs=0.01)


def test_a_copy_is_nearest_and_more_noise_is_farther(speech: Floats) -> None:
    distance = Distance(speech, RATE)
    found = [distance(noisy(speech, share))[0] for share in (0, 0.01, 0.1, 0.5, 2)]
    assert found == sorted(found)
    assert found[0] < 2e-3
    assert found[-1] > 5 * found[1]


def test_neither_level_nor_sign_of_both_matters(speech: Floats) -> None:
    estimate = noisy(speech, 0.2)
    expected = Distance(speech, RATE)(estimate)[0]
    for scale in (0.3, -1, 4):
        assert Distance(scale * speech, RATE)(scale * estimate)[0] == pytest.approx(expected)


def test_loudness_counts_masked_noise_less(speech: Floats) -> None:
    """Noise that follows the speech disturbs less than as much of it in the pauses as well."""
    spectrum = Spectrum(512)
    noise = np.random.default_rng(6).standard_normal(len(speech))
    loudness = Loudness(np.abs(spectrum.of(speech[:, 0])) ** 2, RATE)
    found = []
    for shape in (np.convolve(np.abs(speech[:, 0]), np.ones(600) / 600, "same"), 1):
        added = noise * shape
        added *= 0.005 / np.sqrt(np.square(added).mean())
        found.append(loudness(np.abs(spectrum.of(speech[:, 0] + added)) ** 2)[0])
    assert found[0] < 0.9 * found[1]


def test_loudness_counts_what_was_added_more_than_what_is_missing(speech: Floats) -> None:
    powers = np.abs(Spectrum(512).of(speech[:, 0])) ** 2
    loudness = Loudness(powers, RATE)
    more, by_more = loudness(4 * powers)
    less, by_less = loudness(powers / 4)
    assert more > 1.2 * less
    assert (by_more >= 0).all()
    assert (by_less <= 0).all()


def test_intelligibility_counts_how_envelopes_move_and_no_levels(speech: Floats) -> None:
    powers = np.abs(Spectrum(512).of(speech[:, 0])) ** 2
    intelligibility = Intelligibility(powers, RATE)
    assert intelligibility(powers)[0] == pytest.approx(0, abs=1e-3)
    assert intelligibility(0.3 * powers)[0] == pytest.approx(0, abs=1e-3)
    assert intelligibility(np.roll(powers, 10, axis=0))[0] > 0.2


def test_single_precision_stays_single(speech: Floats) -> None:
    x = speech.astype(np.float32)
    value, gradient = Distance(x, RATE)(noisy(x, 0.2).astype(np.float32))
    assert gradient.dtype == np.float32
    assert value == pytest.approx(Distance(speech, RATE)(noisy(speech, 0.2))[0], rel=1e-3)


def test_silence_has_a_finite_distance() -> None:
    silence = np.zeros((RATE // 4, 1), np.float32)
    value, gradient = Distance(silence, RATE)(silence + np.float32(1e-4))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
