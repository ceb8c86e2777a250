"""`encode`: audio into `.ecdc`."""

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import AUDIO_SUFFIXES, Job, check_targets, plan_jobs
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import print_json, rounded, say
from encodec_cli.cli.loading import load, load_lm
from encodec_cli.cli.many import code_files
from encodec_cli.cli.outcome import arrow, duration_words, speed_words
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import ContainerError, UsageError

if TYPE_CHECKING:
    from encodec_cli.model.module import CompressionModel

__all__ = ["encode"]


class ContainerFormat(StrEnum):
    v1 = "v1"
    v0 = "v0"


def encode(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN [OUT]",
            help="Audio; '-' is stdin. Several need -o.",
            autocompletion=complete_files(AUDIO_SUFFIXES),
        ),
    ],
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    search: options.Search = None,
    container: Annotated[
        ContainerFormat,
        typer.Option("--format", help="v1, ours; v0, which Meta's encodec reads (its models)."),
    ] = ContainerFormat.v1,
    latency: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="For live pipes: shorter chunks, which leave sooner.",
            show_default="about 1000",
        ),
    ] = None,
    lm: options.LanguageModel = None,
    keep_source: Annotated[
        bool,
        typer.Option("--keep-source", help="v0: store the source's rate too, as v1 does."),
    ] = False,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    device: options.Device = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
) -> None:
    """Compress audio into .ecdc, at 6 kb/s unless told otherwise.

    Reads WAV, FLAC, OGG, Opus, MP3, AIFF of any rate and channel count.
    IN alone writes IN.ecdc beside it; '-' as IN or OUT is a pipe.
    IN... -o FOLDER takes many files, and with -r all those in folders.
    """
    jobs = plan_jobs(
        inputs,
        output_dir=output_dir,
        recursive=recursive,
        from_suffixes=AUDIO_SUFFIXES,
        to_suffix=".ecdc",
    )
    check_targets(
        jobs,
        force=force,
        skip_existing=skip_existing,
        makes_folders=output_dir is not None,
        json=json,
    )
    for option, given in (("--lm", lm is not None), ("--keep-source", keep_source)):
        if given and container is not ContainerFormat.v0:
            raise UsageError(f"{option}: belongs to format 0; add --format v0")
    if latency is not None and container is ContainerFormat.v0:
        raise UsageError("--latency: format 0 is written when its end is known; leave out one")
    loaded = load(model, device, threads, dtype)

    from encodec_cli.config.timing import block_frames_for
    from encodec_cli.pipeline.files import encode_file
    from encodec_cli.pipeline.reports import EncodeReport
    from encodec_cli.stream.signals import choose_codebooks, header_for

    codebooks = choose_codebooks(loaded, bandwidth, n_q)
    block_frames_for(loaded.config, latency)
    version = int(container.value[1:])
    try:
        header_for(loaded, codebooks, version=version)
    except ContainerError as error:
        raise UsageError(str(error)) from error
    language_model = load_lm(lm, loaded)

    def code(model: "CompressionModel", job: Job, progress: Any) -> EncodeReport:
        return encode_file(
            model,
            job.source,
            job.target,
            n_q=codebooks,
            search=search,
            latency_ms=latency,
            version=version,
            keep_source=keep_source,
            lm=language_model,
            force=force,
            progress=progress,
        )

    def tell(report: EncodeReport) -> bool:
        if json:
            derived = {"kbps": report.kbps, "speed": report.speed}
            print_json(rounded(dataclasses.asdict(report) | derived))
        elif not quiet:
            say(
                f"{arrow(report.source, report.target)}: {duration_words(report.seconds)}, "
                f"{report.bytes:,} bytes, {report.kbps:.2f} kb/s{speed_words(report.speed, jobs)}"
            )
        return True

    exit_code = code_files(
        jobs,
        loaded,
        code,
        tell,
        # A language model's steps are not gathered: one file after the other.
        together=language_model is None,
        skip_existing=skip_existing,
        output_dir=output_dir,
        quiet=quiet,
    )
    if exit_code:
        raise typer.Exit(exit_code)
