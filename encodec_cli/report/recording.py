"""One recording on the page: player, pictures, table."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from encodec_cli.audio import FloatBlock, flac_bytes
from encodec_cli.dsp.spectra import picture_levels
from encodec_cli.evaluation.evaluate import Evaluated, Reference, Row
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.report.plotting import (
    DIFFERENCE_DB,
    RANGE_DB,
    Levels,
    data_uri,
    difference_ramp,
    level_ramp,
    picture_of_difference,
    picture_of_levels,
)
from encodec_cli.report.template import asset, escaped, filled
from encodec_cli.report.waveform import WAVE_COLUMNS, wave_path

__all__ = ["Recording", "metric_headings", "recording_html", "version_label"]

_MELS = 128
_COLUMNS = 720
# What is quieter throughout is drawn darker and flatter, not as loud as anything else.
_QUIETEST_TOP_DB = -20.0
_LEAST_PEAK = 0.01
_MOST_TICKS = 6
_CAPTION = ("pesq", "estoi", "si_sdr")


@dataclass(frozen=True)
class Recording:
    """A recording as a listener meets it, and what a codec made of it."""

    name: str
    facts: str
    """A line about its source."""
    reference: Reference
    results: Sequence[Evaluated]
    """In the order to show them."""


def version_label(
    codec: str, bandwidth: float | None, model: str, *, kbps: float | None = None
) -> str:
    """What a version is called: its rate, and its codec if that is not `model`.

    Another codec may take its rate for a wish: it is called by its real `kbps`, if that is known.
    """
    if bandwidth is None:
        rate = "unknown rate"
    elif codec == model or kbps is None:
        rate = f"{bandwidth:g} kb/s"
    else:
        rate = f"{kbps:.1f} kb/s"
    return rate if codec == model else f"{codec} {rate}"


def _label(row: Row, model: str) -> str:
    kbps = None if row.bytes is None else row.kbps
    return version_label(row.codec, row.bandwidth, model, kbps=kbps)


def recording_html(recording: Recording, number: int, model: str) -> str:
    """The whole article about recording `number` of the page, about 1 MB per 10 s at 24 kHz.

    `model` is the codec that needs no mention.
    """
    rows = [result.row for result in recording.results]
    labels = ["original", *(_label(row, model) for row in rows)]
    choices = (
        filled(
            "choice.html",
            number=number,
            index=index,
            key=_key(index),
            label=_with_unit(escaped(label)),
            checked="" if index else " checked",
        )
        for index, label in enumerate(labels)
    )
    return filled(
        "recording.html",
        number=number,
        name=escaped(recording.name),
        facts=escaped(recording.facts),
        play_icon=asset("play.svg").strip(),
        choices="".join(choices),
        versions="".join(_versions(recording, number, labels)),
        ticks=_ticks(recording.reference.seconds),
        columns=_columns(rows),
        rows=_table_rows(recording.reference, rows, labels),
    )


def _with_unit(label: str) -> str:
    """The unit in an element of its own, which narrow screens show to screen readers only."""
    number, unit, rest = label.partition(" kb/s")
    return f'{number}<span class="unit">{unit}</span>' if unit and not rest else label


def _key(index: int) -> str:
    return f"<kbd>{index + 1}</kbd>" if index < 9 else ""


def _versions(recording: Recording, number: int, labels: Sequence[str]) -> Iterator[str]:
    reference = recording.reference
    original = _levels(reference.audio, reference.sample_rate)
    top = max(float(original.max()), _QUIETEST_TOP_DB)
    peak = max(float(abs(reference.audio).max()), _LEAST_PEAK)
    rate = f"{reference.sample_rate / 1000:g} kHz"
    channels = {1: "mono", 2: "stereo"}.get(len(reference.audio), f"{len(reference.audio)} ch")
    audios = [reference.audio, *(result.audio for result in recording.results)]
    for index, (audio, label) in enumerate(zip(audios, labels, strict=True)):
        levels = original if index == 0 else _levels(audio, reference.sample_rate)
        if index == 0:
            size, beside = f"{rate}, {channels}", _legend()
        else:
            row = recording.results[index - 1].row
            size = _size_words(row)
            beside = filled(
                "beside_decoded.html",
                index=index,
                label=escaped(label),
                caption=escaped(_caption(row)),
                difference=picture_of_difference(levels, original, top),
            )
        yield filled(
            "version.html",
            number=number,
            index=index,
            key=_key(index),
            name=escaped(recording.name),
            label=escaped(label),
            size=escaped(size),
            width=WAVE_COLUMNS - 1,
            wave=wave_path(audio, peak),
            spectrogram=picture_of_levels(levels, top),
            hertz=_hertz(reference.sample_rate),
            beside=beside,
            sound=data_uri("audio/flac", flac_bytes(audio, reference.sample_rate)),
        )


def _levels(audio: FloatBlock, sample_rate: int) -> Levels:
    mono = torch.from_numpy(audio).mean(0)
    levels: Levels = picture_levels(mono, sample_rate, mels=_MELS, columns=_COLUMNS).numpy()
    return levels


def _legend() -> str:
    return filled(
        "beside_original.html",
        level_ramp=level_ramp(),
        level_low=f"&minus;{RANGE_DB:g} dB",
        difference_ramp=difference_ramp(),
        difference_low=f"{DIFFERENCE_DB:g} dB",
        difference_high=f"{DIFFERENCE_DB:g} dB",
    )


def _size_words(row: Row) -> str:
    return "" if row.bytes is None else f"{row.bytes:,} bytes, {row.kbps:.2f} kb/s"


def _caption(row: Row) -> str:
    """The metrics that a listener wants first."""
    names = [name for name in _CAPTION if name in row.metrics] or ["mel"]
    return "Against the original: " + ", ".join(_value(row, name, unit=True) for name in names)


def _value(row: Row, name: str, *, unit: bool = False) -> str:
    metric = METRICS[name]
    number = f"{row.metrics[name]:.{metric.digits}f}"
    return f"{metric.label} {number} {metric.unit}".rstrip() if unit else number


def metric_headings(names: Sequence[str]) -> str:
    """Column headings for metrics: name and unit, with the hint for who points at them."""
    return "".join(
        f'<th scope="col" title="{escaped(METRICS[name].hint)}">'
        f"{escaped(METRICS[name].label)}{f' ({METRICS[name].unit})' if METRICS[name].unit else ''}"
        "</th>"
        for name in names
    )


def _metric_cells(row: Row, names: Sequence[str]) -> str:
    """Cells for those metrics; a dash for what could not be measured."""
    values = (_value(row, name) if name in row.metrics else "&ndash;" for name in names)
    return "".join(f"<td>{value}</td>" for value in values)


def _measured(rows: Sequence[Row]) -> list[str]:
    return [name for name in METRICS if any(name in row.metrics for row in rows)]


def _columns(rows: Sequence[Row]) -> str:
    heads = ("version", "bytes", "kb/s", "of PCM", "clipped")
    plain = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return plain + metric_headings(_measured(rows))


def _table_rows(reference: Reference, rows: Sequence[Row], labels: Sequence[str]) -> str:
    names = _measured(rows)
    pcm = 2 * reference.audio.size
    pcm_kbps = pcm * 8 / reference.seconds / 1000
    lines = [
        f'<tr><th scope="row">{escaped(labels[0])}</th><td>{pcm:,}</td><td>{pcm_kbps:.0f}</td>'
        f"<td>1</td><td></td>{'<td></td>' * len(names)}</tr>"
    ]
    for row, label in zip(rows, labels[1:], strict=True):
        size = "<td>&ndash;</td><td>&ndash;</td><td>&ndash;</td>"
        if row.bytes is not None:
            size = f"<td>{row.bytes:,}</td><td>{row.kbps:.2f}</td><td>1/{pcm / row.bytes:.0f}</td>"
        lines.append(
            f'<tr><th scope="row">{escaped(label)}</th>{size}<td>{row.clipped:,}</td>'
            f"{_metric_cells(row, names)}</tr>"
        )
    return "\n".join(lines)


def _hertz(sample_rate: int) -> str:
    """Labels of the frequency axis."""
    top = _mel(sample_rate / 2)
    shown = [f for f in (250, 500, 1000, 2000, 4000, 8000, 16000) if _mel(f) < 0.95 * top]
    spans = (
        f'<span style="bottom: {100 * _mel(f) / top:.1f}%">'
        f"{f'{f // 1000} kHz' if f >= 1000 else f'{f} Hz'}</span>"
        for f in shown[-5:]
    )
    return f'<div class="hertz" aria-hidden="true">{"".join(spans)}</div>'


def _mel(hz: float) -> float:
    """Slaney's mel scale, that of `spectra.mel_filterbank`: linear below 1 kHz."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _ticks(seconds: float) -> str:
    """Labels of the time axis, at round numbers."""
    steps = (unit * 10**power for power in range(-3, 5) for unit in (1, 2, 5))
    step = next(step for step in steps if seconds / step <= _MOST_TICKS)
    times = (i * step for i in range(int(0.97 * seconds / step) + 1))
    return "".join(f'<span style="left: {100 * t / seconds:.2f}%">{t:g} s</span>' for t in times)
