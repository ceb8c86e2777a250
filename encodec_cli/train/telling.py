"""What a run says of itself, in lines; the log has the same as JSON."""

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

__all__ = ["loss_words", "progress_line", "share_line", "validation_lines", "verdict"]

_RATE = "audio_per_second"


def loss_words(record: Mapping[str, Any]) -> str:
    """Means of the losses, each with its name."""
    losses = {k: v for k, v in record.items() if isinstance(v, float) and k != _RATE}
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())


def progress_line(record: Mapping[str, Any], step: int, steps: int, step_seconds: float) -> str:
    """How far a run is, for where no terminal shows a bar; `step_seconds` of audio in a step."""
    line = f"step {step} of {steps}: {loss_words(record)}"
    speed = record.get(_RATE)
    if not speed:
        return line
    left = (steps - step) * step_seconds / speed
    return f"{line}; {speed:.3g} s of audio a second, {_about(left)} left"


def validation_lines(
    quality: Mapping[str, Any], step: int, before: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """A line for each rate and kind of recording, and how much of the codebooks is in use.

    With what the weights scored `before` the run: those numbers stand in front.
    """
    rates = {k: v for k, v in quality.items() if k.endswith(" kb/s")} or {"": quality}
    for rate, found in rates.items():
        where = f"step {step}: validation{f' at {rate}' if rate else ''}"
        for kind, metrics in found.items():
            if isinstance(metrics, Mapping):
                first = (before or {}).get(rate, {}).get(kind, {}) if step else {}
                words = (f"{k} {_from(first.get(k))}{v:.3g}" for k, v in metrics.items())
                yield f"{where}: {kind}: {', '.join(words)}"
        if "used" in found:
            yield f"{where}: {100 * found['used']:.0f} % of the codes are in use"


def share_line(share: float) -> str:
    """How much of what was learnt the weights keep; see `blend`."""
    if share == 1:
        return "the recordings held out score best with all that was learnt"
    if share == 0:
        return (
            "nothing of what was learnt helps the recordings held out: the weights are those this "
            "began with; more recordings, or more kinds of them, may help"
        )
    return (
        f"the recordings held out score best with {100 * share:.0f} % of the way from the weights "
        "this began with to those it learnt; the rest suits the recordings learnt from alone"
    )


def verdict(before: Mapping[str, Any], quality: Mapping[str, Any]) -> Iterator[str]:
    """A line if the recordings held out score worse than with the weights the run began with."""
    pairs = [
        (before[rate][kind]["mel"], metrics["mel"])
        for rate, found in quality.items()
        if rate in before
        for kind, metrics in found.items()
        if isinstance(metrics, Mapping) and kind in before[rate]
    ]
    if not pairs:
        return
    first, last = (fmean(values) for values in zip(*pairs, strict=True))
    if last > first:
        yield (
            f"warning: the mel distance of the recordings held out was {first:.3g}, and is "
            f"{last:.3g} now; stay with the weights this began with, or try a lower learning_rate, "
            "fewer steps or more recordings"
        )


def _from(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} -> "


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"
