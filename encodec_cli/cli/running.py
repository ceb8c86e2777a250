"""Files through a codec, one or many at once, with one error policy, one bar and one summary."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from encodec_cli.cli.batch import Job, Plan, to_do
from encodec_cli.cli.console import print_json, say, shown_progress, warn
from encodec_cli.cli.loading import expected_seconds
from encodec_cli.cli.outcome import arrow
from encodec_cli.cli.progress import FileProgress, RunProgress
from encodec_cli.cli.summary import Tally
from encodec_cli.cli.wording import in_options
from encodec_cli.errors import EncodecCliError, OutputError
from encodec_cli.io.claims import Claim, claimed
from encodec_cli.io.files import FULL, check_writable, make_folder
from encodec_cli.io.text import printable

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.reports import Place

__all__ = [
    "FileJob",
    "Manner",
    "SkippedFile",
    "begin",
    "code_files",
    "do_job",
    "end",
    "one_by_one",
    "progress_of",
    "rehearse",
    "settle",
    "tell_skipped",
]

_T = TypeVar("_T")
_R = TypeVar("_R", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run goes about its files, and what it says."""

    force: bool = False
    skip_existing: bool = False
    quiet: bool = False
    json: bool = False
    progress: bool = False


class FileJob(Protocol[_R]):
    """A job of `pipeline.jobs` that a codec does."""

    @property
    def source(self) -> "Place": ...

    @property
    def target(self) -> "Place": ...

    def run(self, codec: "Codec", *, lm: Any, threads: int, progress: Any) -> _R: ...


@dataclass(frozen=True)
class SkippedFile:
    """What a job comes to whose file another run makes, or has made meanwhile."""

    target: "Place"
    claim: Claim


def begin(plan: Plan, manner: Manner) -> tuple[list[Job], Tally]:
    """Say what is left out of a run, and why; returns what is to do, and the count so far."""
    tally = Tally(plan.many)
    for clash in plan.clashes:
        names = ", ".join(map(str, clash.sources[:-1]))
        warn(
            f"{names} and {clash.sources[-1]} would both become {clash.target}; "
            "add --keep-suffix, or rename one",
            label="error",
            style="bold red",
        )
        tally.failed += len(clash.sources)
    for path, reason in plan.not_taken.items():
        warn(f"{path}: not taken: {reason}")
        tally.not_taken[str(path)] = reason
    waiting = []
    for job, there in to_do(plan.jobs, skip_existing=manner.skip_existing):
        if there:
            tell_skipped(SkippedFile(job.target, "done"), tally, manner)
        else:
            waiting.append(job)
    return waiting, tally


def end(tally: Tally, manner: Manner, exit_code: int) -> None:
    """Say what became of the run.

    Raises:
        typer.Exit: not all is well.
    """
    tally.tell(quiet=manner.quiet, json=manner.json)
    if tally.failed or tally.not_taken:
        exit_code = exit_code or 1
    if exit_code:
        raise typer.Exit(exit_code)


def rehearse(jobs: Sequence[Job], tally: Tally, manner: Manner, *, makes_folder: bool) -> int:
    """Say what a run would do, without doing it; returns the exit code it would have by that."""

    tally.rehearsal = bool(jobs)

    def work(job: Job) -> bool:
        if isinstance(job.source, Path) and not job.source.exists():
            raise EncodecCliError(f"{job.source}: no such file; check the name")
        if isinstance(job.target, Path) and (job.target.parent.is_dir() or not makes_folder):
            check_writable(job.target, force=manner.force)
        if manner.json:
            names = {"source": str(job.source), "target": str(job.target)}
            print_json({**names, "dry_run": True})
        elif not manner.quiet:
            say(f"would make {arrow(str(job.source), str(job.target))}")
        tally.done += 1
        return True

    return one_by_one(jobs, work, alone=not tally.many, tally=tally)


