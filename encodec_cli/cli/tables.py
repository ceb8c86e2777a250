"""Tables that commands print."""

from rich.table import Table

from encodec_cli.cli.console import output, printable

__all__ = ["channels_name", "facts_table", "print_facts", "print_table"]


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
    output().print(printable(title), style="bold", soft_wrap=True)
    print_table(table)


def print_table(table: Table) -> None:
    """Print a table; where no terminal shows it, no line is longer than what it says."""
    console = output()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.out(line.rstrip(), highlight=False)
