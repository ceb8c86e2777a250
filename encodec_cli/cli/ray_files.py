"""Files through a codec on Ray: what `running.code_files` does here."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from encodec_cli.cli.batch import Job
from encodec_cli.cli.console import shown_progress
from encodec_cli.cli.run_options import Where
from encodec_cli.cli.running import FileJob, Manner, progress_of, settle
from encodec_cli.cli.summary import Tally
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.pipeline.running import Outcome

__all__ = ["check_ray", "code_on_ray"]

_T = TypeVar("_T")


def check_ray(jobs: Sequence[Job], *, lm: bool, delete_input: bool) -> None:
    """Refuse what cannot be done by another machine, or not twice.

    Raises:
        UsageError: a pipe, a language model, an input that is gone the second time.
    """
    if lm:
        raise UsageError("--ray: workers load no --lm; leave out one")
    if delete_input:
        raise UsageError("--ray: a lost worker's files are done again; leave out --delete-input")
    for job in jobs:
        if not isinstance(job.source, Path) or not isinstance(job.target, Path):
            raise UsageError("--ray: needs files, no pipes")


def code_on_ray(
    jobs: Sequence[FileJob[_T]],
    chosen: "ModelChoice",
    tell: Callable[[_T], bool],
    tally: Tally,
    manner: Manner,
    where: Where,
) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `tell` reports a result, and returns whether all went well.
    """
    from encodec_cli.checkpoints.choice import LoadedModels
    from encodec_cli.pipeline.ray_files import code_file, run_files_on_ray

    run = progress_of(jobs)

    def told(outcome: "Outcome[_T]") -> bool:
        result = outcome.result()
        seconds = getattr(result, "seconds", 0.0)
        run.update(outcome.job, seconds, seconds)
        return tell(result)

    exit_code = 0
    loader = partial(LoadedModels, chosen)
    with shown_progress(run, quiet=manner.quiet, lines=manner.progress):
        for outcome in run_files_on_ray(loader, jobs, code_file, where.wish()):
            source = jobs[outcome.job].source
            work = partial(told, outcome)
            exit_code = max(exit_code, settle(source, work, alone=not tally.many, tally=tally))
            run.end(outcome.job)
    return exit_code
