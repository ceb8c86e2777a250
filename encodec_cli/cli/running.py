"""Files through a codec, one with a progress bar or many at once, and one error policy."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from encodec_cli.cli.console import progress_bar, warn
from encodec_cli.cli.wording import in_options
from encodec_cli.errors import EncodecCliError

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.reports import Place
    from encodec_cli.pipeline.running import Outcome

__all__ = ["FileJob", "code_files", "one_by_one", "settle"]

_T = TypeVar("_T")
_R = TypeVar("_R", covariant=True)


class FileJob(Protocol[_R]):
    """A job of `pipeline.jobs` that a codec does."""

    @property
    def source(self) -> "Place": ...

    def run(self, codec: "Codec", *, lm: Any, threads: int, progress: Any) -> _R: ...


def code_files(
    jobs: Sequence[FileJob[_T]],
    codec: "Codec",
    tell: Callable[[_T], bool],
    *,
    lm: "LanguageModel | None",
    threads: int,
    alone: bool,
    quiet: bool,
) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `tell` reports a result, and returns whether all went well. `alone` says that the user named
    one file. A language model's steps are not gathered: its files go one after the other.
    """
    if len(jobs) < 2 or lm is not None:

        def work(job: FileJob[_T]) -> bool:
            with progress_bar(str(job.source), quiet=quiet) as progress:
                result = job.run(codec, lm=lm, threads=threads, progress=progress)
            return tell(result)

        return one_by_one(jobs, work, alone=alone)

    from encodec_cli.pipeline.running import run_jobs

    def do(codec: "Codec", job: FileJob[_T], progress: Any) -> _T:
        return job.run(codec, lm=None, threads=1, progress=progress)

    exit_code = 0
    for outcome in run_jobs(codec, jobs, do, threads=threads):
        source = jobs[outcome.job].source
        failed = settle(source, partial(_tell_outcome, tell, outcome), alone=alone)
        exit_code = max(exit_code, failed)
    return exit_code


def _tell_outcome(tell: Callable[[_T], bool], outcome: "Outcome[_T]") -> bool:
    return tell(outcome.result())


class _HasSource(Protocol):
    @property
    def source(self) -> "Place": ...


_J = TypeVar("_J", bound=_HasSource)


def one_by_one(jobs: Iterable[_J], work: Callable[[_J], bool], *, alone: bool) -> int:
    """Do each job, whatever becomes of the others; returns the exit code.

    `work` returns whether all went well.
    """
    return max((settle(job.source, partial(work, job), alone=alone) for job in jobs), default=0)


def settle(source: "Place", work: Callable[[], bool], *, alone: bool) -> int:
    """The exit code after `work`, which is about `source`; says what went wrong."""
    try:
        return 0 if work() else 1
    except EncodecCliError as error:
        warn(in_options(error), label="error", style="bold red")
        # Of many files, one that the options do not fit is a file that failed.
        return error.exit_code if alone else 1
    except BrokenPipeError:
        raise
    except OSError as error:
        warn(f"{source}: {error.strerror or error}", label="error", style="bold red")
        return 1
