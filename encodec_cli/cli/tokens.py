"""`tokens`: codes for other programs."""

import typer

from encodec_cli.cli import options
from encodec_cli.cli.corpus_options import AudioRoot, CorpusInputs, Manifests, corpus_of
from encodec_cli.cli.option_values import rate_choice
from encodec_cli.cli.run_options import Devices, Part, Ray, RayWorkers, where_of
from encodec_cli.cli.running import Manner
from encodec_cli.cli.token_options import (
    Bos,
    CodeDType,
    Eos,
    FirstCode,
    Flat,
    Layout,
    OutputFolder,
    Pattern,
    Separator,
    ShardSize,
    Special,
    To,
    WrittenPattern,
    token_output,
)
from encodec_cli.cli.token_running import Coding, run_tokens
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.errors import UsageError

__all__ = ["tokens"]


def tokens(
    context: typer.Context,
    to: To,
    output_dir: OutputFolder,
    inputs: CorpusInputs = None,
    manifest: Manifests = None,
    audio_root: AudioRoot = None,
    bandwidth: options.UsualBandwidth = None,
    n_q: options.NQ = None,
    model: options.Model = DEFAULT_MODEL,
    config: options.ModelConfig = None,
    lm: options.LanguageModel = None,
    code_model: options.CodeModel = None,
    shard_size: ShardSize = None,
    layout: Layout = None,
    code_dtype: CodeDType = None,
    pattern: Pattern = WrittenPattern.none,
    special: Special = None,
    flat: Flat = None,
    offset: FirstCode = 0,
    separator: Separator = None,
    bos: Bos = None,
    eos: Eos = None,
    recursive: options.Recursive = False,
    keep_suffix: options.KeepSuffix = False,
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
    progress: options.Progress = False,
    part: Part = None,
    ray: Ray = False,
    ray_workers: RayWorkers = None,
    device: Devices = "auto",
    dtype: options.DType = options.DTypeName.fp32,
    threads: options.Threads = None,
    verbose: options.Verbose = False,
) -> None:
    """Write codes [K, T] for other programs: uint16, with rates, source and model.

    npz and safetensors: one file per input. parquet, webdataset, shar and jsonl: numbered shards;
    --skip-existing goes on where a run was stopped. .ecdc inputs need no model.
    `decode` turns all of these back into audio.

    Example: encodec-cli tokens talk.wav --to npz -o codes

    Example: encodec-cli tokens -r talks --to webdataset -o shards
    """
    from encodec_cli.tokens import Arrangement

    bandwidth, n_q = rate_choice(context, bandwidth, n_q)
    if force and skip_existing:
        raise UsageError("give --force or --skip-existing, not both")
    arrangement = Arrangement(
        layout=None if layout is None else layout.value,
        code_dtype=None if code_dtype is None else code_dtype.value,
        pattern=pattern.value,
        special=special,
        flat=None if flat is None else flat.value,
        offset=offset,
        separator=separator,
        bos=bos,
        eos=eos,
    )
    output = token_output(to, output_dir, shard_size, arrangement)
    if force and output.most_bytes is not None:
        raise UsageError("--force: shards are never overwritten; name another folder")
    where = where_of(part, device, threads, ray, ray_workers)
    coding = Coding(
        bandwidth=bandwidth,
        n_q=n_q,
        model=model,
        config=config,
        lm=lm,
        code_model=code_model,
        dtype=dtype,
        verbose=verbose,
        quiet=quiet,
    )
    manner = Manner(
        force=force, skip_existing=skip_existing, quiet=quiet, json=json, progress=progress
    )
    corpus = corpus_of(inputs, manifest, audio_root, recursive=recursive, keep_suffix=keep_suffix)
    run_tokens(corpus, coding, output, where, manner)
