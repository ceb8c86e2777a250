"""How `tokens` does its jobs, and what it says of them."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encodec_cli.cli.console import count, print_json, rounded, say, shown_progress, warn
from encodec_cli.cli.corpus_progress import CorpusProgress
from encodec_cli.cli.loading import choice, code_models, load, load_lm
from encodec_cli.cli.options import DTypeName
from encodec_cli.cli.outcome import duration_words
from encodec_cli.cli.run_options import Where
from encodec_cli.cli.running import Manner, end
from encodec_cli.cli.summary import Tally
from encodec_cli.cli.token_options import TokenOutput
from encodec_cli.cli.wording import in_options
from encodec_cli.errors import OutputError, parameter
from encodec_cli.io.shares import Share

if TYPE_CHECKING:
    from encodec_cli.corpus import Corpus
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.shard_jobs import CodesOptions, Models, ShardJob
    from encodec_cli.pipeline.shard_plan import Plan, Skipped, Survey
    from encodec_cli.pipeline.shard_reports import ItemReport, ShardReport
    from encodec_cli.tokens.failures import Failure
    from encodec_cli.tokens.shards import ShardTarget, Stock, TokenTarget

__all__ = ["Coding", "run_tokens"]

_BYTES_OF_FILES = 1e6
_FILES_TOGETHER = 256


@dataclass(frozen=True, kw_only=True)
class Coding:
    """The options that say how audio becomes codes."""

    bandwidth: float | None
    n_q: int | None
    model: str
    config: Path | None
    lm: str | None
    code_model: Path | None
    dtype: DTypeName
    verbose: bool


class _Models:
    """Models of this process, loaded when they are needed, with a word about them."""

    def __init__(self, coding: Coding, where: Where, seconds: float | None) -> None:
        self._coding, self._where, self._seconds = coding, where, seconds

    @cached_property
    def codec(self) -> "Codec":
        of, where = self._coding, self._where
        return load(
            of.model,
            where.devices[0],
            where.threads,
            of.dtype,
            seconds=self._seconds,
            verbose=of.verbose,
            config=of.config,
        )

    @cached_property
    def lm(self) -> Any:
        return None if self._coding.lm is None else load_lm(self._coding.lm, self.codec.config)


def run_tokens(
    corpus: "Corpus", coding: Coding, output: TokenOutput, where: Where, manner: Manner
) -> None:
    """Do what is missing, say what became of it, and end with its exit code.

    Raises:
        typer.Exit: not all is well.
    """
    from encodec_cli.pipeline.shard_plan import survey

    options = _options(coding)
    found = survey(corpus, options, where.share)
    run = _Run(coding, output, where, manner, found, Tally(many=_many(corpus, found)))
    with ExitStack() as stack:
        run.lock(stack)
        plan = run.plan(corpus, options)
        for report in run.reports(plan):
            run.tell(report)
    run.finish()
    end(run.tally, manner, run.exit_code)


def _options(coding: Coding) -> "CodesOptions":
    from encodec_cli.pipeline.shard_jobs import CodesOptions

    models = code_models(coding.code_model)
    return CodesOptions(bandwidth=coding.bandwidth, n_q=coding.n_q, code_models=models)


def _many(corpus: "Corpus", found: "Survey") -> bool:
    """Whether more than one recording was named by itself."""
    alone = len(corpus.inputs) == 1 and not corpus.manifests and found.items == 1
    return not alone or Path(corpus.inputs[0]).is_dir()


def _do_on_ray(
    models: "Models", threads: int, job: "ShardJob | Skipped"
) -> "ShardReport | Skipped":
    from encodec_cli.pipeline.shard_jobs import do_shard
    from encodec_cli.pipeline.shard_plan import Skipped

    if isinstance(job, Skipped):
        return job
    return do_shard(models, job, threads=threads, words=in_options)


@dataclass
class _Run:
    coding: Coding
    output: TokenOutput
    where: Where
    manner: Manner
    found: "Survey"
    tally: Tally
    exit_code: int = 0

    def __post_init__(self) -> None:
        self._models = _Models(self.coding, self.where, self.found.seconds)
        self._progress = CorpusProgress(total=self.found.seconds)
        force = self.manner.force or not self.where.here  # jobs may be done twice there
        self._target: TokenTarget = self.output.target(self.found.kinds, force=force)

    def lock(self, stack: ExitStack) -> None:
        """Keep other runs away from shards, and refuse to add to those of one before, unasked."""
        from encodec_cli.tokens.locking import locked_folder
        from encodec_cli.tokens.shards import ShardTarget

        if not isinstance(self._target, ShardTarget):
            return
        folder = self._target.folder
        stack.enter_context(locked_folder(folder, self.where.share))
        share = self.where.share or Share(1, 1)
        self._target.remove_orphans(share)
        there = [number for number in self._target.numbers() if share.has(number)]
        if there and not self.manner.skip_existing:
            raise OutputError(
                f"{folder}: holds shards already, {len(there)} of them; go on with "
                f"{parameter('skip_existing', True)}, or name another folder"
            )

    def plan(self, corpus: "Corpus", options: "CodesOptions") -> "Plan":
        """What is to do."""
        from encodec_cli.pipeline.shard_plan import Plan

        rate = 0.0
        if self.found.audio:
            config = self._models.codec.config
            books = config.choose_codebooks(options.bandwidth, options.n_q)
            rate = float(2 * books * config.frame_rate)
        most = self.output.most_bytes
        if most is None:  # a file each: together only on the way to other processes
            items = 1 if self.where.here else _FILES_TOGETHER
        return Plan(
            corpus=corpus,
            target=self._target,
            options=options,
            code_rate=rate,
            most_bytes=_BYTES_OF_FILES if most is None else most,
            most_items=items if most is None else None,
            skip_existing=self.manner.skip_existing,
        )

    def reports(self, plan: "Plan") -> "Iterator[ShardReport]":
        """Do it, in the way that the options say."""
        with shown_progress(self._progress, quiet=self.manner.quiet, lines=self.manner.progress):
            if self.where.ray:
                yield from self._on_ray(plan)
                return
            jobs = self._without_skipped(plan.jobs(self.where.share))
            yield from self._here(jobs) if self.where.here else self._in_processes(jobs)

    def _here(self, jobs: "Iterator[ShardJob]") -> "Iterator[ShardReport]":
        from encodec_cli.pipeline.shard_jobs import Item, run_shards
        from encodec_cli.pipeline.shard_reports import ItemReport

        def watch(item: Item, done: float, total: float | None) -> None:
            self._progress.update(item.key, done)

        def told(made: "ItemReport | Failure") -> None:
            seconds = (made.seconds or 0.0) if isinstance(made, ItemReport) else None
            self._progress.ended(made.key, seconds)

        threads = self.where.threads
        return run_shards(
            self._models, jobs, threads=threads, words=in_options, watch=watch, told=told
        )

    def _in_processes(self, jobs: "Iterator[ShardJob]") -> "Iterator[ShardReport]":
        from encodec_cli.checkpoints.choice import LoadedModels
        from encodec_cli.pipeline.processes import run_in_processes
        from encodec_cli.pipeline.shard_jobs import do_shard

        threads = max(1, self.where.threads // len(self.where.devices))
        loaders = [partial(LoadedModels, self._choice(d, threads)) for d in self.where.devices]
        work = partial(do_shard, threads=threads, words=in_options)
        for outcome in run_in_processes(loaders, jobs, work):
            yield self._remote(outcome.result())

    def _on_ray(self, plan: "Plan") -> "Iterator[ShardReport]":
        from encodec_cli.checkpoints.choice import LoadedModels
        from encodec_cli.pipeline.ray_running import run_on_ray
        from encodec_cli.pipeline.shard_plan import Skipped

        loader = partial(LoadedModels, self._choice(self.where.devices[0], 1))
        for found in run_on_ray(loader, plan.jobs, _do_on_ray, self.where.wish()):
            if isinstance(found, Skipped):
                self._skip(found)
            else:
                yield self._remote(found)

    def _remote(self, report: "ShardReport") -> "ShardReport":
        self._progress.add(report.items, report.seconds, len(report.failures))
        return report

    def _choice(self, device: str, threads: int) -> Any:
        of = self.coding
        return choice(of.model, device, threads, of.dtype, config=of.config, lm=of.lm)

    def _without_skipped(self, jobs: "Iterable[ShardJob | Skipped]") -> "Iterator[ShardJob]":
        from encodec_cli.pipeline.shard_plan import Skipped

        for job in jobs:
            if isinstance(job, Skipped):
                self._skip(job)
            else:
                yield job

    def _skip(self, skipped: "Skipped") -> None:
        self.tally.skipped += skipped.items
        if not self.manner.quiet:
            for name in skipped.names:
                say(f"{name}: exists, skipped")

    def tell(self, report: "ShardReport") -> None:
        """Say what became of a shard, and note what failed."""
        from encodec_cli.tokens.failures import add_failures

        self.tally.done += report.items
        self.tally.seconds += report.seconds
        self.tally.failed += len(report.failures)
        for failure in report.failures:
            warn(failure.reason, label="error", style="bold red")
            self.exit_code = max(self.exit_code, 1 if self.tally.many else failure.exit_code)
        if self.tally.many:  # of one file, this command's user knows
            add_failures(self._target.folder, report.failures)
        if self.manner.json:
            for line in self._as_json(report):
                print_json(line)
        elif not self.manner.quiet:
            for text in self._as_words(report):
                say(text)

    def _as_json(self, report: "ShardReport") -> Iterator[dict[str, Any]]:
        if self.output.most_bytes is None:
            yield from (rounded(vars(item)) for item in report.done)
            return
        facts = {key: value for key, value in vars(report).items() if key not in ("done",)}
        yield rounded(facts | {"failures": len(report.failures)})

    def _as_words(self, report: "ShardReport") -> Iterator[str]:
        for item in report.done:
            books, frames = count(item.codebooks, "codebook"), count(item.frames, "frame")
            yield f"{item.source} -> {item.target}: {books}, {frames}"
        if report.files:
            parts = [count(report.items, "item"), duration_words(report.seconds)]
            if report.failures:
                parts.append(f"{len(report.failures)} failed")
            yield f"{self._target.folder / report.files[0]}: {', '.join(parts)}"

    def finish(self) -> None:
        """Set `failures.jsonl` in order, and write the card of a folder of shards."""
        from encodec_cli.tokens import ShardTarget
        from encodec_cli.tokens.failures import settle_failures
        from encodec_cli.tokens.shards import Stock

        target = self._target
        if not isinstance(target, ShardTarget):
            settle_failures(target.folder, lambda key: target.path(key).is_file())
            return
        if self.tally.skipped:
            of_all = "" if self.found.items is None else f"of {self.found.items} "
            say(f"{target.folder}: {self.tally.skipped} {of_all}inputs are in shards, skipped")
        stock = Stock(target)
        settle_failures(target.folder, stock.keys.__contains__)
        if self.tally.many:
            self._write_card(target, stock)

    def _write_card(self, target: "ShardTarget", stock: "Stock") -> None:
        from encodec_cli.tokens import CardFacts, write_card
        from encodec_cli.tokens.failures import read_failures

        facts = CardFacts(
            format=target.to,
            files=[target.first(number) for number in sorted(stock.numbers)],
            command=["encodec-cli", *sys.argv[1:]],
            items=len(stock.keys),
            seconds=sum(record.seconds for record in stock.records),
            failed=len(read_failures(target.folder)),
            arrangement=target.arrangement,
            kinds=self.found.kinds or {},
        )
        write_card(target.folder, facts)
