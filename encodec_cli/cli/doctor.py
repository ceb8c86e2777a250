"""`doctor`: facts for a bug report."""

from typing import Any

import typer

from encodec_cli.cli import options
from encodec_cli.cli.console import print_json, printable, warn
from encodec_cli.cli.tables import facts_table, print_facts

__all__ = ["doctor"]


def doctor(json: options.Json = False) -> None:
    """Print versions, devices, what loads, models and paths: paste it into bug reports.

    Exit code 1 if something keeps part of the program from working.

    Example: encodec-cli doctor --json
    """
    from encodec_cli.diagnosis.doctor import examine

    facts = examine()
    problems = facts["problems"]
    if json:
        print_json(facts)
    else:
        table = facts_table()
        for topic, value in facts.items():
            if topic != "problems":
                table.add_row(topic.replace("_", "-"), printable(_words(value)))
        print_facts("encodec-cli doctor", table)
        for line in problems:
            warn(line, label="problem", style="bold red")
    if problems:
        raise typer.Exit(1)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items()) or "none"
    if isinstance(value, bool):
        return "loads" if value else "missing"
    return "not installed" if value is None else str(value)
