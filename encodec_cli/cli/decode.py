"""`decode`: `.ecdc`, or what `tokens` wrote, into audio."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import (
    ECDC_SUFFIXES,
    FAILURES_NAME,
    TOKEN_SUFFIXES,
    Job,
    Kinds,
    check_targets,
    plan_jobs,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, rounded, say, warn
from encodec_cli.cli.decode_options import (
    AudioFormat,
    Conceal,
    Duration,
    Encoding,
    Layout,
    Legacy,
    Offset,
    OutputRate,
    Pattern,
    Rescale,
    Separator,
    Start,
    parse_rate,
)
from encodec_cli.cli.encode import check_deletion
from encodec_cli.cli.file_ways import check_elsewhere, code_elsewhere
from encodec_cli.cli.loading import choice, code_models, expected_seconds, load, load_lm
from encodec_cli.cli.option_values import parse_tags
from encodec_cli.cli.outcome import arrow, duration_words, speed_words
from encodec_cli.cli.run_options import Devices, Part, Ray, RayWorkers, part_of_plan, where_of
from encodec_cli.cli.running import Manner, begin, code_files, end, one_by_one, rehearse
from encodec_cli.cli.timecode import parse_time
from encodec_cli.cli.token_decoding import TokenDecoder, TokenSettings
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.pipeline.reports import DecodeReport

__all__ = ["decode"]


_PICKLES = (".pt", ".pth", ".pkl", ".pickle")


def decode(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN [OUT]",
            help=".ecdc, or tokens; - is stdin, or stdout. Several need -o, or a folder last.",
            autocompletion=complete_files(ECDC_SUFFIXES | TOKEN_SUFFIXES),
        ),
    ],
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    config: options.ModelConfig = None,
    sample_rate: OutputRate = None,
    audio_format: AudioFormat = None,
    encoding: Encoding = None,
    rescale: Rescale = False,
    conceal: Conceal = False,
    start: Start = None,
    duration: Duration = None,
    lm: options.LanguageModel = None,
    legacy: Legacy = None,
    code_model: options.CodeModel = None,
    pattern: Pattern = None,
    layout: Layout = None,
    offset: Offset = None,
    separator: Separator = None,
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
    """Turn .ecdc, or what `tokens` wrote, back into audio, at its bandwidth or any lower one.

    IN alone writes IN.wav beside it. IN... -o FOLDER takes many files, and with -r all those in
    folders. Tags go along, and outputs have their inputs' time of modification and permissions.

    Example: encodec-cli decode talk.ecdc talk.flac --sample-rate source

    Example: encodec-cli decode coded/*.ecdc -o decoded
    """
    from encodec_cli.audio import choose_format

    suffix = f".{audio_format.value}" if audio_format else ".wav"
    tags = parse_tags(tag, none=no_tags)
    manner = Manner(
        force=force, skip_existing=skip_existing, quiet=quiet, json=json, progress=progress
    )
    kinds = Kinds(ECDC_SUFFIXES | TOKEN_SUFFIXES, suffix, keep_suffix, frozenset({FAILURES_NAME}))
    plan = plan_jobs(inputs, kinds, output_dir=output_dir, recursive=recursive)
    where = where_of(part, device, threads, ray, ray_workers)
    plan = part_of_plan(plan, where.share)
    jobs = plan.jobs
    for job in jobs:
        choose_format(
            job.target,
            audio_format.value if audio_format else None,
            encoding.value if encoding else None,
        )
    rate = parse_rate(sample_rate)
    since, length = parse_time(start, "--start"), parse_time(duration, "--duration")
    if bandwidth is not None and n_q is not None:
        raise UsageError("give --bandwidth or --n-q, not both")
    about_tokens = {
        "--pattern": pattern,
        "--layout": layout,
        "--offset": offset,
        "--separator": separator,
    }
    for option, given in about_tokens.items():
        if given is not None and not all(map(_holds_tokens, jobs)):
            raise UsageError(f"{option}: is for token files ({', '.join(sorted(TOKEN_SUFFIXES))})")
    _refuse_pickles(jobs)
    check_targets(
        jobs,
        force=force,
        skip_existing=skip_existing,
        makes_folders=output_dir is not None,
        json=json,
    )
    if delete_input:
        check_deletion(jobs, lm=None)
        if start or duration or any(map(_holds_tokens, jobs)):
            raise UsageError("--delete-input: is for whole .ecdc files; leave out one")
    if ray and any(map(_holds_tokens, jobs)):
        raise UsageError("--ray: is for .ecdc files; token files are decoded without it")
    coded_jobs = [job for job in jobs if not _holds_tokens(job)]
    check_elsewhere(where, coded_jobs, lm=lm is not None, delete_input=delete_input)
    waiting, tally = begin(plan, manner)
    if dry_run or not waiting:
        makes_folder = output_dir is not None
        end(tally, manner, rehearse(waiting, tally, manner, makes_folder=makes_folder))
        return
    seconds = expected_seconds(job.source for job in waiting)
    token_files = [job for job in waiting if _holds_tokens(job)]
    # These are decoded by this process, on the first device.
    own = replace(where, devices=where.devices[:1]) if token_files else where
    codec = load(
        model,
        own.own_device,
        threads,
        own.own_dtype(dtype),
        seconds=seconds,
        verbose=verbose,
        config=config,
    )

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
        start=since or 0,
        duration=length,
        force=force or not where.here,  # see `code_elsewhere`
        legacy=legacy.value if legacy else None,
        code_models=code_models(code_model, model),
        tags=tags,
    )

    def tell(report: DecodeReport) -> bool:
        source = Path(report.source)
        size = source.stat().st_size if not report.source_deleted and source.is_file() else 0
        tally.add(report.seconds, size)
        return _tell(report, many=tally.many, json=json, quiet=quiet)

    settings = TokenSettings(
        pattern=pattern,
        layout=layout,
        offset=offset or 0,
        separator=separator,
        output_dir=output_dir,
        suffix=suffix,
        skip_existing=skip_existing,
        threads=where.threads,
        quiet=quiet,
        tell=tell,
    )
    of_tokens = TokenDecoder(codec, replace(decoding, force=force), settings)
    exit_code = one_by_one(token_files, of_tokens.decode, alone=not tally.many, tally=tally)
    files = [
        DecodeJob(
            job.source,
            job.target,
            decoding,
            makes_folder=output_dir is not None,
            deletes_source=delete_input,
        )
        for job in waiting
        if not _holds_tokens(job)
    ]
    if not where.here:
        choose = partial(choice, model, dtype=dtype, config=config)
        exit_code |= code_elsewhere(files, choose, tell, tally, manner, where)
    else:
        exit_code |= code_files(
            files,
            codec,
            tell,
            tally,
            manner,
            lm=load_lm(lm, codec.config),
            threads=where.threads,
        )
    end(tally, manner, exit_code)


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


def _tell(report: "DecodeReport", *, many: bool, json: bool, quiet: bool) -> bool:
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
        lost = ", ".join(report.tags_left_out)
        without = f", without tags {lost}" if lost and report.target != "-" else ""
        deleted = ", input deleted" if report.source_deleted else ""
        say(
            f"{arrow(report.source, report.target)}: {duration_words(report.seconds)} at "
            f"{report.sample_rate} Hz, {count(report.codebooks, 'codebook')}{lowered}{without}"
            f"{deleted}{speed_words(report.speed, many=many)}"
        )
    return not report.damage
