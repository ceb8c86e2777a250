"""`tokens`: codes for other programs."""

import tempfile
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
    plan_jobs,
    run_jobs,
)
from encodec_cli.cli.completion import complete_files
from encodec_cli.cli.console import count, print_json, printable, progress_bar, say, warn
from encodec_cli.cli.inspect import stored_codebooks
from encodec_cli.cli.loading import load, load_lm
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError
from encodec_cli.io.files import atomic_output, open_input

if TYPE_CHECKING:
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.module import CompressionModel
    from encodec_cli.tokens import TokenItem

__all__ = ["tokens"]

_DEFAULT_SHARD_MB = 100.0


class TokenFormat(StrEnum):
    npz = "npz"
    safetensors = "safetensors"
    parquet = "parquet"
    webdataset = "webdataset"


def tokens(
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
    bandwidth: options.Bandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    lm: options.LanguageModel = None,
    shard_size: Annotated[
        float | None,
        typer.Option(
            metavar="MB",
            help="Codes in a shard (parquet, webdataset): MB at two bytes each.",
            show_default=f"{_DEFAULT_SHARD_MB:g}",
        ),
    ] = None,
    recursive: options.Recursive = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    device: options.Device = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
) -> None:
    """Write codes [K, T] for other programs: uint16, with rates, source and model.

    npz and safetensors: one file per input. parquet and webdataset: numbered shards;
    --skip-existing goes on where a run was stopped. .ecdc inputs need no model.
    `decode` turns all of these back into audio.
    """
    sharded = to in (TokenFormat.parquet, TokenFormat.webdataset)
    suffix = ".tar" if to is TokenFormat.webdataset else f".{to.value}"
    _check_options(sharded, shard_size, force, skip_existing, bandwidth, n_q)
    jobs = plan_jobs(
        inputs,
        output_dir=output_dir,
        recursive=recursive,
        from_suffixes=AUDIO_SUFFIXES | ECDC_SUFFIXES,
        to_suffix=suffix,
    )
    keys = _keys(jobs, output_dir)

    @cache
    def loaded() -> "CompressionModel":
        return load(model, device, threads, dtype)

    @cache
    def language_model() -> "LanguageModel | None":
        return None if lm is None else load_lm(lm, loaded())

    def make(job: Job) -> "TokenItem":
        if isinstance(job.source, Path) and job.source.suffix.lower() in ECDC_SUFFIXES:
            return _stored_item(job, keys[job], output_dir, bandwidth, n_q, language_model())
        return _coded_item(job, keys[job], output_dir, loaded(), bandwidth, n_q, quiet)

    def report(job: Job, target: Path, item: "TokenItem") -> None:
        if json:
            print_json(_as_dict(job, target, item))
        elif not quiet:
            books, frames = item.codes.shape
            say(f"{job.source} -> {target}: {count(books, 'codebook')}, {count(frames, 'frame')}")

    if sharded:
        most_bytes = round((_DEFAULT_SHARD_MB if shard_size is None else shard_size) * 1e6)
        code = _run_sharded(jobs, keys, output_dir, suffix, most_bytes, skip_existing, make, report)
    else:
        from encodec_cli.tokens import write_item

        def work(job: Job) -> bool:
            assert isinstance(job.target, Path)
            item = make(job)
            with atomic_output(job.target, force=force) as file:
                write_item(file, item, suffix)
            report(job, job.target, item)
            return True

        code = run_jobs(jobs, work, skip_existing=skip_existing, make_folders=True, quiet=quiet)
    if code:
        raise typer.Exit(code)


def _check_options(
    sharded: bool,
    shard_size: float | None,
    force: bool,
    skip_existing: bool,
    bandwidth: float | None,
    n_q: int | None,
) -> None:
    if bandwidth is not None and n_q is not None:
        raise UsageError("give --bandwidth or --n-q, not both")
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


def _stored_item(
    job: Job,
    key: str,
    output_dir: Path,
    bandwidth: float | None,
    n_q: int | None,
    lm: "LanguageModel | None",
) -> "TokenItem":
    """The codes of an `.ecdc` file."""
    from encodec_cli.container import EcdcReader
    from encodec_cli.tokens import ecdc_item

    assert isinstance(job.source, Path)
    with open_input(job.source) as file:
        try:
            reader = EcdcReader(file, lm=lm)
            kept = reader.header.codebooks
            if bandwidth is not None or n_q is not None:
                kept = stored_codebooks(reader.header, bandwidth, n_q)
            return ecdc_item(reader, key, _source_name(job, output_dir), kept)
        except (ContainerError, UsageError) as error:
            raise type(error)(f"{job.source}: {error}") from error


def _coded_item(
    job: Job,
    key: str,
    output_dir: Path,
    model: "CompressionModel",
    bandwidth: float | None,
    n_q: int | None,
    quiet: bool,
) -> "TokenItem":
    """The codes of audio, by way of an `.ecdc` file."""
    from encodec_cli.container import EcdcReader
    from encodec_cli.pipeline.files import encode_file
    from encodec_cli.stream.signals import choose_codebooks
    from encodec_cli.tokens import ecdc_item

    codebooks = choose_codebooks(model, bandwidth, n_q)
    with tempfile.TemporaryDirectory(prefix="encodec-cli-") as temporary:
        packed = Path(temporary) / "audio.ecdc"
        with progress_bar(str(job.source), quiet=quiet) as progress:
            encode_file(model, job.source, packed, n_q=codebooks, progress=progress)
        with packed.open("rb") as file:
            return ecdc_item(EcdcReader(file), key, _source_name(job, output_dir))


def _run_sharded(
    jobs: list[Job],
    keys: dict[Job, str],
    folder: Path,
    suffix: str,
    most_bytes: int,
    resume: bool,
    make: Callable[[Job], "TokenItem"],
    report: Callable[[Job, Path, "TokenItem"], None],
) -> int:
    """Do each job that no shard has, whatever became of the others; returns the exit code."""
    from encodec_cli.tokens import ShardWriter

    exit_code = 0
    with ShardWriter(folder, suffix, most_bytes=most_bytes, resume=resume) as writer:
        todo = [job for job in jobs if keys[job] not in writer.keys]
        if len(todo) < len(jobs):
            say(f"{folder}: {len(jobs) - len(todo)} of {len(jobs)} inputs are in shards, skipped")
        for job in todo:
            try:
                item = make(job)
            except EncodecCliError as error:
                warn(str(error), label="error", style="bold red")
                exit_code = error.exit_code if len(jobs) == 1 else 1
                continue
            report(job, writer.add(item), item)  # a shard that cannot be written ends the run
    return exit_code


def _as_dict(job: Job, target: Path, item: "TokenItem") -> dict[str, str | int | float | None]:
    info = item.info
    seconds = None
    if info.num_samples is not None and info.sample_rate is not None:
        seconds = round(info.num_samples / info.sample_rate, 4)
    return {
        "source": str(job.source),
        "target": str(target),
        "key": item.key,
        "model": info.model,
        "codebooks": int(item.codes.shape[0]),
        "frames": int(item.codes.shape[1]),
        "seconds": seconds,
    }
