"""`tokens`: codes for other programs."""

from collections.abc import Callable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encodec_cli.cli import options
from encodec_cli.cli.batch import (
    AUDIO_SUFFIXES,
    ECDC_SUFFIXES,
    Job,
    Kinds,
    plan_jobs,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, printable, progress_bar, say, warn
from encodec_cli.cli.loading import code_models, expected_seconds, load, load_lm
from encodec_cli.cli.running import Manner, begin, end, one_by_one
from encodec_cli.cli.summary import Tally
from encodec_cli.cli.wording import in_options
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.io.cores import usable_cores
from encodec_cli.io.files import atomic_output, make_folder

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.codec import Codec
    from encodec_cli.tokens import TokenItem

__all__ = ["tokens"]

_DEFAULT_SHARD_MB = 100.0


class TokenFormat(StrEnum):
    npz = "npz"
    safetensors = "safetensors"
    parquet = "parquet"
    webdataset = "webdataset"


def tokens(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Audio or .ecdc; folders with -r.",
            autocompletion=complete_files(AUDIO_SUFFIXES | ECDC_SUFFIXES),
        ),
    ],
    to: Annotated[TokenFormat, typer.Option(help="File format; see docs/tokens.md.")],
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder for the outputs.")],
    bandwidth: options.UsualBandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    config: options.ModelConfig = None,
    lm: options.LanguageModel = None,
    code_model: options.CodeModel = None,
    shard_size: Annotated[
        float | None,
        typer.Option(
            metavar="MB",
            help="Codes in a shard (parquet, webdataset): MB at two bytes each; "
            f"{_DEFAULT_SHARD_MB:g} unless given.",
        ),
    ] = None,
    recursive: options.Recursive = False,
    keep_suffix: options.KeepSuffix = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    device: options.Device = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
    verbose: options.Verbose = False,
) -> None:
    """Write codes [K, T] for other programs: uint16, with rates, source and model.

    npz and safetensors: one file per input. parquet and webdataset: numbered shards;
    --skip-existing goes on where a run was stopped. .ecdc inputs need no model.
    `decode` turns all of these back into audio.

    Example: encodec-cli tokens talk.wav --to npz -o codes

    Example: encodec-cli tokens -r talks --to webdataset -o shards
    """
    bandwidth, n_q = options.rate_choice(context, bandwidth, n_q)
    sharded = to in (TokenFormat.parquet, TokenFormat.webdataset)
    suffix = ".tar" if to is TokenFormat.webdataset else f".{to.value}"
    _check_options(sharded, shard_size, force, skip_existing)
    plan = plan_jobs(
        inputs,
        Kinds(AUDIO_SUFFIXES | ECDC_SUFFIXES, suffix, keep_suffix),
        output_dir=output_dir,
        recursive=recursive,
    )
    manner = Manner(
        force=force, skip_existing=skip_existing and not sharded, quiet=quiet, json=json
    )
    jobs, tally = begin(plan, manner)
    keys = _keys(jobs, output_dir)
    numbers = {job: number for number, job in enumerate(jobs, start=1)}

    @cache
    def codec() -> "Codec":
        seconds = expected_seconds(job.source for job in jobs if not _is_ecdc(job))
        return load(model, device, threads, dtype, seconds=seconds, verbose=verbose, config=config)

    @cache
    def language_model() -> "LanguageModel | None":
        return None if lm is None else load_lm(lm, codec().config)

    def make(job: Job) -> "TokenItem":
        from encodec_cli.pipeline.encode import EncodeOptions
        from encodec_cli.pipeline.token_jobs import CodesJob, StoredCodesJob

        assert isinstance(job.source, Path)
        name = _source_name(job, output_dir)
        if _is_ecdc(job):
            stored = StoredCodesJob(
                job.source, keys[job], name, bandwidth, n_q, code_models(code_model)
            )
            return stored.run(lm=language_model())
        codebooks = codec().config.choose_codebooks(bandwidth, n_q)
        coding = CodesJob(job.source, keys[job], name, EncodeOptions(n_q=codebooks, tags=None))
        label = f"{numbers[job]} of {len(jobs)}: {job.source.name}"
        with progress_bar(label, quiet=quiet) as progress:
            return coding.run(codec(), threads=threads or usable_cores(), progress=progress)

    def report(job: Job, target: Path, item: "TokenItem") -> None:
        tally.add(_seconds(item) or 0.0, 0)
        if json:
            print_json(_as_dict(job, target, item))
        elif not quiet:
            books, frames = item.codes.shape
            say(f"{job.source} -> {target}: {count(books, 'codebook')}, {count(frames, 'frame')}")

    if sharded:
        most_bytes = round((_DEFAULT_SHARD_MB if shard_size is None else shard_size) * 1e6)
        code = _run_sharded(
            jobs, keys, output_dir, suffix, most_bytes, skip_existing, make, report, tally
        )
    else:
        from encodec_cli.tokens import write_item

        def work(job: Job) -> bool:
            assert isinstance(job.target, Path)
            make_folder(job.target.parent)
            item = make(job)
            with atomic_output(job.target, force=force) as file:
                write_item(file, item, suffix)
            report(job, job.target, item)
            return True

        code = one_by_one(jobs, work, alone=not tally.many, tally=tally)
    end(tally, manner, code)


