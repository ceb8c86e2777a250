"""What the recordings have in common: tables of means and rate-distortion curves."""

from collections.abc import Sequence

from encodec_cli.evaluation.evaluate import Row
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.summary import Mean, Summary, summarize
from encodec_cli.report.curves import GROUP_COLOURS, Curve, Group, draw_curves, groups_of
from encodec_cli.report.recording import metric_headings, version_label
from encodec_cli.report.template import escaped, filled

__all__ = ["BEST", "overview_html"]

BEST = {"high": "higher is better", "low": "lower is better", "zero": "best at 0"}
"""`MetricName.best` in words."""


def overview_html(recordings: Sequence[Sequence[Row]], model: str) -> str:
    """The section about all recordings, given the rows of each; `model` needs no mention."""
    summaries = summarize([row for rows in recordings for row in rows])
    return filled(
        "overview.html",
        summaries=_summaries(summaries, model),
        keys=_keys(groups_of(summaries)),
        curves="\n".join(map(_curve, draw_curves(recordings, summaries))),
        note=_note(
            len(recordings),
            intervals=any(m.half_width is not None for s in summaries for m in s.means.values()),
        ),
    )


def _summaries(summaries: Sequence[Summary], model: str) -> str:
    """A table for each kind."""
    tables = []
    kinds = list(dict.fromkeys(s.kind for s in summaries))
    unnamed = "Means" if len(kinds) == 1 else "others"
    for kind in kinds:
        group = [s for s in summaries if s.kind == kind]
        names = [name for name in METRICS if any(name in s.means for s in group)]
        count = max(s.recordings for s in group)
        tables.append(
            filled(
                "summary.html",
                caption=escaped(f"{kind or unnamed}, {_recordings(count)}"),
                metrics=metric_headings(names),
                rows="\n".join(_summary_row(s, names, model) for s in group),
            )
        )
    return "\n".join(tables)


def _summary_row(summary: Summary, names: Sequence[str], model: str) -> str:
    kbps = summary.means.get("kbps")
    label = version_label(
        summary.codec, summary.bandwidth, model, kbps=None if kbps is None else kbps.value
    )
    cells = [_mean(summary.means.get("kbps"), 2, interval=False)]
    cells += [_mean(summary.means.get(name), METRICS[name].digits) for name in names]
    return f'<tr><th scope="row">{escaped(label)}</th>{"".join(cells)}</tr>'


def _keys(groups: Sequence[Group]) -> str:
    """What the colours of the curves mean, if there are several."""
    if len(groups) == 1:
        return ""
    items = (
        f'<li><i style="background: var(--c{index % GROUP_COLOURS})"></i>'
        f"{escaped(_group_label(group))}</li>"
        for index, group in enumerate(groups)
    )
    return f'<ul class="keys" aria-label="Colours">{"".join(items)}</ul>'


def _group_label(group: Group) -> str:
    kind, codec = group
    return codec if kind is None else f"{codec}, {kind}"


def _curve(curve: Curve) -> str:
    metric = METRICS[curve.metric]
    described = "; ".join(
        f"{_group_label(group)}: "
        + ", ".join(f"{y:.{metric.digits}f} at {x:.1f} kb/s" for x, y in points)
        for group, points in curve.means.items()
    )
    return filled(
        "curve.html",
        label=escaped(metric.label),
        unit=escaped(f", {metric.unit}" if metric.unit else ""),
        best=BEST[metric.best],
        description=escaped(f"{metric.label} against real rate, means. {described}"),
        svg=curve.svg.replace("<svg", '<svg aria-hidden="true"', 1),
    )


def _recordings(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"


def _mean(mean: Mean | None, digits: int, *, interval: bool = True) -> str:
    if mean is None:
        return "<td>&ndash;</td>"
    width = mean.half_width if interval else None
    error = "" if width is None else f" <small>±{width:.{digits}f}</small>"
    return f"<td>{mean.value:.{digits}f}{error}</td>"


def _note(recordings: int, *, intervals: bool) -> str:
    rates = "The rates are real: from the bytes of the files."
    if recordings == 1:
        return rates
    table = " ± half its 95 % interval (Student's t)" if intervals else "s"
    return f"Tables: mean{table}. Curves: thick the mean, thin each recording. {rates}"
