"""How far a decoded signal is from its source. Pure functions of two `[N]` tensors.

ESTOI and PESQ come from the packages of the `eval` extra; everything else needs torch only.
"""

import importlib
import math
from types import ModuleType

from torch import Tensor

from encodec_cli.errors import UsageError
from encodec_cli.spectra import log_mel
from encodec_cli.torchaudio_import import import_torchaudio

__all__ = ["estoi", "measure", "mel_distance", "pesq_wb", "si_sdr"]

_MEL_SCALES = tuple((32 * 2**i, 5 * 2**i) for i in range(7))
_PESQ_RATE = 16000


def measure(
    reference: Tensor, estimate: Tensor, sample_rate: int, *, speech: bool
) -> dict[str, float]:
    """Metrics of an estimate `[N]` of `reference` `[N]`, by name.

    Always `si_sdr` (dB), `mel` and `level_db` (dB, level of the estimate over the reference's);
    for `speech` also `estoi` and `pesq`, where installed and where they find enough speech.
    """
    powers = [float(x.double().pow(2).mean()) + 1e-12 for x in (estimate, reference)]
    scores = {
        "si_sdr": si_sdr(reference, estimate),
        "mel": mel_distance(reference, estimate, sample_rate),
        "level_db": 10 * math.log10(powers[0] / powers[1]),
    }
    if speech:
        for name, metric in (("estoi", estoi), ("pesq", pesq_wb)):
            try:
                value = metric(reference, estimate, sample_rate)
            except UsageError:
                continue
            if math.isfinite(value):
                scores[name] = value
    return scores


def si_sdr(reference: Tensor, estimate: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019)."""
    reference = reference.double() - reference.double().mean()
    estimate = estimate.double() - estimate.double().mean()
    target = (estimate @ reference) / reference.pow(2).sum().clamp(min=1e-20) * reference
    noise = (estimate - target).pow(2).sum().clamp(min=1e-20)
    return float(10 * (target.pow(2).sum().clamp(min=1e-20) / noise).log10())


def mel_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Sum over 7 scales (windows 32 to 2048, 5 to 320 mels) of the mean log10-mel difference."""
    total = 0.0
    for size, mels in _MEL_SCALES:
        a, b = (
            log_mel(x.float()[None], sample_rate, size, mels, floor=1e-5)
            for x in (reference, estimate)
        )
        total += float((a - b).abs().mean())
    return total


def estoi(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Extended short-time objective intelligibility, about 0 to 1 (Jensen and Taal 2016).

    Raises:
        UsageError: the `eval` extra is not installed.
    """
    module = _extra("pystoi")
    return float(module.stoi(reference.numpy(), estimate.numpy(), sample_rate, extended=True))


def pesq_wb(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Wideband PESQ, 1.0 to 4.6 (ITU-T P.862.2), of signals resampled to 16 kHz.

    NaN if PESQ finds no utterance.

    Raises:
        UsageError: the `eval` extra is not installed.
    """
    module = _extra("pesq")
    resample = import_torchaudio().functional.resample
    a, b = (resample(x.float(), sample_rate, _PESQ_RATE).numpy() for x in (reference, estimate))
    try:
        return float(module.pesq(_PESQ_RATE, a, b, "wb"))
    except module.NoUtterancesError:
        return float("nan")


def _extra(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(
            f"this needs the package {name}; install the extra: pip install 'encodec-cli[eval]'"
        ) from None
