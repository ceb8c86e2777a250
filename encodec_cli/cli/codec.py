"""`encode`, `decode`: the commands that run a model."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import (
    AUDIO_SUFFIXES,
    ECDC_SUFFIXES,
    TOKEN_SUFFIXES,
    Job,
    plan_jobs,
    run_jobs,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, progress_bar, say, warn
from encodec_cli.cli.loading import load, load_lm
from encodec_cli.cli.many import code_files
from encodec_cli.cli.timecode import parse_time
from encodec_cli.cli.tokens import PatternName, decode_tokens
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.files import check_writable
from encodec_cli.resources import DEFAULT_MODEL

if TYPE_CHECKING:
    from encodec_cli.model import CompressionModel
    from encodec_cli.pipeline import DecodeReport, EncodeReport

__all__ = ["decode", "encode"]


class ContainerFormat(StrEnum):
    v1 = "v1"
    v0 = "v0"


class LegacyProgram(StrEnum):
    encodec_cpp = "encodec-cpp"
    encodec_stream = "encodec-stream"


class AudioFormatName(StrEnum):
    wav = "wav"
    flac = "flac"
    ogg = "ogg"


class EncodingName(StrEnum):
    pcm16 = "pcm16"
    pcm24 = "pcm24"
    float = "float"


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
            metavar="MS", help="For live pipes: shorter chunks, which leave sooner. [about 1000]"
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
    _check_targets(
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

    from encodec_cli.api import choose_codebooks, header_for
    from encodec_cli.latency import block_frames_for
    from encodec_cli.pipeline import EncodeReport, encode_file

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
            print_json(_rounded(report, kbps=report.kbps, speed=report.speed))
        elif not quiet:
            say(
                f"{_arrow(report.source, report.target)}: {_time(report.seconds)}, "
                f"{report.bytes:,} bytes, {report.kbps:.2f} kb/s{_speed(report, jobs)}"
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


def decode(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN [OUT]",
            help=".ecdc, or tokens; '-' is stdin. Several need -o.",
            autocompletion=complete_files(ECDC_SUFFIXES | TOKEN_SUFFIXES),
        ),
    ],
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    sample_rate: Annotated[
        str | None,
        typer.Option(metavar="HZ|source", help="'source' restores its rate and length. [model's]"),
    ] = None,
    audio_format: Annotated[
        AudioFormatName | None,
        typer.Option(help="Format of the audio; by OUT's suffix unless given, else wav."),
    ] = None,
    encoding: Annotated[
        EncodingName | None, typer.Option(help="Sample format of WAV and FLAC. [pcm16]")
    ] = None,
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Lower the level rather than clip peaks.")
    ] = False,
    conceal: Annotated[
        bool,
        typer.Option("--conceal", help="Put silence in place of damage; exit code 1 all the same."),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Decode from here on: seconds, or [hh:]mm:ss.s."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="Decode that much. [to the end]")
    ] = None,
    lm: options.LanguageModel = None,
    legacy: Annotated[
        LegacyProgram | None,
        typer.Option(help="Read files of this program, which resemble format 0."),
    ] = None,
    pattern: Annotated[
        PatternName | None,
        typer.Option(help="Undo MusicGen's delay pattern (token files); see docs/tokens.md."),
    ] = None,
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
    """Turn .ecdc, or what `tokens` wrote, back into audio, at its bandwidth or any lower one.

    IN alone writes IN.wav beside it; '-' as IN or OUT is a pipe.
    IN... -o FOLDER takes many files, and with -r all those in folders.
    """
    from encodec_cli.audio import choose_format

    suffix = f".{audio_format.value}" if audio_format else ".wav"
    jobs = plan_jobs(
        inputs,
        output_dir=output_dir,
        recursive=recursive,
        from_suffixes=ECDC_SUFFIXES | TOKEN_SUFFIXES,
        to_suffix=suffix,
    )
    _check_targets(
        jobs,
        force=force,
        skip_existing=skip_existing,
        makes_folders=output_dir is not None,
        json=json,
    )
    for job in jobs:
        choose_format(
            job.target,
            audio_format.value if audio_format else None,
            encoding.value if encoding else None,
        )
    rate = _parse_rate(sample_rate)
    begin, length = parse_time(start, "--start"), parse_time(duration, "--duration")
    if bandwidth is not None and n_q is not None:
        raise UsageError("give --bandwidth or --n-q, not both")

    def holds_tokens(job: Job) -> bool:
        return isinstance(job.source, Path) and job.source.suffix.lower() in TOKEN_SUFFIXES

    if pattern is not None and not all(holds_tokens(job) for job in jobs):
        raise UsageError(f"--pattern: is for token files ({', '.join(sorted(TOKEN_SUFFIXES))})")
    loaded = load(model, device, threads, dtype)

    from encodec_cli.pipeline import DecodeOptions, DecodeReport, decode_file

    decoding = DecodeOptions(
        bandwidth=bandwidth,
        n_q=n_q,
        sample_rate=rate,
        audio_format=audio_format.value if audio_format else None,
        encoding=encoding.value if encoding else None,
        rescale=rescale,
        conceal=conceal,
        start=begin or 0,
        duration=length,
        force=force,
        lm=load_lm(lm, loaded),
        legacy=legacy.value if legacy else None,
    )

    def say_decoded(report: DecodeReport) -> bool:
        for line in report.notes:
            warn(f"{report.target}: {line}")
        for line in report.damage:
            warn(f"{report.source}: {line}")
        if report.clipped:
            warn(f"{report.target}: {count(report.clipped, 'sample')} clipped; --rescale avoids it")
        if json:
            print_json(_rounded(report, seconds=report.seconds, speed=report.speed))
        elif not quiet:
            lowered = f", lowered to {report.gain:.3f} of its level" if report.gain < 1 else ""
            say(
                f"{_arrow(report.source, report.target)}: {_time(report.seconds)} at "
                f"{report.sample_rate} Hz, {count(report.codebooks, 'codebook')}{lowered}"
                f"{_speed(report, jobs)}"
            )
        return not report.damage

    def code(model: "CompressionModel", job: Job, progress: Any) -> DecodeReport:
        return decode_file(model, job.source, job.target, decoding, progress=progress)

    def work(job: Job) -> bool:
        if holds_tokens(job):
            return decode_tokens(
                job,
                loaded,
                decoding,
                pattern=pattern,
                output_dir=output_dir,
                suffix=suffix,
                skip_existing=skip_existing,
                quiet=quiet,
                report=say_decoded,
            )
        with progress_bar(str(job.source), quiet=quiet) as progress:
            report = code(loaded, job, progress)
        return say_decoded(report)

    if any(holds_tokens(job) for job in jobs):
        exit_code = run_jobs(
            jobs,
            work,
            skip_existing=skip_existing,
            make_folders=output_dir is not None,
            quiet=quiet,
        )
    else:
        exit_code = code_files(
            jobs,
            loaded,
            code,
            say_decoded,
            together=decoding.lm is None,
            skip_existing=skip_existing,
            output_dir=output_dir,
            quiet=quiet,
        )
    if exit_code:
        raise typer.Exit(exit_code)


def _check_targets(
    jobs: list[Job], *, force: bool, skip_existing: bool, makes_folders: bool, json: bool
) -> None:
    if force and skip_existing:
        raise UsageError("give --force or --skip-existing, not both")
    if json and any(job.target == "-" for job in jobs):
        raise UsageError("--json and the output both want stdout; name an output file")
    # Fail before the model is loaded where there is but one thing to do.
    job = jobs[0]
    if len(jobs) == 1 and isinstance(job.target, Path) and not skip_existing and not makes_folders:
        check_writable(job.target, force=force)


def _parse_rate(text: str | None) -> int | Literal["source"] | None:
    if text is None:
        return None
    if text == "source":
        return "source"
    try:
        rate = int(text)
    except ValueError:
        rate = 0
    if not 1000 <= rate <= 768000:
        raise UsageError(f"--sample-rate {text}: give 1000 to 768000 Hz, or source")
    return rate


def _rounded(report: Any, **derived: float) -> dict[str, Any]:
    values = dataclasses.asdict(report) | derived
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def _arrow(source: str, target: str) -> str:
    return f"{'stdin' if source == '-' else source} -> {'stdout' if target == '-' else target}"


def _speed(report: "EncodeReport | DecodeReport", jobs: list[Job]) -> str:
    # Files that run at once share the machine: how long one took says nothing about speed.
    return f", {report.speed:.1f} x real time" if len(jobs) == 1 else ""


def _time(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.1f} s" if minutes else f"{rest:.2f} s"
