"""`decode`: `.ecdc`, or what `tokens` wrote, into audio."""

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import (
    ECDC_SUFFIXES,
    TOKEN_SUFFIXES,
    Job,
    check_targets,
    plan_jobs,
    to_do,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, rounded, say, warn
from encodec_cli.cli.loading import code_models, expected_seconds, load, load_lm
from encodec_cli.cli.outcome import arrow, duration_words, speed_words
from encodec_cli.cli.running import code_files, one_by_one
from encodec_cli.cli.timecode import parse_time
from encodec_cli.cli.token_decoding import LayoutName, PatternName, TokenDecoder, TokenSettings
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError
from encodec_cli.io.cores import usable_cores

if TYPE_CHECKING:
    from encodec_cli.pipeline.reports import DecodeReport

__all__ = ["decode"]


_PICKLES = (".pt", ".pth", ".pkl", ".pickle")


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
    config: options.ModelConfig = None,
    sample_rate: Annotated[
        str | None,
        typer.Option(
            metavar="HZ|source",
            help="'source' restores its rate and length.",
            show_default="the model's",
        ),
    ] = None,
    audio_format: Annotated[
        AudioFormatName | None,
        typer.Option(help="Format of the audio; by OUT's suffix unless given, else wav."),
    ] = None,
    encoding: Annotated[
        EncodingName | None,
        typer.Option(help="Sample format of WAV and FLAC.", show_default="pcm16"),
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
        typer.Option(metavar="TIME", help="Decode from here on: seconds, mm:ss or hh:mm:ss."),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Decode that much.", show_default="to the end"),
    ] = None,
    lm: options.LanguageModel = None,
    legacy: Annotated[
        LegacyProgram | None,
        typer.Option(help="Read files of this program, which resemble format 0."),
    ] = None,
    code_model: options.CodeModel = None,
    pattern: Annotated[
        PatternName | None,
        typer.Option(help="Undo MusicGen's delay pattern (token files); see docs/tokens.md."),
    ] = None,
    layout: Annotated[
        LayoutName | None,
        typer.Option(help="Token files: codebooks by frames, or frames by codebooks."),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1 << 40,
            metavar="N",
            help="Token files with numbers per codebook: the first one's.",
            show_default="0",
        ),
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
    verbose: options.Verbose = False,
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
    check_targets(
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
    for option, given in (("--pattern", pattern), ("--layout", layout), ("--offset", offset)):
        if given is not None and not all(map(_holds_tokens, jobs)):
            raise UsageError(f"{option}: is for token files ({', '.join(sorted(TOKEN_SUFFIXES))})")
    _refuse_pickles(jobs)
    waiting = list(to_do(jobs, skip_existing=skip_existing, quiet=quiet))
    seconds = expected_seconds(job.source for job in waiting)
    codec = load(model, device, threads, dtype, seconds=seconds, verbose=verbose, config=config)

    from encodec_cli.pipeline.decode import DecodeOptions
    from encodec_cli.pipeline.jobs import DecodeJob
    from encodec_cli.pipeline.reports import DecodeReport

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
        legacy=legacy.value if legacy else None,
        code_models=code_models(code_model, model),
    )

    def tell(report: DecodeReport) -> bool:
        return _tell(report, jobs, json=json, quiet=quiet)

    threads = threads or usable_cores()
    alone = len(jobs) == 1
    settings = TokenSettings(
        pattern=pattern,
        layout=layout,
        offset=offset or 0,
        output_dir=output_dir,
        suffix=suffix,
        skip_existing=skip_existing,
        threads=threads,
        quiet=quiet,
        tell=tell,
    )
    of_tokens = TokenDecoder(codec, decoding, settings)
    token_files = [job for job in waiting if _holds_tokens(job)]
    exit_code = one_by_one(token_files, of_tokens.decode, alone=alone)
    files = [
        DecodeJob(job.source, job.target, decoding, makes_folder=output_dir is not None)
        for job in waiting
        if not _holds_tokens(job)
    ]
    language_model = load_lm(lm, codec.config)
    exit_code |= code_files(
        files, codec, tell, lm=language_model, threads=threads, alone=alone, quiet=quiet
    )
    if exit_code:
        raise typer.Exit(exit_code)


def _holds_tokens(job: Job) -> bool:
    return isinstance(job.source, Path) and job.source.suffix.lower() in TOKEN_SUFFIXES


def _refuse_pickles(jobs: Sequence[Job]) -> None:
    """Say of files of torch.save what they are, and how to make them readable.

    Raises:
        UsageError: one is named.
    """
    for job in jobs:
        if isinstance(job.source, Path) and job.source.suffix.lower() in _PICKLES:
            raise UsageError(
                f"{job.source}: a pickle by its suffix, which could run code and is not read; "
                'where you trust it: python -c "import sys, numpy, torch; numpy.save(sys.argv[2], '
                'torch.load(sys.argv[1], weights_only=True))" FILE.pt FILE.npy'
            )


def _tell(report: "DecodeReport", jobs: Sequence[Job], *, json: bool, quiet: bool) -> bool:
    """Say what became of a file; whether all of it was sound."""
    for line in report.notes:
        warn(f"{report.target}: {line}")
    for line in report.damage:
        warn(f"{report.source}: {line}")
    if report.clipped:
        warn(f"{report.target}: {count(report.clipped, 'sample')} clipped; --rescale avoids it")
    if json:
        derived = {"seconds": report.seconds, "speed": report.speed}
        print_json(rounded(dataclasses.asdict(report) | derived))
    elif not quiet:
        lowered = f", lowered to {report.gain:.3f} of its level" if report.gain < 1 else ""
        say(
            f"{arrow(report.source, report.target)}: {duration_words(report.seconds)} at "
            f"{report.sample_rate} Hz, {count(report.codebooks, 'codebook')}{lowered}"
            f"{speed_words(report.speed, jobs)}"
        )
    return not report.damage


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
