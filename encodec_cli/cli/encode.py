"""`encode`: audio into `.ecdc`."""

import dataclasses
from enum import StrEnum
from typing import Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import AUDIO_SUFFIXES, check_targets, plan_jobs, to_do
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import print_json, rounded, say
from encodec_cli.cli.loading import code_models, expected_seconds, load, load_lm
from encodec_cli.cli.outcome import arrow, duration_words, speed_words
from encodec_cli.cli.running import code_files
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.cores import usable_cores

__all__ = ["encode"]


class ContainerFormat(StrEnum):
    v2 = "v2"
    v1 = "v1"
    v0 = "v0"


class EntropyCoding(StrEnum):
    auto = "auto"
    none = "none"


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
    config: options.ModelConfig = None,
    search: options.Search = None,
    container: Annotated[
        ContainerFormat,
        typer.Option(
            "--format",
            help="v2; v1, which older versions read; v0, which Meta's encodec reads (its models).",
        ),
    ] = ContainerFormat.v2,
    entropy: Annotated[
        EntropyCoding,
        typer.Option(help="Make codes smaller, bit for bit: if there is a code model, or never."),
    ] = EntropyCoding.auto,
    code_model: options.CodeModel = None,
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
        typer.Option("--keep-source", help="v0: store the source's rate too, as v1 and v2 do."),
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
    verbose: options.Verbose = False,
) -> None:
    """Compress audio into .ecdc, at 6 kb/s unless told otherwise.

    Reads WAV, FLAC, OGG, Opus, MP3, AAC, M4A, WMA, AIFF and all else that FFmpeg
    reads, of any rate and channel count.
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
    if code_model is not None and (
        container is not ContainerFormat.v2 or entropy is EntropyCoding.none
    ):
        raise UsageError("--code-model: is for --format v2 --entropy auto; leave out one")
    if latency is not None and container is ContainerFormat.v0:
        raise UsageError("--latency: format 0 is written when its end is known; leave out one")
    waiting = list(to_do(jobs, skip_existing=skip_existing, quiet=quiet))
    seconds = expected_seconds(job.source for job in waiting)
    codec = load(model, device, threads, dtype, seconds=seconds, verbose=verbose, config=config)

    from encodec_cli.config.timing import block_frames_for
    from encodec_cli.pipeline.encode import EncodeOptions
    from encodec_cli.pipeline.jobs import EncodeJob
    from encodec_cli.pipeline.reports import EncodeReport
    from encodec_cli.stream.headers import header_for

    options_of_all = EncodeOptions(
        n_q=codec.config.choose_codebooks(bandwidth, n_q),
        search=search,
        latency_ms=latency,
        version=int(container.value[1:]),
        keep_source=keep_source,
        force=force,
        code_models=(
            None if entropy is EntropyCoding.none else code_models(code_model, model, codec.sha256)
        ),
    )
    block_frames_for(codec.config, latency)
    try:
        header_for(codec, options_of_all.n_q, version=options_of_all.version)
    except ContainerError as error:
        raise UsageError(error.args[0]) from error

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
        [
            EncodeJob(job.source, job.target, options_of_all, makes_folder=output_dir is not None)
            for job in waiting
        ],
        codec,
        tell,
        lm=load_lm(lm, codec.config),
        threads=threads or usable_cores(),
        alone=len(jobs) == 1,
        quiet=quiet,
    )
    if exit_code:
        raise typer.Exit(exit_code)
