"""Rate-distortion curves: metrics against real kb/s, as SVG that takes the page's colours."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from encodec_cli.evaluation.evaluate import Row
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.summary import Summary

__all__ = ["GROUP_COLOURS", "Curve", "Group", "draw_curves", "groups_of"]

Group = tuple[str | None, str]
"""Kind and codec: what has a curve of its own."""

GROUP_COLOURS = 6
"""The page has so many, --c0 and so on; then they start again."""

_INCHES = (3.6, 2.5)
_MARGINS = (0.15, 0.18, 0.83, 0.79)  # left, bottom, width, height: room for labels
# Colours that nothing else has; in the finished SVG they become the page's.
_TEXT, _LINE = "#010203", "#010204"
_GROUPS = tuple(f"#0103{index:02x}" for index in range(GROUP_COLOURS))
_PAGE_COLOURS = {_TEXT: "currentColor", _LINE: "var(--line)"}
_PAGE_COLOURS |= {colour: f"var(--c{index})" for index, colour in enumerate(_GROUPS)}

Point = tuple[float, float]
"""kb/s and a metric."""


@dataclass(frozen=True)
class Curve:
    """A chart of one metric."""

    metric: str
    """Key of `METRICS`."""
    svg: str
    means: Mapping[Group, Sequence[Point]]
    """Over the recordings, at each bandwidth."""


def groups_of(summaries: Sequence[Summary]) -> list[Group]:
    """Every kind and codec, in order."""
    return list(dict.fromkeys((summary.kind, summary.codec) for summary in summaries))


def draw_curves(recordings: Sequence[Sequence[Row]], summaries: Sequence[Summary]) -> list[Curve]:
    """A chart for each metric that was measured: every recording thin, their means thick."""
    groups = groups_of(summaries)
    charts = []
    for metric in METRICS:
        means = {group: _mean_points(summaries, group, metric) for group in groups}
        means = {group: points for group, points in means.items() if points}
        if means:
            lines = [
                (group, _points(rows, group, metric)) for rows in recordings for group in means
            ]
            alone = all(len(points) == 0 for _, points in lines) or len(recordings) == 1
            svg = _chart([] if alone else lines, means, groups)
            charts.append(Curve(metric, svg, means))
    return charts


def _points(rows: Sequence[Row], group: Group, metric: str) -> list[Point]:
    return sorted(
        (row.kbps, row.metrics[metric])
        for row in rows
        if (row.kind, row.codec) == group and row.kbps is not None and metric in row.metrics
    )


def _mean_points(summaries: Sequence[Summary], group: Group, metric: str) -> list[Point]:
    means = [s.means for s in summaries if (s.kind, s.codec) == group]
    return sorted((m["kbps"].value, m[metric].value) for m in means if {"kbps", metric} <= m.keys())


def _chart(
    lines: Sequence[tuple[Group, Sequence[Point]]],
    means: Mapping[Group, Sequence[Point]],
    groups: Sequence[Group],
) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = {group: _GROUPS[index % GROUP_COLOURS] for index, group in enumerate(groups)}
    with rc_context(_style()):
        figure = Figure(figsize=_INCHES)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(_MARGINS)
        for group, line in lines:
            if line:
                axes.plot(*zip(*line, strict=True), color=colours[group], alpha=0.4, linewidth=1)
        for group, mean in means.items():
            x, y = zip(*mean, strict=True)
            axes.plot(x, y, color=colours[group], linewidth=2.5, marker="o", markersize=5)
        axes.set_xlabel("kb/s")
        axes.set_xlim(left=0)
        axes.grid(linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    for ours, theirs in _PAGE_COLOURS.items():
        svg = svg.replace(ours, theirs)
    return svg[svg.index("<svg") :]  # without the XML declaration and DTD


def _style() -> Any:
    """Settings of matplotlib for one chart."""
    return {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "encodec-cli",  # the same input gives the same bytes
        "font.size": 10,
        "text.color": _TEXT,
        "axes.labelcolor": _TEXT,
        "axes.edgecolor": _LINE,
        "xtick.labelcolor": _TEXT,
        "ytick.labelcolor": _TEXT,
        "xtick.color": _LINE,
        "ytick.color": _LINE,
        "grid.color": _LINE,
    }
