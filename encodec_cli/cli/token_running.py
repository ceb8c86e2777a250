"""How `tokens` does its jobs, and what it says of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.cli.batch import Job, Plan
from encodec_cli.cli.console import count, print_json, progress_bar, say, warn
from encodec_cli.cli.corpus_options import is_ecdc, keys_of, source_name
from encodec_cli.cli.loading import code_models, expected_seconds, load, load_lm
from encodec_cli.cli.options import DTypeName
from encodec_cli.cli.running import Manner, begin, end, one_by_one
from encodec_cli.cli.summary import Tally
from encodec_cli.cli.token_options import TokenTarget
from encodec_cli.cli.wording import in_options
from encodec_cli.corpus import AudioFile, CorpusItem
from encodec_cli.errors import EncodecCliError
from encodec_cli.io.cores import usable_cores
from encodec_cli.io.files import atomic_output, make_folder

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.codec import Codec
    from encodec_cli.tokens import TokenItem

__all__ = ["Coding", "run_tokens"]


@dataclass(frozen=True, kw_only=True)
class Coding:
    """The options that say how audio becomes codes."""

    bandwidth: float | None
    n_q: int | None
    model: str
    config: Path | None
    lm: str | None
    code_model: Path | None
    device: str
    dtype: DTypeName
    threads: int | None
    verbose: bool


class _Coder:
    """Makes items of jobs; loads the model when the first one needs it."""

    def __init__(self, coding: Coding, jobs: list[Job], folder: Path, *, quiet: bool) -> None:
        self._coding, self._jobs, self._folder, self._quiet = coding, jobs, folder, quiet
        self._numbers = {job: number for number, job in enumerate(jobs, start=1)}
        self.keys = keys_of(jobs, folder)

    @cached_property
    def _codec(self) -> "Codec":
        of = self._coding
        seconds = expected_seconds(job.source for job in self._jobs if not is_ecdc(job))
        return load(
            of.model,
            of.device,
            of.threads,
            of.dtype,
            seconds=seconds,
            verbose=of.verbose,
            config=of.config,
        )

    @cached_property
    def _language_model(self) -> "LanguageModel | None":
        return None if self._coding.lm is None else load_lm(self._coding.lm, self._codec.config)

    def make(self, job: Job) -> "TokenItem":
        from encodec_cli.pipeline.encode import EncodeOptions
        from encodec_cli.pipeline.token_jobs import CodesJob, StoredCodesJob

        assert isinstance(job.source, Path)
        of, key, name = self._coding, self.keys[job], source_name(job, self._folder)
        corpus_item = CorpusItem(key=key, audio=AudioFile(job.source), source=name)
        if is_ecdc(job):
            models = code_models(of.code_model)
            stored = StoredCodesJob(corpus_item, of.bandwidth, of.n_q, models)
            return stored.run(lm=self._language_model)
        codebooks = self._codec.config.choose_codebooks(of.bandwidth, of.n_q)
        coding = CodesJob(corpus_item, EncodeOptions(n_q=codebooks, tags=None))
        label = f"{self._numbers[job]} of {len(self._jobs)}: {job.source.name}"
        with progress_bar(label, quiet=self._quiet) as progress:
            threads = of.threads or usable_cores()
            return coding.run(self._codec, threads=threads, progress=progress)


def run_tokens(plan: Plan, coding: Coding, target: TokenTarget, manner: Manner) -> None:
    """Do what there is to do, say it, and end with its exit code.

    Raises:
        typer.Exit: not all is well.
    """
    sharded = target.most_bytes is not None  # then keys in shards tell what is there, not names
    skip = manner.skip_existing and not sharded
    jobs, tally = begin(plan, replace(manner, skip_existing=skip))
    coder = _Coder(coding, jobs, target.folder, quiet=manner.quiet)

    def report(job: Job, path: Path, item: "TokenItem") -> None:
        tally.add(_seconds(item) or 0.0, 0)
        if manner.json:
            print_json(_as_dict(job, path, item))
        elif not manner.quiet:
            books, frames = item.codes.shape
            say(f"{job.source} -> {path}: {count(books, 'codebook')}, {count(frames, 'frame')}")

    if sharded:
        code = _run_sharded(jobs, coder, target, manner, report, tally)
    else:
        from encodec_cli.tokens import SINGLE_FORMATS

        write = SINGLE_FORMATS[target.to.value].write

        def work(job: Job) -> bool:
            assert isinstance(job.target, Path)
            make_folder(job.target.parent)
            item = coder.make(job)
            with atomic_output(job.target, force=manner.force) as file:
                write(file, item, target.arrangement)
            report(job, job.target, item)
            return True

        code = one_by_one(jobs, work, alone=not tally.many, tally=tally)
    end(tally, manner, code)


def _run_sharded(
    jobs: list[Job],
    coder: _Coder,
    target: TokenTarget,
    manner: Manner,
    report: Callable[[Job, Path, "TokenItem"], None],
    tally: Tally,
) -> int:
    """Do each job that no shard has, whatever became of the others; returns the exit code."""
    from encodec_cli.tokens import SHARD_FORMATS, ShardWriter

    exit_code = 0
    folder, most, resume = target.folder, target.most_bytes or 0, manner.skip_existing
    files, how = SHARD_FORMATS[target.to.value], target.arrangement
    with ShardWriter(folder, files, how, most_bytes=most, resume=resume) as writer:
        todo = [job for job in jobs if coder.keys[job] not in writer.keys]
        if len(todo) < len(jobs):
            tally.skipped += len(jobs) - len(todo)
            say(f"{folder}: {len(jobs) - len(todo)} of {len(jobs)} inputs are in shards, skipped")
        for job in todo:
            try:
                item = coder.make(job)
            except EncodecCliError as error:
                warn(in_options(error), label="error", style="bold red")
                tally.failed += 1
                exit_code = 1 if tally.many else error.exit_code
                continue
            report(job, writer.add(item), item)  # a shard that cannot be written ends the run
    return exit_code


def _as_dict(job: Job, path: Path, item: "TokenItem") -> dict[str, str | int | float | None]:
    info, seconds = item.info, _seconds(item)
    return {
        "source": str(job.source),
        "target": str(path),
        "key": item.key,
        "model": info.model,
        "codebooks": int(item.codes.shape[0]),
        "frames": int(item.codes.shape[1]),
        "seconds": None if seconds is None else round(seconds, 4),
    }


def _seconds(item: "TokenItem") -> float | None:
    info = item.info
    if info.num_samples is None or info.sample_rate is None:
        return None
    return info.num_samples / info.sample_rate
