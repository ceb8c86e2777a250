"""Means over recordings, and how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from encodec_cli.evaluation.evaluate import Row

__all__ = ["Mean", "Summary", "mean_interval", "student_quantile", "summarize"]

_CONFIDENCE = 0.95
_LEAST_RECORDINGS = 5


@dataclass(frozen=True)
class Mean:
    """A mean over recordings, with its 95 % interval by Student's t."""

    value: float
    half_width: float | None
    """The interval reaches this far to either side; None for fewer than five recordings."""
    count: int


@dataclass(frozen=True)
class Summary:
    """One codec at one bandwidth over all recordings of one kind."""

    kind: str | None
    codec: str
    bandwidth: float | None
    recordings: int
    clipped: int
    """Samples in all."""
    means: dict[str, Mean]
    """Of the metrics and of kbps, encode_speed and decode_speed, where known."""


def summarize(rows: Sequence[Row]) -> list[Summary]:
    """Rows by kind, codec and bandwidth, each in the order in which they first appear."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    codings = list(dict.fromkeys((row.codec, row.bandwidth) for row in rows))
    summaries = []
    for kind in kinds:
        for codec, bandwidth in codings:
            group = [r for r in rows if (r.kind, r.codec, r.bandwidth) == (kind, codec, bandwidth)]
            if group:
                means = _means(group)
                clipped = sum(row.clipped for row in group)
                summaries.append(Summary(kind, codec, bandwidth, len(group), clipped, means))
    return summaries


def _means(rows: Sequence[Row]) -> dict[str, Mean]:
    values: dict[str, list[float]] = {}
    for row in rows:
        numbers = {
            "kbps": row.kbps,
            "encode_speed": row.encode_speed,
            "decode_speed": row.decode_speed,
            **row.metrics,
        }
        for name, value in numbers.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: mean_interval(measured) for name, measured in values.items()}


def mean_interval(values: Sequence[float]) -> Mean:
    """The mean of `values`, as if drawn from one normal distribution, with its 95 % interval.

    Fewer than five say too little of how they spread: they get no interval.
    """
    count = len(values)
    if count < _LEAST_RECORDINGS:
        return Mean(fmean(values), None, count)
    error = stdev(values) / math.sqrt(count)
    return Mean(fmean(values), student_quantile(0.5 + _CONFIDENCE / 2, count - 1) * error, count)


def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution, `degrees` >= 1, to about four decimals.

    With t = sqrt(degrees) tan(a) the density over a is proportional to cos(a) ** (degrees - 1),
    which is integrated by the trapezoid rule.
    """
    angles = np.linspace(-math.pi / 2, math.pi / 2, 200_001)
    density = np.cos(angles).clip(min=0) ** (degrees - 1)
    cumulated = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    angle = float(np.interp(probability, cumulated / cumulated[-1], angles))
    return math.sqrt(degrees) * math.tan(angle)
