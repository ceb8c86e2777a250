"""Files through a codec elsewhere than in this process, where `running.code_files` does them.

jobs --file_groups--> a process for each device, or workers of Ray --outcomes--> said as they come
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from encodec_cli.cli.batch import Job
from encodec_cli.cli.console import shown_progress
from encodec_cli.cli.run_options import Where
from encodec_cli.cli.running import (
    FileJob,
    Manner,
    SkippedFile,
    do_job,
    progress_of,
    settle,
    tell_skipped,
)
from encodec_cli.cli.summary import Tally
from encodec_cli.errors import UsageError
from encodec_cli.io.files import check_writable

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.pipeline.running import Outcome, Work

__all__ = ["check_elsewhere", "code_elsewhere", "outcomes_elsewhere"]

_J = TypeVar("_J")
_T = TypeVar("_T")
_Choose = Callable[[str, int], "ModelChoice"]
"""What another process loads, on a device, with so many threads."""


def check_elsewhere(where: Where, jobs: Sequence[Job], *, lm: bool, delete_input: bool) -> None:
    """Refuse what cannot be done by another process, or not twice; nothing if this one does it.

    Raises:
        UsageError: a pipe, a language model, an input that is gone the second time.
    """
    if where.here:
        return
    option = where.option
    if lm:
        raise UsageError(f"{option}: workers load no --lm; leave out one")
    if delete_input:
        raise UsageError(
            f"{option}: a lost worker's files are done again; leave out --delete-input"
        )
    for job in jobs:
        if not isinstance(job.source, Path) or not isinstance(job.target, Path):
            raise UsageError(f"{option}: needs files, no pipes")


def outcomes_elsewhere(
    where: Where, choose: _Choose, jobs: Sequence[_J], work: "Work[_J, _T]"
) -> "Iterator[Outcome[_T]]":
    """Do each job, whatever becomes of the others; yields what became of each, as they end.

    Jobs and `work` are pickled, and may be done twice.

    Raises:
        UsageError, EncodecCliError: see `run_files_on_ray`.
    """
    from encodec_cli.checkpoints.choice import LoadedModels
    from encodec_cli.pipeline.file_groups import run_files_in_processes, run_files_on_ray

    if where.ray:
        loader = partial(LoadedModels, choose(where.devices[0], 1))
        return run_files_on_ray(loader, jobs, work, where.wish())
    threads = where.threads_a_process
    loaders = [partial(LoadedModels, choose(device, threads)) for device in where.devices]
    return run_files_in_processes(loaders, jobs, work, threads=threads)


def code_elsewhere(
    jobs: Sequence[FileJob[_T]],
    choose: _Choose,
    tell: Callable[[_T], bool],
    tally: Tally,
    manner: Manner,
    where: Where,
) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `tell` reports a result, and returns whether all went well. Jobs are to overwrite: what one made
    that was lost must not be in the way of its second attempt. What was there before the run is
    refused here, unless `manner.force`.
    """
    exit_code = 0
    waiting: list[FileJob[_T]] = []
    for job in jobs:
        free = partial(_is_free, job, manner)
        code = settle(job.source, free, alone=not tally.many, tally=tally)
        exit_code = max(exit_code, code)
        if not code:
            waiting.append(job)
    if not waiting:
        return exit_code
    run = progress_of(waiting)

    def told(outcome: "Outcome[_T | SkippedFile]") -> bool:
        result = outcome.result()
        if isinstance(result, SkippedFile):
            tell_skipped(result, tally, manner)
            return True
        seconds = getattr(result, "seconds", 0.0)
        run.update(outcome.job, seconds, seconds)
        return tell(result)

    work = partial(do_job, manner=manner, lm=None, threads=1)
    with shown_progress(run, quiet=manner.quiet, lines=manner.progress):
        for outcome in outcomes_elsewhere(where, choose, waiting, work):
            source = waiting[outcome.job].source
            code = settle(source, partial(told, outcome), alone=not tally.many, tally=tally)
            exit_code = max(exit_code, code)
            run.end(outcome.job)
    return exit_code


def _is_free(job: FileJob[_T], manner: Manner) -> bool:
    target = job.target
    if isinstance(target, Path) and not manner.force and os.path.lexists(target):
        check_writable(target, force=False)
    return True
