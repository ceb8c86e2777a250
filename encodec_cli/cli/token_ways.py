"""Three ways to run the jobs of `tokens`: threads here, a process for each device, Ray."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from encodec_cli.cli.corpus_progress import CorpusProgress
from encodec_cli.cli.run_options import Where
from encodec_cli.cli.wording import in_options

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.pipeline.shard_jobs import Models, ShardJob
    from encodec_cli.pipeline.shard_plan import Plan, Skipped
    from encodec_cli.pipeline.shard_reports import ItemReport, ShardReport
    from encodec_cli.tokens.failures import Failure

__all__ = ["Ways"]


@dataclass
class Ways:
    """Runs a plan where it is to be run.

    Attributes:
        models: of this process.
        choose: what another process loads, on a device, with so many threads.
        skip: told what is there already.
    """

    where: Where
    models: "Models"
    choose: "Callable[[str, int], ModelChoice]"
    skip: "Callable[[Skipped], None]"
    progress: CorpusProgress

    def reports(self, plan: "Plan") -> "Iterator[ShardReport]":
        """Do what is missing; what became of each job.

        Raises:
            EncodecCliError: see `run_shards`, `run_in_processes`, `run_on_ray`.
        """
        if self.where.ray:
            return self._on_ray(plan)
        return self._here(plan) if self.where.here else self._in_processes(plan)

    def _here(self, plan: "Plan") -> "Iterator[ShardReport]":
        from encodec_cli.pipeline.shard_jobs import Item, run_shards
        from encodec_cli.pipeline.shard_reports import ItemReport

        def watch(item: Item, done: float, total: float | None) -> None:
            self.progress.update(item.key, done)

        def told(made: "ItemReport | Failure") -> None:
            seconds = (made.seconds or 0.0) if isinstance(made, ItemReport) else None
            self.progress.ended(made.key, seconds)

        return run_shards(
            self.models,
            self._missing(plan),
            threads=self.where.threads,
            words=in_options,
            watch=watch,
            told=told,
        )

    def _in_processes(self, plan: "Plan") -> "Iterator[ShardReport]":
        from encodec_cli.checkpoints.choice import LoadedModels
        from encodec_cli.pipeline.processes import run_in_processes
        from encodec_cli.pipeline.shard_jobs import do_shard

        devices = self.where.devices
        threads = self.where.threads_a_process
        loaders = [partial(LoadedModels, self.choose(device, threads)) for device in devices]
        work = partial(do_shard, threads=threads, words=in_options)
        for outcome in run_in_processes(loaders, self._missing(plan), work):
            yield self._counted(outcome.result())

    def _on_ray(self, plan: "Plan") -> "Iterator[ShardReport]":
        from encodec_cli.checkpoints.choice import LoadedModels
        from encodec_cli.pipeline.ray_running import run_on_ray
        from encodec_cli.pipeline.shard_plan import Skipped

        loader = partial(LoadedModels, self.choose(self.where.devices[0], 1))
        for found in run_on_ray(loader, plan.jobs, _do_on_ray, self.where.wish()):
            if isinstance(found, Skipped):
                self.skip(found)
            else:
                yield self._counted(found)

    def _missing(self, plan: "Plan") -> "Iterator[ShardJob]":
        from encodec_cli.pipeline.shard_plan import Skipped

        for job in plan.jobs(self.where.share):
            if isinstance(job, Skipped):
                self.skip(job)
            else:
                yield job

    def _counted(self, report: "ShardReport") -> "ShardReport":
        self.progress.add(report.items, report.seconds, len(report.failures))
        return report


def _do_on_ray(models: Any, job: "ShardJob | Skipped", *, threads: int) -> "ShardReport | Skipped":
    from encodec_cli.pipeline.shard_jobs import do_shard
    from encodec_cli.pipeline.shard_plan import Skipped

    if isinstance(job, Skipped):
        return job
    return do_shard(models, job, threads=threads, words=in_options)
