"""Recordings and what a codec might have made of them, without running one."""

from pathlib import Path

import numpy as np
from cli_samples import RATE, tone

from encodec_cli.evaluation.evaluate import Evaluated, Reference, Row
from encodec_cli.report import Recording

__all__ = ["EVIL", "recording"]

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)> $name \n\x1b]0;\u202e&amp;.wav"
"""A file name that would like to be more than text."""


def recording(
    name: str = "talk.wav",
    *,
    seconds: float = 2.0,
    bandwidths: tuple[float, ...] = (1.5, 6.0),
    kind: str | None = None,
    codec: str = "tiny24",
) -> Recording:
    """A chord and, for each bandwidth, the same with less noise the higher it is."""
    audio = tone(seconds).T
    noise = np.random.default_rng(3).standard_normal(audio.shape).astype(np.float32)
    results = []
    for bandwidth in bandwidths:
        decoded = audio + noise * 0.05 / bandwidth
        metrics = {"pesq": 1 + bandwidth / 4, "si_sdr": 3 * bandwidth, "level_db": -1 / bandwidth}
        row = Row(
            recording=name,
            kind=kind,
            codec=codec,
            bandwidth=bandwidth,
            seconds=seconds,
            bytes=round(bandwidth * 125 * seconds) + 100,
            encode_speed=10.0,
            decode_speed=20.0,
            clipped=3,
            metrics=metrics,
        )
        results.append(Evaluated(row, decoded))
    reference = Reference(Path(name), kind, RATE, audio)
    return Recording(name, f"{seconds:.2f} s, 24,000 Hz, mono", reference, results)
