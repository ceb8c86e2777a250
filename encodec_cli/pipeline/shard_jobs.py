"""A shard's work as data, and how it is done: items side by side, results in the corpus' order.

    ShardJob --items--> threads, or batches of the network's steps --> in order --> shard, record

Codes do not depend on the number of threads, nor on what else is coded. So a shard has the same
bytes however its job is run: here, as a part of a run, or on another machine.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Protocol

from encodec_cli.corpus import BadCorpusItem, CorpusItem
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.encode import EncodeOptions
from encodec_cli.pipeline.reports import Progress
from encodec_cli.pipeline.running import Outcome, in_order, run_calls, run_jobs
from encodec_cli.pipeline.shard_reports import (
    ItemErrors,
    ItemReport,
    ShardReport,
    Words,
    report_of_record,
)
from encodec_cli.pipeline.token_jobs import CodesJob, StoredCodesJob
from encodec_cli.tokens import TokenItem
from encodec_cli.tokens.failures import Failure
from encodec_cli.tokens.shards import FileTarget, ItemWriter, TokenTarget

__all__ = ["CodesOptions", "Item", "ItemWatch", "Models", "ShardJob", "do_shard", "is_stored"]
__all__ += ["run_shards"]

Item = CorpusItem | BadCorpusItem
ItemWatch = Callable[[Item, float, float | None], None]
"""Called from any thread with an item, and how far it is in seconds; see `reports.Progress`."""
_AHEAD = 32
"""Items that may be begun after one that has not ended, for each that goes at a time."""


@dataclass(frozen=True, kw_only=True)
class CodesOptions:
    """How items become codes: at about `bandwidth` kb/s, or with `n_q` codebooks.

    `code_models` are files for the entropy coding of `.ecdc` items.
    """

    bandwidth: float | None = None
    n_q: int | None = None
    code_models: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ShardJob:
    """What is to become of some items: a shard, or a file each. Can be pickled."""

    number: int
    items: tuple[Item, ...]
    target: TokenTarget
    options: CodesOptions


class Models(Protocol):
    """What codes; loaded when it is needed first."""

    @property
    def codec(self) -> Codec: ...

    @property
    def lm(self) -> Any: ...


def is_stored(item: Item) -> bool:
    """Whether there are codes already, in an `.ecdc` file."""
    return isinstance(item, CorpusItem) and item.audio.name.lower().endswith(".ecdc")


def do_shard(models: Models, job: ShardJob, *, threads: int, words: Words = str) -> ShardReport:
    """Do one job by itself. What an earlier attempt has completed is not done again.

    Raises:
        OutputError, UsageError: see `run_shards`.
    """
    record = job.target.record(job.number)
    if record is not None:
        return report_of_record(record)
    [report] = run_shards(models, [job], threads=threads, words=words)
    return report


def run_shards(
    models: Models,
    jobs: Iterable[ShardJob],
    *,
    threads: int,
    words: Words = str,
    watch: ItemWatch | None = None,
    told: Callable[[ItemReport | Failure], None] | None = None,
) -> Iterator[ShardReport]:
    """Do each job; yields what became of them, in their order.

    An item that fails is left out of its shard, and its report says so. Where the engine gains
    from it many items step together, `Engine.streams` of them; else `threads` go at a time.
    `watch` learns how far items are, `told` what became of each, in order.

    Raises:
        OutputError: a shard cannot be written; those before it are complete.
        UsageError: no such rate, or a package that the format needs is missing.
    """
    errors = ItemErrors(words)
    for audio, some in groupby(jobs, key=_has_audio):
        run = _Run(models, threads, watch, audio=audio)
        with closing(run.outcomes(some)) as outcomes:
            for _, of_job in groupby(outcomes, key=lambda pair: pair[0].job.number):
                yield _written(of_job, errors, told)


def _has_audio(job: ShardJob) -> bool:
    return any(isinstance(item, CorpusItem) and not is_stored(item) for item in job.items)


@dataclass(frozen=True)
class _Task:
    """An item of a job."""

    job: ShardJob
    item: Item


@dataclass
class _Run:
    """Jobs that all have `audio`, or none; then no codec is loaded."""

    models: Models
    threads: int
    watch: ItemWatch | None
    audio: bool
    begun: dict[int, _Task] = field(default_factory=dict)

    def outcomes(self, jobs: Iterable[ShardJob]) -> Generator[tuple[_Task, Outcome[TokenItem]]]:
        """What became of each item, in order."""
        tasks = (_Task(job, item) for job in jobs for item in job.items)
        first = list(islice(tasks, 2))
        if self.audio and first:
            options = first[0].job.options
            self.models.codec.config.choose_codebooks(options.bandwidth, options.n_q)
        # Alone, the network and the search of an item go side by side.
        inner = self.threads if len(first) == 1 else 1
        found = in_order(self._started(self._noted(chain(first, tasks)), inner))
        with closing(found):
            for outcome in found:
                yield self.begun.pop(outcome.job), outcome

    def _started(self, tasks: Iterator[_Task], inner: int) -> Generator[Outcome[TokenItem]]:
        # A language model holds the state of one file at a time.
        threads = self.threads if self.models.lm is None else 1
        if not self.audio:
            calls = (partial(self._stored, task) for task in tasks)
            return run_calls(calls, threads=threads, ahead=_AHEAD * threads)
        codec = self.models.codec
        return run_jobs(
            codec,
            tasks,
            partial(self._coded, inner),
            threads=threads,
            watch=self._watch,
            ahead=_AHEAD * max(threads, codec.engine.streams),
        )

    def _noted(self, tasks: Iterable[_Task]) -> Iterator[_Task]:
        for number, task in enumerate(tasks):
            self.begun[number] = task
            yield task

    def _watch(self, number: int, done: float, total: float | None) -> None:
        if self.watch is not None:
            self.watch(self.begun[number].item, done, total)

    def _coded(self, inner: int, codec: Codec, task: _Task, progress: Progress) -> TokenItem:
        item, options = task.item, task.job.options
        if isinstance(item, BadCorpusItem) or is_stored(item):
            return self._stored(task, progress)
        task.job.target.check(item.key)
        books = codec.config.choose_codebooks(options.bandwidth, options.n_q)
        job = CodesJob(item, EncodeOptions(n_q=books, tags=None))
        return job.run(codec, threads=inner, progress=progress)

    def _stored(self, task: _Task, progress: Progress) -> TokenItem:
        item, options = task.item, task.job.options
        if isinstance(item, BadCorpusItem):
            raise EncodecCliError(f"{item.source}: {item.reason}")
        task.job.target.check(item.key)
        job = StoredCodesJob(item, options.bandwidth, options.n_q, options.code_models)
        return job.run(lm=self.models.lm)


def _written(
    results: Iterator[tuple[_Task, Outcome[TokenItem]]],
    errors: ItemErrors,
    told: Callable[[ItemReport | Failure], None] | None,
) -> ShardReport:
    """Write the items of a job; what became of them."""
    started = time.monotonic()
    first = next(results)
    job = first[0].job
    done: list[ItemReport] = []
    failures: list[Failure] = []
    with job.target.writing(job.number) as writing:
        for task, outcome in chain([first], results):
            made = _added(writing, task.item, outcome, errors)
            if isinstance(made, Failure):
                failures.append(made)
                writing.fail(made)
            else:
                done.append(made)
            if told is not None:
                told(made)
    by_itself = isinstance(job.target, FileTarget)
    return ShardReport(
        number=job.number,
        files=() if by_itself or not done else job.target.names(job.number),
        items=len(done),
        seconds=sum(report.seconds or 0.0 for report in done),
        frames=sum(report.frames for report in done),
        done=tuple(done) if by_itself else (),
        failures=tuple(failures),
        elapsed_seconds=time.monotonic() - started,
    )


def _added(
    writing: ItemWriter, source: Item, outcome: Outcome[TokenItem], errors: ItemErrors
) -> ItemReport | Failure:
    """The report of the item, once it is written; or why it is not."""
    if outcome.error is not None:
        return errors.failure(source, outcome.error)
    item = outcome.result()
    try:
        path = writing.add(item)
    except ContainerError as error:  # of this item; what else happens is the shard's
        return errors.failure(source, error)
    errors.worked()
    return ItemReport.of(source, item, path)
