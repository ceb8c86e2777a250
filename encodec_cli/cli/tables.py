"""Tables that commands print."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from encodec_cli.cli.console import count, output, printable
from encodec_cli.metric_names import METRICS

if TYPE_CHECKING:
    from encodec_cli.pipeline import EncodeReport

__all__ = ["channels_name", "facts_table", "print_facts", "roundtrip_table"]


def channels_name(channels: int) -> str:
    """mono, stereo, or how many."""
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def facts_table(columns: int = 2) -> Table:
    """An empty table of facts: a name, then what is to be said of it, never cut short."""
    table = Table(show_header=False, box=None)
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def print_facts(title: str, table: Table) -> None:
    """Print what the facts are about on a line of its own, then the facts."""
    console = output()
    console.print(printable(title), style="bold", soft_wrap=True)
    console.print(table)


def roundtrip_table(
    source: Path,
    target: Path | None,
    source_bytes: int,
    encoded: "EncodeReport",
    quality: dict[str, float],
) -> None:
    """Print what a round trip cost and what came back."""
    table = facts_table(columns=3)
    table.add_row("length", f"{encoded.seconds:.2f} s", "")
    table.add_row("source", f"{source_bytes:,} bytes", "")
    ratio = source_bytes / encoded.bytes
    codebooks = count(encoded.codebooks, "codebook")
    table.add_row(
        ".ecdc",
        f"{encoded.bytes:,} bytes",
        f"{ratio:.1f} times smaller, {encoded.kbps:.2f} kb/s, {codebooks}",
    )
    table.add_row("encoding", f"{encoded.speed:.1f} x real time", "")
    for name, metric in METRICS.items():
        if name in quality:
            value = f"{quality[name]:.{metric.digits}f} {metric.unit}".rstrip()
            table.add_row(metric.label, value, Text(metric.hint, style="dim"))
    if target is not None:
        table.add_row("decoded", printable(str(target)), "")
    print_facts(str(source), table)
