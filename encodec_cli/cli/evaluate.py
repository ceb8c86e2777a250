"""`evaluate`: what codecs make of recordings, in numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import AUDIO_SUFFIXES, Job
from encodec_cli.cli.codings import (
    Coding,
    codings_of,
    parse_against,
    parse_bandwidths,
    warn_of_missing_packages,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import print_json, progress_bar
from encodec_cli.cli.evaluate_output import columns, print_csv_header, print_csv_row, print_summary
from encodec_cli.cli.file_ways import outcomes_elsewhere
from encodec_cli.cli.loading import choice, load
from encodec_cli.cli.recordings import decoded_files, find_recordings
from encodec_cli.cli.run_options import Devices, Part, Ray, RayWorkers, Where, where_of
from encodec_cli.cli.running import one_by_one, settle
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import AudioError, UsageError

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.evaluation.evaluate import Coded, Reference, Row
    from encodec_cli.evaluation.other_codecs import OtherCodec
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.running import Outcome

__all__ = ["evaluate"]


@dataclass(frozen=True)
class _Recording:
    path: Path
    kind: str | None
    codings: Sequence[Coding]


@dataclass(frozen=True)
class _Wish:
    """What to measure, as data that another process takes."""

    rates: "tuple[float, ...] | None"
    others: "tuple[tuple[OtherCodec, float], ...]"
    search: int | None
    refine: bool
    fit: int | None
    speech: bool | None


def evaluate(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IN...]",
            help="Audio; folders with -r; manifests: CSV with the columns file, kind.",
            autocompletion=complete_files(AUDIO_SUFFIXES | {".csv"}),
        ),
    ] = None,
    bandwidths: options.Bandwidths = None,
    model: options.Model = DEFAULT_MODEL,
    search: options.Search = None,
    refine: options.Refine = False,
    fit: options.Fit = None,
    against: options.Against = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Sources of what is decoded already."),
    ] = None,
    decoded: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Decoded files, named like those. Repeatable."),
    ] = None,
    speech: options.Speech = None,
    recursive: options.Recursive = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated lines on stdout.")] = False,
    part: Part = None,
    ray: Ray = False,
    ray_workers: RayWorkers = None,
    device: Devices = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
) -> None:
    """Measure codecs: real kb/s, SI-SDR, ESTOI, PESQ-WB, mel and STFT distances, speed.

    Prints means by bandwidth and kind; --json and --csv have a line for each recording instead.
    Kinds are what a manifest, also manifest.csv beside a file, says, or names of sub-folders.
    --reference A --decoded B compares files of equal names, aligned within 200 ms.

    Example: encodec-cli evaluate -r talks --bandwidths 3,6 --against opus:6,12

    Example: encodec-cli evaluate --reference talks --decoded other-codec --csv
    """
    if json and csv:
        raise UsageError("give --json or --csv, not both")
    decoded = decoded or []
    _check_sources(
        inputs,
        reference,
        decoded,
        codes=bool(bandwidths or against or refine or fit or search is not None),
    )
    rates = parse_bandwidths(bandwidths)
    others = parse_against(against)
    where = where_of(part, device, threads, ray, ray_workers)
    if not where.here and reference is not None:
        raise UsageError(
            f"{where.option}: is for what is coded; leave out --reference and --decoded"
        )
    if reference is not None:
        recordings = _decoded_recordings(reference, decoded)
        loaded = load(model, where.own_device, threads, dtype)
    else:
        kinds = find_recordings(inputs or [], recursive=recursive)
        loaded = load(model, where.own_device, threads, where.own_dtype(dtype))
        codings = codings_of(loaded, rates, others, search=search, refine=refine, fit=fit)
        recordings = [_Recording(path, kind, codings) for path, kind in kinds.items()]
    if where.share is not None:
        recordings = [each for number, each in enumerate(recordings) if where.share.has(number)]
    warn_of_missing_packages([recording.kind for recording in recordings], speech)

    rows: list[Row] = []
    if csv:
        print_csv_header()

    def report(row: "Row") -> None:
        rows.append(row)
        if json:
            print_json(columns(row))
        elif csv:
            print_csv_row(row)

    if not where.here:
        wish = _Wish(
            None if rates is None else tuple(rates), tuple(others), search, refine, fit, speech
        )
        choose = partial(choice, model, dtype=dtype)
        exit_code = _measure_elsewhere(recordings, wish, choose, where, report)
    else:
        exit_code = _measure(recordings, loaded, speech, report, quiet=quiet)
    if rows and not (json or csv):
        print_summary(rows, [codec for codec, _ in others])
    if exit_code:
        raise typer.Exit(exit_code)


def _check_sources(
    inputs: list[str] | None, reference: Path | None, decoded: list[Path], *, codes: bool
) -> None:
    if (reference is None) != (not decoded):
        raise UsageError("--reference and --decoded go together")
    if reference is None and not inputs:
        raise UsageError("name recordings, or --reference and --decoded")
    if reference is not None and (inputs or codes):
        raise UsageError(
            "--reference: nothing is coded; leave out IN, --bandwidths, --search, --refine, "
            "--fit, --against"
        )


def _decoded_recordings(reference: Path, folders: list[Path]) -> list[_Recording]:
    kinds = find_recordings([str(reference)], recursive=True)
    codings: dict[Path, list[Coding]] = {path: [] for path in kinds}
    for folder in folders:
        decoded = decoded_files(reference, folder)
        for path in kinds:
            codings[path].append(partial(_decoded, folder=folder, file=decoded.get(path)))
    return [_Recording(path, kind, codings[path]) for path, kind in kinds.items()]


def _decoded(source: "Reference", *, folder: Path, file: Path | None) -> "Coded":
    from encodec_cli.evaluation.evaluate import already_decoded

    if file is None:
        raise AudioError(f"{source.path}: there is no file of this name in {folder}; left out")
    return already_decoded(source, file, folder.name)


def _measure(
    recordings: Sequence[_Recording],
    model: "Codec",
    speech: bool | None,
    report: "Callable[[Row], None]",
    *,
    quiet: bool,
) -> int:
    """Report rows of each recording, whatever became of the others; returns the exit code."""
    from encodec_cli.evaluation.evaluate import judge, read_reference

    by_path = {recording.path: recording for recording in recordings}
    numbers = {path: number for number, path in enumerate(by_path, start=1)}

    def work(job: Job) -> bool:
        recording = by_path[Path(job.source)]
        number = f"{numbers[recording.path]} of {len(by_path)}"
        with progress_bar(f"{number}: {recording.path.name}", quiet=quiet) as progress:
            source = read_reference(
                recording.path, model.sample_rate, model.channels, kind=recording.kind
            )
            rows = []
            for coding in recording.codings:
                rows.append(judge(source, coding(source), speech=speech))
                if progress is not None:
                    done = source.seconds * len(rows)
                    progress(done, source.seconds * len(recording.codings))
        for row in rows:
            report(row)
        return True

    jobs = [Job(path, "-") for path in by_path]
    return one_by_one(jobs, work, alone=len(jobs) == 1)


@dataclass(frozen=True)
class _Job:
    """A recording to measure elsewhere."""

    path: Path
    kind: str | None
    wish: _Wish


def _measure_elsewhere(
    recordings: Sequence[_Recording],
    wish: _Wish,
    choose: "Callable[[str, int], ModelChoice]",
    where: Where,
    report: "Callable[[Row], None]",
) -> int:
    """Report rows of each recording, in any order; returns the exit code."""
    jobs = [_Job(each.path, each.kind, wish) for each in recordings]

    def told(outcome: "Outcome[list[Row]]") -> bool:
        for row in outcome.result():
            report(row)
        return True

    exit_code = 0
    for outcome in outcomes_elsewhere(where, choose, jobs, _rows):
        path = jobs[outcome.job].path
        code = settle(path, partial(told, outcome), alone=len(jobs) == 1)
        exit_code = max(exit_code, code)
    return exit_code


def _rows(model: "Codec", job: _Job, progress: object) -> "list[Row]":
    """What a worker does with a recording."""
    from encodec_cli.evaluation.evaluate import judge, read_reference

    wish = job.wish
    codings = codings_of(
        model, wish.rates, wish.others, search=wish.search, refine=wish.refine, fit=wish.fit
    )
    source = read_reference(job.path, model.sample_rate, model.channels, kind=job.kind)
    return [judge(source, coding(source), speech=wish.speech) for coding in codings]
