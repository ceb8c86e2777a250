"""How `evaluate` shows what it measured: a table of means, JSON objects, or CSV."""

import csv
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from encodec_cli.cli.console import count, output, printable, rounded
from encodec_cli.evaluation.metric_names import METRICS

if TYPE_CHECKING:
    from encodec_cli.evaluation.evaluate import Row
    from encodec_cli.evaluation.other_codecs import OtherCodec
    from encodec_cli.evaluation.summary import Mean, Summary

__all__ = ["columns", "print_csv_header", "print_csv_row", "print_summary"]

_COLUMNS = (
    "recording",
    "kind",
    "codec",
    "bandwidth",
    "seconds",
    "bytes",
    "kbps",
    "encode_speed",
    "decode_speed",
    "clipped",
    *METRICS,
)
_SPEEDS = {"encode_speed": "encoding", "decode_speed": "decoding"}


def columns(row: "Row") -> dict[str, Any]:
    """A row by column, floats to four decimals; None where nothing was measured."""
    values = row.as_dict()
    return rounded({name: values[name] for name in _COLUMNS})


def print_csv_header() -> None:
    """The names of the columns, on stdout."""
    csv.writer(sys.stdout, lineterminator="\n").writerow(_COLUMNS)


def print_csv_row(row: "Row") -> None:
    """One line on stdout; what was not measured is empty."""
    csv.writer(sys.stdout, lineterminator="\n").writerow(columns(row).values())
    sys.stdout.flush()


def print_summary(rows: "Sequence[Row]", others: "Sequence[OtherCodec]") -> None:
    """Tables of means, one for each kind, in Markdown; and a line that explains them."""
    from encodec_cli.evaluation.summary import summarize

    summaries = summarize(rows)
    console = output(folds=True)
    kinds = list(dict.fromkeys(summary.kind for summary in summaries))
    for kind in kinds:
        group = [summary for summary in summaries if summary.kind == kind]
        recordings = count(max(summary.recordings for summary in group), "recording")
        name = "others" if kind is None and len(kinds) > 1 else printable(kind or "")
        console.print(f"{name}, {recordings}" if name else recordings, style="bold")
        console.print(_table(group, console.width))
        console.print()
    console.print(_legend(summaries, others), soft_wrap=True)


def _table(summaries: "Sequence[Summary]", width: int) -> Table:
    """A line for each codec and bandwidth; a column for each where `width` is too little."""
    lines = _lines(summaries)
    if sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True)) >= width:
        lines = [list(column) for column in zip(*lines, strict=True)]
    table = Table(box=box.MARKDOWN)
    for number, name in enumerate(lines[0]):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in lines[1:]:
        table.add_row(*line)
    return table


def _lines(summaries: "Sequence[Summary]") -> list[list[str]]:
    """Cells of the table, the line of titles first; only columns that have something to tell."""
    measured = {name for summary in summaries for name in summary.means}
    shown = [name for name in METRICS if name in measured]
    speeds = [name for name in _SPEEDS if name in measured]
    rates = [name for name in ("kbps",) if name in measured]
    titles = [f"{METRICS[name].label} {METRICS[name].unit}".rstrip() for name in shown]
    lines = [["codec", *("kb/s" for _ in rates), *titles, "clipped", *(_SPEEDS[n] for n in speeds)]]
    for summary in summaries:
        means = summary.means
        rate = "" if summary.bandwidth is None else f" {summary.bandwidth:g}"
        lines.append(
            [
                f"{printable(summary.codec)}{rate}",
                *(_mean(means.get(name), 2) for name in rates),
                *(_interval(means.get(name), METRICS[name].digits) for name in shown),
                f"{summary.clipped:,}",
                *(_mean(means.get(name), 1) for name in speeds),
            ]
        )
    return lines


def _mean(mean: "Mean | None", digits: int) -> str:
    return "" if mean is None else f"{mean.value:.{digits}f}"


def _interval(mean: "Mean | None", digits: int) -> str:
    if mean is None or mean.half_width is None:
        return _mean(mean, digits)
    return f"{_mean(mean, digits)} ±{mean.half_width:.{digits}f}"


def _directions(measured: Collection[str]) -> str:
    """Which way each metric is better."""
    ways = {"high": "higher is better", "low": "lower is better", "zero": "nearer 0 is better"}
    words = []
    for best, way in ways.items():
        labels = [m.label for name, m in METRICS.items() if m.best == best and name in measured]
        if labels:
            words.append(f"{', '.join(labels)}: {way}")
    return "; ".join(words)


def _legend(summaries: "Sequence[Summary]", others: "Sequence[OtherCodec]") -> str:
    parts = []
    if any(m.half_width is not None for summary in summaries for m in summary.means.values()):
        parts.append("mean ± half the 95 % interval over the recordings (Student's t)")
    counted = {codec.name: codec.counted for codec in others}
    sizes = dict.fromkeys(s.codec for s in summaries if "kbps" in s.means)
    if sizes:
        words = (
            f"of {printable(name)}, {counted.get(name, 'whole .ecdc files')}" for name in sizes
        )
        parts.append(f"kb/s: bytes {'; '.join(words)}")
    parts.append(_directions({name for summary in summaries for name in summary.means}))
    parts.append("clipped: samples at full scale, in all")
    if any("encode_speed" in summary.means for summary in summaries):
        parts.append("encoding, decoding: times real time, with files")
    return "\n".join(parts)
