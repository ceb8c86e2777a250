"""`peel`: `.ecdc` files at a lower bandwidth. Needs no model, and no torch."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import ECDC_SUFFIXES, Job, Kinds, check_targets, plan_jobs
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, rounded, say
from encodec_cli.cli.foreign_files import not_ecdc
from encodec_cli.cli.loading import code_models
from encodec_cli.cli.outcome import arrow
from encodec_cli.cli.running import Manner, begin, end, one_by_one
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.files import (
    atomic_output,
    make_folder,
    open_input,
    standard_output,
)

__all__ = ["peel"]


def peel(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN OUT",
            help=".ecdc; - is stdin, or stdout. Several need -o.",
            autocompletion=complete_files(ECDC_SUFFIXES),
        ),
    ],
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    code_model: options.CodeModel = None,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Lower the bandwidth of .ecdc files by dropping codebooks; needs no model.

    Codes that a code model made smaller take that code model, the bundled one for instance.

    Example: encodec-cli peel talk.ecdc small.ecdc --bandwidth 1.5

    Example: encodec-cli peel -r coded -o small --n-q 2
    """
    if (bandwidth is None) == (n_q is None):
        raise UsageError("give --bandwidth or --n-q")
    if output_dir is None and (recursive or len(inputs) == 1):
        raise UsageError("peel: name OUT, or a folder with --output-dir")
    manner = Manner(force=force, skip_existing=skip_existing, quiet=quiet, json=json)
    kinds = Kinds(ECDC_SUFFIXES, ".ecdc")
    plan = plan_jobs(inputs, kinds, output_dir=output_dir, recursive=recursive)
    makes_folders = output_dir is not None
    check_targets(
        plan.jobs,
        force=force,
        skip_existing=skip_existing,
        # A lone input is judged before its target, as the rest of the options are about it.
        makes_folders=True,
        json=json,
    )
    files = code_models(code_model)
    waiting, tally = begin(plan, manner)

    def work(job: Job) -> bool:
        if makes_folders and job.target != "-":
            make_folder(job.target.parent)
        report = _peeled(job, bandwidth, n_q, files, force=force)
        tally.add(float(report["seconds"] or 0), int(report["bytes"] or 0))
        if json:
            print_json(rounded(report))
        elif not quiet:
            kept = count(int(report["codebooks"] or 0), "codebook")
            arrows = arrow(str(job.source), str(job.target))
            say(f"{arrows}: {kept}, {report['nominal_kbps']:g} kb/s")
        return True

    end(tally, manner, one_by_one(waiting, work, alone=not tally.many, tally=tally))


def _peeled(
    job: Job,
    bandwidth: float | None,
    n_q: int | None,
    files: tuple[Path, ...],
    *,
    force: bool,
) -> "dict[str, str | float | None]":
    """Do it; returns what is to be said of it."""
    from encodec_cli.container import EcdcReader
    from encodec_cli.container import peel as peel_file
    from encodec_cli.pipeline.source import SourceFile

    source = SourceFile(job.source)
    with open_input(job.source) as file:
        try:
            reader = EcdcReader(file, code_models=files)
            codebooks = reader.header.choose_codebooks(bandwidth, n_q)
            with _output(job, force=force) as out:
                header = peel_file(reader, out, codebooks)
        except ContainerError as error:
            raise not_ecdc(job.source, error) from error
        except UsageError as error:
            raise error.about(job.source) from error
        samples = reader.num_samples
    source.give_time(job.target)
    return {
        "source": str(job.source),
        "target": str(job.target),
        "model": header.model,
        "codebooks": header.codebooks,
        "nominal_kbps": header.bandwidth_kbps,
        "seconds": None if samples is None else samples / header.sample_rate,
        "bytes": None if job.target == "-" else job.target.stat().st_size,
    }


def _output(job: Job, *, force: bool) -> AbstractContextManager[BinaryIO]:
    if job.target == "-":
        return standard_output()
    return atomic_output(job.target, force=force, like=None if job.source == "-" else job.source)