def code_files(
    jobs: Sequence[FileJob[_T]],
    codec: "Codec",
    tell: Callable[[_T], bool],
    tally: Tally,
    manner: Manner,
    *,
    lm: "LanguageModel | None",
    threads: int,
) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `tell` reports a result, and returns whether all went well. A language model's steps are not
    gathered: its files go one after the other.
    """
    if not jobs:
        return 0
    run = progress_of(jobs)
    numbers = {id(job): number for number, job in enumerate(jobs)}

    def told(outcome: Callable[[], _T | SkippedFile], job: FileJob[_T]) -> int:
        def work() -> bool:
            result = outcome()
            if not isinstance(result, SkippedFile):
                return tell(result)
            tell_skipped(result, tally, manner)
            return True

        code = settle(job.source, work, alone=not tally.many, tally=tally)
        run.end(numbers[id(job)])
        return code

    with shown_progress(run, quiet=manner.quiet, lines=manner.progress):
        if len(jobs) > 1 and lm is None:
            return _at_once(jobs, codec, manner, threads, run, told)
        exit_code = 0
        for number, job in enumerate(jobs):
            progress = partial(run.update, number)
            do = partial(do_job, codec, job, progress, manner=manner, lm=lm, threads=threads)
            exit_code = max(exit_code, told(do, job))
        return exit_code


def progress_of(jobs: "Sequence[_HasSource]") -> RunProgress:
    """Of a run that is about to do `jobs`, at least one."""
    first = jobs[0].source
    name = "stdin" if first == "-" else printable(first.name)
    return RunProgress(name, [_file_progress(job.source) for job in jobs])


def _at_once(
    jobs: Sequence[FileJob[_T]],
    codec: "Codec",
    manner: Manner,
    threads: int,
    run: RunProgress,
    told: Callable[[Callable[[], "_T | SkippedFile"], FileJob[_T]], int],
) -> int:
    from encodec_cli.pipeline.running import run_jobs

    def do(codec: "Codec", job: FileJob[_T], progress: Any) -> "_T | SkippedFile":
        return do_job(codec, job, progress, manner=manner, lm=None, threads=1)

    exit_code = 0
    for outcome in run_jobs(codec, jobs, do, threads=threads, watch=run.update):
        exit_code = max(exit_code, told(outcome.result, jobs[outcome.job]))
    return exit_code


def do_job(
    codec: "Codec",
    job: FileJob[_T],
    progress: Any,
    *,
    manner: Manner,
    lm: Any,
    threads: int,
) -> "_T | SkippedFile":
    """Do `job`, unless its file is there to be skipped, or is another run's to make."""
    shared = manner.skip_existing and isinstance(job.target, Path)
    if shared and isinstance(job.target, Path):
        make_folder(job.target.parent)
    with claimed(job.target) if shared and isinstance(job.target, Path) else nullcontext() as claim:
        if claim in ("others", "done"):
            return SkippedFile(job.target, claim)
        try:
            return job.run(codec, lm=lm, threads=threads, progress=progress)
        except OutputError:
            if shared and isinstance(job.target, Path) and job.target.is_file():
                return SkippedFile(job.target, "done")  # made meanwhile, where there are no locks
            raise


def tell_skipped(skipped: SkippedFile, tally: Tally, manner: Manner) -> None:
    tally.skipped += 1
    if not manner.quiet:
        why = "exists" if skipped.claim == "done" else "another run makes it"
        say(f"{skipped.target}: {why}, skipped")


def _file_progress(source: "Place") -> FileProgress:
    kind = source.suffix.lower() if isinstance(source, Path) else ""
    return FileProgress(kind, expected_seconds([source]))


class _HasSource(Protocol):
    @property
    def source(self) -> "Place": ...


_J = TypeVar("_J", bound=_HasSource)


def one_by_one(
    jobs: Iterable[_J], work: Callable[[_J], bool], *, alone: bool, tally: Tally | None = None
) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `work` returns whether all went well. `alone` says that the user named one file.
    """
    return max(
        (settle(job.source, partial(work, job), alone=alone, tally=tally) for job in jobs),
        default=0,
    )


def settle(
    source: "Place", work: Callable[[], bool], *, alone: bool, tally: Tally | None = None
) -> int:
    """The exit code after `work`, which is about `source`; says what went wrong, and counts it."""
    try:
        return 0 if work() else 1
    except EncodecCliError as error:
        warn(in_options(error), label="error", style="bold red")
        # Of many files, one that the options do not fit is a file that failed.
        exit_code = error.exit_code if alone else 1
    except BrokenPipeError:
        raise
    except OSError as error:
        # Files that cannot be written have errors of their own; what is left is standard output.
        place = "stdout" if error.errno in FULL else source
        warn(f"{place}: {error.strerror or error}", label="error", style="bold red")
        exit_code = 1
    if tally is not None:
        tally.failed += 1
    return exit_code
