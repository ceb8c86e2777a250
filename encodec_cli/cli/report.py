"""`report`: a page to listen to and look at."""

import os
from collections.abc import Sequence
from dataclasses import replace
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
from encodec_cli.cli.console import count, print_json, progress_bar, say
from encodec_cli.cli.loading import load
from encodec_cli.cli.recordings import find_recordings
from encodec_cli.cli.running import one_by_one
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError
from encodec_cli.io.files import atomic_output, check_writable

if TYPE_CHECKING:
    from encodec_cli.evaluation.evaluate import Evaluated, Reference
    from encodec_cli.model.codec import Codec
    from encodec_cli.report import Recording

__all__ = ["report", "short_names"]

_DEFAULT_SECONDS = 30.0
_MOST_SECONDS = 600.0


def report(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Audio; folders with -r; manifests: CSV with the columns file, kind.",
            autocompletion=complete_files(AUDIO_SUFFIXES | {".csv"}),
        ),
    ],
    target: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.html", help="The page to write.")
    ],
    bandwidths: options.Bandwidths = None,
    model: options.Model = DEFAULT_MODEL,
    search: options.Search = None,
    refine: options.Refine = False,
    fit: options.Fit = None,
    against: options.Against = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=_MOST_SECONDS,
            help="Of a longer recording, take the first so many; the page grows with it.",
        ),
    ] = _DEFAULT_SECONDS,
    speech: options.Speech = None,
    recursive: options.Recursive = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    device: options.Device = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
) -> None:
    """Make one HTML page to hear and see what codecs do to recordings, at every rate.

    It has players that switch in place, spectrograms, differences, metrics, sizes, curves and a
    blind test; it works from a folder or a mail, without a server or the network.

    Example: encodec-cli report talk.wav song.flac -o report.html --bandwidths 3,6
    """
    check_writable(target, force=force)
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{target}: the page is HTML; give it a name that ends in .html")
    rates, others = parse_bandwidths(bandwidths), parse_against(against)
    kinds = find_recordings(inputs, recursive=recursive)

    from encodec_cli.report import Report, check_matplotlib

    check_matplotlib()
    loaded = load(model, device, threads, dtype)
    codings = codings_of(loaded, rates, others, search=search, refine=refine, fit=fit)
    warn_of_missing_packages(kinds.values(), speech)
    names = short_names(list(kinds))
    with Report(loaded) as page:

        def work(job: Job) -> bool:
            path = Path(job.source)
            recording = _recording(
                loaded, path, kinds[path], codings, seconds, speech=speech, quiet=quiet
            )
            size = page.add(replace(recording, name=names[path]))
            if not quiet:
                say(f"{path}: {recording.facts}; {size / 1e6:.1f} MB of the page")
            return True

        jobs = [Job(path, target) for path in kinds]
        code = one_by_one(jobs, work, alone=len(jobs) == 1)
        if page.recordings:
            with atomic_output(target, force=force) as file:
                page.write(file)
            _say_written(target, page.recordings, quiet=quiet, json=json)
    if code:
        raise typer.Exit(code)


def short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """What to call files: without the folders that all of them lie in.

    Where these have nothing but the root in common, by as few folders as tell them apart.
    """
    absolute = {path: path.absolute() for path in paths}
    common = Path(os.path.commonpath([path.parent for path in absolute.values()]))
    if common != Path(common.anchor):
        return {path: str(whole.relative_to(common)) for path, whole in absolute.items()}
    parts = 1
    while len({whole.parts[-parts:] for whole in absolute.values()}) < len(absolute):
        parts += 1
    return {path: str(Path(*whole.parts[-parts:])) for path, whole in absolute.items()}


def _recording(
    model: "Codec",
    path: Path,
    kind: str | None,
    codings: Sequence[Coding],
    seconds: float,
    *,
    speech: bool | None,
    quiet: bool,
) -> "Recording":
    from encodec_cli.report import Recording, open_excerpt

    excerpt = open_excerpt(path, model.sample_rate, model.channels, most_seconds=seconds, kind=kind)
    with progress_bar(path.name, quiet=quiet) as progress, excerpt as (reference, facts):
        results: list[Evaluated] = []
        for coding in codings:
            results.append(_evaluated(coding, reference, speech))
            if progress is not None:
                done, total = len(results), len(codings)
                progress(done * reference.seconds, total * reference.seconds)
        return Recording(path.name, facts, reference, results)


def _evaluated(coding: Coding, reference: "Reference", speech: bool | None) -> "Evaluated":
    from encodec_cli.evaluation.evaluate import Evaluated, judge

    coded = coding(reference)
    return Evaluated(judge(reference, coded, speech=speech), coded.audio)


def _say_written(target: Path, recordings: int, *, quiet: bool, json: bool) -> None:
    size = target.stat().st_size
    if json:
        print_json({"target": str(target), "recordings": recordings, "bytes": size})
    elif not quiet:
        recordings_words = count(recordings, "recording")
        say(f"{target}: {recordings_words}, {size / 1e6:.1f} MB; open it in a browser")
