"""How far decoded samples are from a recording, and the gradient of that.

    0.5 waveform + 4 spectra + 2 intelligibility + 0.1 loudness

    waveform         squared error over the power of the recording
    spectra          of windows of 11, 21 and 85 ms: log power in bands of hearing, and compressed
                     spectra with their phases, see `_Spectral`
    intelligibility  1 - ESTOI, on the spectra of 21 ms
    loudness         disturbance after PESQ, on the same

The weights are those of training. What was tried is in docs/experiments.md.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.dsp.bands import bark, bark_bands
from encodec_cli.fitting.hearing import Intelligibility, Loudness
from encodec_cli.fitting.spectrum import Spectrum

__all__ = ["Distance"]

_Floats = NDArray[np.floating[Any]]
_Complex = NDArray[np.complexfloating[Any, Any]]

_WAVEFORM, _SPECTRA, _INTELLIGIBILITY, _LOUDNESS = 0.5, 4.0, 2.0, 0.1
_WINDOWS = ((512 / 24000, 0.5), (256 / 24000, 1.0), (2048 / 24000, 0.25))
"""Seconds, and the width of bands in Bark; the models of hearing listen to the first."""
_COMPLEX = 0.5
"""Weight of compressed spectra beside that of log powers."""
_FLOOR = 1e-4
"""Power, against that of white noise of unit level, below which differences stop to count."""
_COMPRESSION = 0.3
_QUIETEST = 1e-3


class Distance:
    """Of samples from those `wanted`, `[n, C]`, n >= 1, at `sample_rate` Hz."""

    def __init__(self, wanted: _Floats, sample_rate: int) -> None:
        self._level = max(_QUIETEST, float(np.sqrt(np.square(wanted).mean())))
        self._channels = [
            _OfChannel(np.ascontiguousarray(channel) / np.float32(self._level), sample_rate)
            for channel in wanted.T
        ]

    def __call__(self, samples: _Floats) -> tuple[float, _Floats]:
        """The distance of samples `[n, C]`, and its gradient by them."""
        total, gradient = 0.0, np.empty_like(samples)
        scale = np.float32(1 / self._level)
        for i, channel in enumerate(self._channels):
            value, by_channel = channel(samples[:, i] * scale)
            total += value / len(self._channels)
            gradient[:, i] = by_channel * (scale / len(self._channels))
        return total, gradient


class _OfChannel:
    def __init__(self, wanted: _Floats, sample_rate: int) -> None:
        self._wanted = wanted
        self._power = max(_FLOOR, float(np.square(wanted).mean()))
        self._spectra = [_Spectral(wanted, sample_rate, *window) for window in _WINDOWS]
        powers = _powers(self._spectra[0].wanted)
        self._hearing = (
            (_INTELLIGIBILITY, Intelligibility(powers, sample_rate)),
            (_LOUDNESS, Loudness(powers, sample_rate)),
        )

    def __call__(self, samples: _Floats) -> tuple[float, _Floats]:
        error = samples - self._wanted
        share = _WAVEFORM / (self._power * error.size)
        total = share * float(np.vdot(error, error))
        gradient = error * np.float32(2 * share)
        for i, spectral in enumerate(self._spectra):
            spectra = spectral.spectrum.of(samples)
            powers = _powers(spectra)
            value, by_spectra, by_powers = spectral(spectra, powers)
            total += value
            if i == 0:
                for weight, model in self._hearing:
                    value, more = model(powers)
                    total += weight * value
                    by_powers += np.float32(weight) * more
            by_powers *= 2
            by_spectra += by_powers * spectra
            gradient += spectral.spectrum.back(by_spectra, samples.size)
        return total, gradient


class _Spectral:
    """L1 of log powers in bands, and squared error of compressed spectra with their phases.

    Bands are `width` Bark wide. Compressed magnitudes are raised to 0.3, so that quiet harmonics
    count as well (Ephrat et al. 2018, "Looking to listen", section 4.1). The log follows EnCodec's
    loss on mels (Défossez et al. 2022, section 3.4).

    Attributes:
        spectrum: its transform.
        wanted: spectra of what is wanted, `[frames, bins]`.
    """

    def __init__(self, wanted: _Floats, sample_rate: int, seconds: float, width: float) -> None:
        self.spectrum = Spectrum(2 * round(seconds * sample_rate / 2))
        bins = self.spectrum.bins
        bands = bark_bands(bins, sample_rate, width, -1.0, bark(sample_rate / 2) + width)
        self._bands = (bands / bands.sum(axis=1, keepdims=True)).T
        self.wanted = self.spectrum.of(wanted)
        powers = _powers(self.wanted) + np.float32(_FLOOR)
        self._logs = np.log10(powers @ self._bands)
        self._compressed = self.wanted * _compressing(powers)

    def __call__(self, spectra: _Complex, powers: _Floats) -> tuple[float, _Complex, _Floats]:
        """The distance of spectra, which come with their powers, and its gradients by both."""
        floored = powers + np.float32(_FLOOR)
        in_bands = floored @ self._bands
        difference = np.log10(in_bands) - self._logs
        weight = _SPECTRA / len(_WINDOWS)
        share = weight / 2 / difference.size  # a bel of power is half a one of magnitude
        total = share * float(np.abs(difference).sum())
        by_bands = np.sign(difference) / in_bands * np.float32(share / np.log(10))
        by_powers = by_bands @ self._bands.T

        factor = _compressing(floored)
        error = spectra * factor - self._compressed
        share = weight * _COMPLEX / 2 / error.size
        total += share * float(np.vdot(error, error).real)
        error *= np.float32(2 * share)
        along = error.real * spectra.real + error.imag * spectra.imag
        by_powers += along * factor / floored * np.float32((_COMPRESSION - 1) / 2)
        error *= factor
        return total, error, by_powers


def _powers(spectra: _Complex) -> _Floats:
    found: _Floats = np.square(spectra.real) + np.square(spectra.imag)
    return found


def _compressing(powers: _Floats) -> _Floats:
    """What spectra of these powers are multiplied by, to raise their magnitudes to 0.3."""
    found: _Floats = np.exp(np.log(powers) * np.float32((_COMPRESSION - 1) / 2))
    return found
