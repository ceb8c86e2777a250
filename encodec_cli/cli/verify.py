"""`verify`: whether `.ecdc` files are whole. Needs no model, and no torch."""

from typing import Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import ECDC_SUFFIXES, Job, inputs_in
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, output, print_json, printable, say, warn
from encodec_cli.cli.foreign_files import is_foreign, not_ecdc
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.files import open_input

__all__ = ["verify"]

_WORDS = {"ok": "ok", "damaged": "damaged", "not_ecdc": "not .ecdc", "unreadable": "unreadable"}


def verify(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help=".ecdc; folders with -r; - is stdin.",
            autocompletion=complete_files(ECDC_SUFFIXES),
        ),
    ],
    recursive: options.Recursive = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Check every checksum and count; one line per file, exit code 1 unless all are whole.

    Example: encodec-cli verify -r coded
    """
    inputs = inputs_in(sources, ECDC_SUFFIXES, recursive=recursive)
    states = dict.fromkeys(_WORDS, 0)
    for job in inputs:
        state, problems = _judge(job)
        states[state] += 1
        for line in problems:
            warn(f"{job.source}: {line}", label="error", style="bold red")
        if json:
            print_json({"source": str(job.source), "state": state, "problems": problems})
        elif not quiet:
            output().print(f"{printable(str(job.source))}: {_WORDS[state]}", soft_wrap=True)
    if recursive or len(inputs) > 1:
        if json:
            print_json({"summary": {"files": len(inputs), **states}})
        elif not quiet:
            counts = ", ".join(f"{n:,} {_WORDS[state]}" for state, n in states.items() if n)
            say(f"{count(len(inputs), 'file')}: {counts}")
    if states["ok"] < len(inputs):
        raise typer.Exit(1)


def _judge(job: Job) -> tuple[str, list[str]]:
    """What a file is, and what is wrong with it."""
    from encodec_cli.container import summarize

    try:
        with open_input(job.source) as file:
            try:
                problems = list(summarize(file).problems)
            except ContainerError as error:
                state = "not_ecdc" if is_foreign(error) else "damaged"
                return state, [_without_name(job, not_ecdc(job.source, error))]
    except (EncodecCliError, OSError) as error:
        return "unreadable", [_without_name(job, error)]
    return ("damaged" if problems else "ok"), problems


def _without_name(job: Job, error: Exception) -> str:
    return str(error).removeprefix(f"{job.source}: ")
