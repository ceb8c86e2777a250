"""`encode`: audio into `.ecdc`."""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import AUDIO_SUFFIXES, Job, Kinds, check_targets, plan_jobs
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, rounded, say, warn
from encodec_cli.cli.file_ways import check_elsewhere, code_elsewhere
from encodec_cli.cli.loading import (
    choice,
    code_models,
    expected_seconds,
    lasting,
    load,
    load_lm,
)
from encodec_cli.cli.option_values import parse_tags, rate_choice
from encodec_cli.cli.outcome import arrow, duration_words, speed_words
from encodec_cli.cli.run_options import Devices, Part, Ray, RayWorkers, part_of_plan, where_of
from encodec_cli.cli.running import Manner, begin, code_files, end, rehearse
from encodec_cli.cli.tables import channels_name
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import ContainerError, UsageError

if TYPE_CHECKING:
    from encodec_cli.pipeline.reports import EncodeReport

__all__ = ["check_deletion", "encode"]


class ContainerFormat(StrEnum):
    v2 = "v2"
    v1 = "v1"
    v0 = "v0"


class EntropyCoding(StrEnum):
    auto = "auto"
    none = "none"


def encode(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN [OUT]",
            help="Audio; - is stdin, or stdout. Several need -o, or a folder last.",
            autocompletion=complete_files(AUDIO_SUFFIXES),
        ),
    ],
    bandwidth: options.UsualBandwidth = None,
    n_q: options.NQ = None,
    target_kbps: Annotated[
        float | None,
        typer.Option(
            "--target-kbps",
            metavar="R",
            help="Rate of the file, all included, within 2 % from 5 s on; 4 to 8 times slower.",
            rich_help_panel=options.CODING,
        ),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    config: options.ModelConfig = None,
    search: options.Search = None,
    refine: options.Refine = False,
    fit: options.Fit = None,
    container: Annotated[
        ContainerFormat,
        typer.Option(
            "--format",
            help="v2; v1, which older versions read; v0, which Meta's encodec reads (its models).",
            rich_help_panel=options.OUTPUT,
        ),
    ] = ContainerFormat.v2,
    entropy: Annotated[
        EntropyCoding,
        typer.Option(
            help="Make codes smaller, bit for bit: if there is a code model, or never.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = EntropyCoding.auto,
    code_model: options.CodeModel = None,
    latency: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="For live pipes: shorter chunks, which leave sooner; about 1000 unless given.",
            rich_help_panel=options.CODING,
        ),
    ] = None,
    lm: options.LanguageModel = None,
    keep_source: Annotated[
        bool,
        typer.Option(
            "--keep-source",
            help="v0: store the source's rate and tags too, as v1 and v2 do.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    tag: options.TagList = None,
    no_tags: options.NoTags = False,
    delete_input: options.DeleteInput = False,
    dry_run: options.DryRun = False,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    skip_existing: options.SkipExisting = False,
    keep_suffix: options.KeepSuffix = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    progress: options.Progress = False,
    part: Part = None,
    ray: Ray = False,
    ray_workers: RayWorkers = None,
    device: Devices = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
    verbose: options.Verbose = False,
) -> None:
    """Compress audio into .ecdc, at 6 kb/s unless told otherwise.

    Reads WAV, FLAC, OGG, Opus, MP3, AAC, M4A, WMA, AIFF and all else that FFmpeg reads, of any
    rate and channel count.

    IN alone writes IN.ecdc beside it. IN... -o FOLDER takes many files, and with -r all those in
    folders. Tags go along, and outputs have their inputs' time of modification and permissions.

    Example: encodec-cli encode talk.wav --bandwidth 3

    Example: encodec-cli encode -r talks -o coded --skip-existing
    """
    bandwidth, n_q = rate_choice(context, bandwidth, n_q, target_kbps)
    tags = parse_tags(tag, none=no_tags)
    manner = Manner(
        force=force, skip_existing=skip_existing, quiet=quiet, json=json, progress=progress
    )
    kinds = Kinds(AUDIO_SUFFIXES, ".ecdc", keep_suffix)
    plan = plan_jobs(inputs, kinds, output_dir=output_dir, recursive=recursive)
    where = where_of(part, device, threads, ray, ray_workers)
    plan = part_of_plan(plan, where.share)
    for option, given in (("--lm", lm is not None), ("--keep-source", keep_source)):
        if given and container is not ContainerFormat.v0:
            raise UsageError(f"{option}: belongs to format 0; add --format v0")
    coded = container is ContainerFormat.v2 and entropy is EntropyCoding.auto
    for option, value in (("--code-model", code_model), ("--target-kbps", target_kbps)):
        if value is not None and not coded:
            raise UsageError(f"{option}: is for --format v2 --entropy auto; leave out one")
    if latency is not None and container is ContainerFormat.v0:
        raise UsageError("--latency: format 0 is written when its end is known; leave out one")
    if latency is not None and fit is not None:
        raise UsageError("--fit: takes longer than live pipes wait; leave out --latency")
    if target_kbps is not None and fit is not None:
        raise UsageError("--fit: does not go with --target-kbps; leave out one")
    if tags and container is ContainerFormat.v0 and not keep_source:
        raise UsageError("--tag: format 0 has tags only with --keep-source; add it")
    makes_folders = output_dir is not None
    check_targets(
        plan.jobs,
        force=force,
        skip_existing=skip_existing,
        makes_folders=makes_folders,
        json=json,
    )
    if delete_input:
        check_deletion(plan.jobs, lm=lm)
    check_elsewhere(where, plan.jobs, lm=lm is not None, delete_input=delete_input)
    waiting, tally = begin(plan, manner)
    if dry_run or not waiting:
        end(tally, manner, rehearse(waiting, tally, manner, makes_folder=makes_folders))
        return
    seconds = expected_seconds(job.source for job in waiting)
    model = lasting(model, quiet=quiet)
    codec = load(
        model,
        where.own_device,
        threads,
        where.own_dtype(dtype),
        seconds=None if plan.many else seconds,  # the engine, and so codes, may depend on it
        verbose=verbose,
        config=config,
    )

    from encodec_cli.config.timing import block_frames_for
    from encodec_cli.pipeline.encode import EncodeOptions
    from encodec_cli.pipeline.jobs import EncodeJob
    from encodec_cli.pipeline.reports import EncodeReport
    from encodec_cli.stream.headers import header_for

    options_of_all = EncodeOptions(
        n_q=(
            codec.config.choose_codebooks(bandwidth, n_q)
            if target_kbps is None
            else codec.config.quantizer.n_q
        ),
        search=search,
        refine=refine,
        fit=fit or 0,
        latency_ms=latency,
        version=int(container.value[1:]),
        keep_source=keep_source,
        force=force or not where.here,  # see `code_elsewhere`
        code_models=(
            None if entropy is EntropyCoding.none else code_models(code_model, model, codec.sha256)
        ),
        tags=tags,
        target_kbps=target_kbps,
    )
    if target_kbps is not None:
        from encodec_cli.pipeline.target_rate import target_coder

        target_coder(codec, options_of_all)
    block_frames_for(codec.config, latency)
    try:
        header_for(codec, options_of_all.n_q, version=options_of_all.version)
    except ContainerError as error:
        raise UsageError(error.args[0]) from error
    actual = codec.config.bandwidth_kbps(options_of_all.n_q)
    if bandwidth is not None and not quiet and abs(actual - bandwidth) > 1e-6:
        books = count(options_of_all.n_q, "codebook")
        say(f"--bandwidth {bandwidth:g}: becomes {actual:g} kb/s, {books}, the next rate below")

    def tell(report: EncodeReport) -> bool:
        tally.add(report.seconds, report.bytes)
        _tell(report, many=tally.many, json=json, quiet=quiet)
        return True

    coding = [
        EncodeJob(
            job.source,
            job.target,
            options_of_all,
            makes_folder=makes_folders,
            deletes_source=delete_input,
        )
        for job in waiting
    ]
    if not where.here:
        choose = partial(choice, model, dtype=dtype, config=config)
        exit_code = code_elsewhere(coding, choose, tell, tally, manner, where)
    else:
        exit_code = code_files(
            coding,
            codec,
            tell,
            tally,
            manner,
            lm=load_lm(lm, codec.config),
            threads=where.threads,
        )
    end(tally, manner, exit_code)


def check_deletion(jobs: Sequence[Job], *, lm: str | None) -> None:
    """Refuse to delete what cannot be deleted, or whose output cannot be checked.

    Raises:
        UsageError: a pipe, or codes that only decoding checks.
    """
    if lm is not None:
        raise UsageError(
            "--delete-input: codes compressed with --lm cannot be checked; leave out one"
        )
    for job in jobs:
        if not isinstance(job.source, Path) or not isinstance(job.target, Path):
            raise UsageError("--delete-input: needs files, no pipes")


def _tell(report: "EncodeReport", *, many: bool, json: bool, quiet: bool) -> None:
    """Say what became of a file, and what of it was not kept."""
    for line in report.notes:
        warn(f"{report.source}: {line}")
    if json:
        derived = {"kbps": report.kbps, "speed": report.speed}
        print_json(rounded(dataclasses.asdict(report) | derived))
    elif not quiet:
        parts = [duration_words(report.seconds)]
        if report.source_channels != report.channels:
            names = channels_name(report.source_channels), channels_name(report.channels)
            parts.append(" to ".join(names))
        parts += [f"{report.bytes:,} bytes", f"{report.kbps:.2f} kb/s"]
        if report.target_kbps is not None:
            parts.append(count(report.codebooks, "codebook"))
        if report.tags_left_out:
            parts.append(f"without tags {', '.join(report.tags_left_out)}")
        if report.source_deleted:
            parts.append("input deleted")
        say(
            f"{arrow(report.source, report.target)}: {', '.join(parts)}"
            f"{speed_words(report.speed, many=many)}"
        )
