"""How far a decoded signal is from its source. Pure functions of two `[N]` tensors.

ESTOI and PESQ come from the packages of the `eval` extra; everything else needs torch only.
"""

import importlib
import math
import warnings
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.errors import UsageError
from encodec_cli.evaluation.distances import dac_mel_distance, dac_stft_distance, mel_distance

__all__ = ["estoi", "level_dbfs", "measure", "missing_packages", "pesq_wb", "si_sdr"]

_PESQ_RATE = 16000
_PESQ_SECONDS = 15
_ESTOI_SECONDS = 0.4


def measure(
    reference: Tensor, estimate: Tensor, sample_rate: int, *, speech: bool
) -> dict[str, float]:
    """Metrics of an estimate `[N]` of `reference` `[N]`, by the names of `METRICS`.

    Always the distances `mel`, `mel_dac` and `stft_dac`. Unless the reference is silent, also
    `si_sdr` and `level_db` (dB, level of the estimate over the reference's). For `speech` also
    `estoi` and `pesq`, where they are installed and find enough speech.
    """
    scores = {
        "mel": mel_distance(reference, estimate, sample_rate),
        "mel_dac": dac_mel_distance(reference, estimate, sample_rate),
        "stft_dac": dac_stft_distance(reference, estimate, sample_rate),
    }
    if bool(reference.any()):
        scores["si_sdr"] = si_sdr(reference, estimate)
        scores["level_db"] = level_dbfs(estimate) - level_dbfs(reference)
    if speech:
        for name, metric in (("estoi", estoi), ("pesq", pesq_wb)):
            try:
                value = metric(reference, estimate, sample_rate)
            except UsageError:
                continue
            if math.isfinite(value):
                scores[name] = value
    return scores


def missing_packages() -> list[str]:
    """Packages of the `eval` extra that `measure` would use, and that are not installed."""
    missing = []
    for name in ("pesq", "pystoi"):
        try:
            _extra(name)
        except UsageError:
            missing.append(name)
    return missing


def level_dbfs(x: Tensor) -> float:
    """Root mean square in dB of full scale, from -120 on: far below what 16 bits hold."""
    return 10 * math.log10(float(x.double().pow(2).mean()) + 1e-12)


def si_sdr(reference: Tensor, estimate: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    reference = reference.double() - reference.double().mean()
    estimate = estimate.double() - estimate.double().mean()
    target = (estimate @ reference) / reference.pow(2).sum().clamp(min=1e-20) * reference
    noise = (estimate - target).pow(2).sum().clamp(min=1e-20)
    return float(10 * (target.pow(2).sum().clamp(min=1e-20) / noise).log10())


def estoi(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Extended short-time objective intelligibility, about 0 to 1 (Jensen and Taal 2016).

    NaN if there is too little sound to tell: it needs 0.4 s.

    Raises:
        UsageError: the `eval` extra is not installed.
    """
    module = _extra("pystoi")
    if len(reference) < _ESTOI_SECONDS * sample_rate or not float(reference.abs().max()) > 0:
        return math.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            value = module.stoi(reference.numpy(), estimate.numpy(), sample_rate, extended=True)
        except RuntimeWarning:
            return math.nan
    return float(value)


def pesq_wb(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Wideband PESQ, 1.0 to 4.6 (ITU-T P.862.2), of signals resampled to 16 kHz.

    Recordings longer than 15 s are cut into equal pieces, of which the mean is taken: PESQ is made
    for short ones, and the package crashes on more than 50 utterances. NaN if there is no
    utterance, as in silence and in less than a quarter of a second.

    Raises:
        UsageError: the `eval` extra is not installed.
    """
    module = _extra("pesq")
    resample = import_torchaudio().functional.resample
    a, b = (resample(x.float(), sample_rate, _PESQ_RATE).numpy() for x in (reference, estimate))
    pieces = max(1, math.ceil(len(a) / (_PESQ_SECONDS * _PESQ_RATE)))
    scores = [
        _pesq(module, x, y)
        for x, y in zip(np.array_split(a, pieces), np.array_split(b, pieces), strict=True)
    ]
    known = [score for score in scores if math.isfinite(score)]
    return sum(known) / len(known) if known else math.nan


def _pesq(module: ModuleType, reference: Any, estimate: Any) -> float:
    if not min(abs(x).max(initial=0.0) for x in (reference, estimate)) > 0:
        return math.nan  # it would divide by the peak
    try:
        return float(module.pesq(_PESQ_RATE, reference, estimate, "wb"))
    except (module.NoUtterancesError, module.BufferTooShortError):
        return math.nan


def _extra(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"this needs the package {name}; run: pip install {name}") from None