def _check_options(
    sharded: bool,
    shard_size: float | None,
    force: bool,
    skip_existing: bool,
) -> None:
    if force and skip_existing:
        raise UsageError("give --force or --skip-existing, not both")
    if sharded and force:
        raise UsageError("--force: shards are never overwritten; name another folder")
    if shard_size is not None:
        if not sharded:
            raise UsageError("--shard-size: is for --to parquet and webdataset")
        if not 0 < shard_size < 1e6:
            raise UsageError(f"--shard-size {shard_size:g}: give MB above 0, below a million")


def _keys(jobs: list[Job], output_dir: Path) -> dict[Job, str]:
    """A key for each job: where its output would lie in the folder, without dots."""
    keys: dict[Job, str] = {}
    owner: dict[str, Job] = {}
    for job in jobs:
        assert isinstance(job.target, Path)
        relative = job.target.relative_to(output_dir).with_suffix("").as_posix()
        # WebDataset ends a key at the first dot.
        keys[job] = printable(relative).replace(".", "_").replace("\\", "_")
        other = owner.setdefault(keys[job], job)
        if other is not job:
            raise UsageError(
                f"{other.source} and {job.source} would both be named {keys[job]}; "
                "give them separately, or rename one"
            )
    return keys


def _source_name(job: Job, output_dir: Path) -> str:
    """The input's path below the folder that was given, on one line."""
    assert isinstance(job.source, Path)
    assert isinstance(job.target, Path)
    folder = job.target.relative_to(output_dir).parent
    return printable((folder / job.source.name).as_posix())


def _is_ecdc(job: Job) -> bool:
    return isinstance(job.source, Path) and job.source.suffix.lower() in ECDC_SUFFIXES


def _run_sharded(
    jobs: list[Job],
    keys: dict[Job, str],
    folder: Path,
    suffix: str,
    most_bytes: int,
    resume: bool,
    make: Callable[[Job], "TokenItem"],
    report: Callable[[Job, Path, "TokenItem"], None],
    tally: Tally,
) -> int:
    """Do each job that no shard has, whatever became of the others; returns the exit code."""
    from encodec_cli.tokens import ShardWriter

    exit_code = 0
    with ShardWriter(folder, suffix, most_bytes=most_bytes, resume=resume) as writer:
        todo = [job for job in jobs if keys[job] not in writer.keys]
        if len(todo) < len(jobs):
            tally.skipped += len(jobs) - len(todo)
            say(f"{folder}: {len(jobs) - len(todo)} of {len(jobs)} inputs are in shards, skipped")
        for job in todo:
            try:
                item = make(job)
            except EncodecCliError as error:
                warn(in_options(error), label="error", style="bold red")
                tally.failed += 1
                exit_code = 1 if tally.many else error.exit_code
                continue
            report(job, writer.add(item), item)  # a shard that cannot be written ends the run
    return exit_code


def _as_dict(job: Job, target: Path, item: "TokenItem") -> dict[str, str | int | float | None]:
    info, seconds = item.info, _seconds(item)
    return {
        "source": str(job.source),
        "target": str(target),
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
