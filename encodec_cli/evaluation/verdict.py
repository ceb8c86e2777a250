"""Metrics in words, for people who meet the numbers for the first time.

    PESQ-WB  It estimates the mean of listeners' marks from 1 to 5; the word is that of the nearest
             mark in ITU-T P.800: bad, poor, fair, good, excellent. It ends at 4.64.
    ESTOI    From 0.85 words are clear; from 0.7 mostly; from 0.5 they take effort; below, many are
             lost.
    mel      In the terms of what familiar codecs do to speech and music at 24 kHz: Opus scores
             0.6 to 0.9 at 16 to 24 kb/s, 1.0 to 1.3 at 12, 2.8 to 3.5 at 6 to 8; Lyra v2 1.8 to
             2.2 at 6.
    SI-SDR   How closely the waveform is followed, which the ear may not mind.
    level    Within half a decibel it is kept.

The steps of ESTOI, mel and SI-SDR are this project's own; docs/judging.md lists them all.
"""

from collections.abc import Mapping

from encodec_cli.evaluation.metric_names import METRICS

__all__ = ["verdict", "verdicts"]

# The least value, or the most for distances, that deserves the word.
_STEPS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "pesq": ((4.5, "excellent"), (3.5, "good"), (2.5, "fair"), (1.5, "poor")),
    "estoi": ((0.85, "clear"), (0.7, "mostly clear"), (0.5, "take effort")),
    "si_sdr": ((20.0, "followed closely"), (10.0, "followed"), (0.0, "roughly followed")),
    "mel": ((0.9, "nearly equal"), (1.5, "close"), (2.5, "details differ"), (3.5, "differs")),
}
_WORST = {"pesq": "bad", "estoi": "many lost", "si_sdr": "not followed", "mel": "differs much"}
_KEPT_DB = 0.5


def verdict(name: str, value: float) -> str | None:
    """A word or two for metric `name` of `METRICS`; None if it has no words."""
    if name == "level_db":
        return "kept" if abs(value) <= _KEPT_DB else "louder" if value > 0 else "quieter"
    if name not in _STEPS:
        return None
    for step, word in _STEPS[name]:
        if value <= step if name == "mel" else value >= step:
            return word
    return _WORST[name]


def verdicts(metrics: Mapping[str, float]) -> dict[str, str]:
    """`verdict` of each metric that has one, in the order of `METRICS`."""
    found = {name: verdict(name, metrics[name]) for name in METRICS if name in metrics}
    return {name: word for name, word in found.items() if word is not None}
