"""Files through the network: one with a progress bar, or many at once."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from encodec_cli.cli.batch import Job, run_jobs, settle, to_do, with_folder
from encodec_cli.cli.console import progress_bar

if TYPE_CHECKING:
    from encodec_cli.model.module import CompressionModel
    from encodec_cli.stream.batching import Outcome

__all__ = ["code_files"]

_T = TypeVar("_T")


def code_files(
    jobs: Sequence[Job],
    model: "CompressionModel",
    code: Callable[["CompressionModel", Job, Any], _T],
    tell: Callable[[_T], bool],
    *,
    together: bool,
    skip_existing: bool,
    output_dir: Path | None,
    quiet: bool,
) -> int:
    """Do each job, whatever became of the others; returns the exit code, as `run_jobs` does.

    `code` does a job with the model it is given and calls a function, if it is given one, as it
    goes on; `tell` reports the result, and returns whether all went well. With `together` many
    jobs run at once, in threads, and their network steps in batches (see `scheduler`).
    """
    folders = output_dir is not None
    if not together or len(jobs) < 2:

        def work(job: Job) -> bool:
            with progress_bar(str(job.source), quiet=quiet) as progress:
                result = code(model, job, progress)
            return tell(result)

        return run_jobs(jobs, work, skip_existing=skip_existing, make_folders=folders, quiet=quiet)

    from encodec_cli.stream.batching import run_together

    def do(job: Job, shared: "CompressionModel") -> _T:
        return with_folder(job, lambda job: code(shared, job, None), folders)

    def finish(outcome: "Outcome[_T]") -> bool:
        return tell(outcome.result())

    exit_code = 0
    waiting = list(to_do(jobs, skip_existing=skip_existing, quiet=quiet))
    for outcome in run_together(model, [partial(do, job) for job in waiting]):
        failed = settle(waiting[outcome.job], partial(finish, outcome), alone=False)
        exit_code = max(exit_code, failed)
    return exit_code
