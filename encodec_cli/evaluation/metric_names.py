"""What the metrics are called, in which unit, and which way is better."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "MetricName"]


@dataclass(frozen=True)
class MetricName:
    """One metric as tables and charts show it."""

    label: str
    unit: str
    """Empty for plain numbers."""
    digits: int
    """After the decimal point."""
    best: Literal["high", "low", "zero"]
    hint: str
    """A few words for those who meet it for the first time."""


METRICS = {
    "pesq": MetricName("PESQ-WB", "", 2, "high", "quality of speech, 1 to 4.6"),
    "estoi": MetricName("ESTOI", "", 3, "high", "intelligibility of speech, up to 1"),
    "si_sdr": MetricName("SI-SDR", "dB", 1, "high", "how closely the waveform is followed"),
    "mel": MetricName(
        "mel distance", "", 2, "low", "0 is equal; speech through Opus at 6 kb/s has about 3.0"
    ),
    "mel_dac": MetricName("mel DAC", "", 2, "low", "0 is equal; descript-audio-codec's mel loss"),
    "stft_dac": MetricName("STFT DAC", "", 2, "low", "0 is equal; its STFT loss"),
    "level_db": MetricName("level", "dB", 2, "zero", "against the source"),
}
"""By the keys of `metrics.measure`, in the order to show them."""
