"""`verify`: whether `.ecdc` files are whole. Needs no model, and no torch."""

from pathlib import Path
from typing import Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import ECDC_SUFFIXES, Job, inputs_in
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, output, print_json, printable, say, warn
from encodec_cli.cli.foreign_files import is_foreign, not_ecdc
from encodec_cli.cli.loading import code_models
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError
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
    code_model: options.CodeModel = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Checksums and structure only; no decoding of what a code model made smaller.",
            rich_help_panel=options.CODING,
        ),
    ] = False,
    recursive: options.Recursive = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Check every checksum and count; one line per file, exit code 1 unless all are whole.

    Codes that a code model made smaller are decoded as well, if it is there. --quick leaves that
    out: checksums find what went wrong on disks and on the way, decoding what an encoder did wrong.

    Example: encodec-cli verify -r coded

    Example: encodec-cli verify -r archive --quick --json
    """
    if quick and code_model is not None:
        raise UsageError("--quick: decodes nothing; leave out --code-model")
    inputs = inputs_in(sources, ECDC_SUFFIXES, recursive=recursive)
    files = code_models(code_model)
    states = dict.fromkeys(_WORDS, 0)
    for job in inputs:
        state, problems = _judge(job, files, quick=quick)
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


def _judge(job: Job, files: tuple[Path, ...], *, quick: bool) -> tuple[str, list[str]]:
    """What a file is, and what is wrong with it."""
    from encodec_cli.container import verify as verify_file

    try:
        with open_input(job.source) as file:
            problems = verify_file(file, code_models=files, quick=quick)
    except (EncodecCliError, OSError) as error:
        return "unreadable", [_without_name(job, error)]
    foreign = ContainerError(problems[0]) if problems else None
    if foreign is not None and is_foreign(foreign):
        return "not_ecdc", [_without_name(job, not_ecdc(job.source, foreign))]
    return ("damaged" if problems else "ok"), problems


def _without_name(job: Job, error: Exception) -> str:
    return str(error).removeprefix(f"{job.source}: ")
