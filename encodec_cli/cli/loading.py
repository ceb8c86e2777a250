"""Loading the model that a command was told to use."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.cli.console import count, say, warn
from encodec_cli.cli.options import DTypeName
from encodec_cli.cli.wording import assumption
from encodec_cli.io.cores import usable_cores

if TYPE_CHECKING:
    from encodec_cli.checkpoints.choice import ModelChoice
    from encodec_cli.config.codec import CodecConfig
    from encodec_cli.engine.lm.model import LanguageModel
    from encodec_cli.model.codec import Codec
    from encodec_cli.pipeline.reports import Place

__all__ = [
    *("choice", "code_models", "expected_seconds", "lasting", "load", "load_lm"),
]

_BYTES_PER_SECOND = {".ecdc": 750, ".wav": 96_000, ".wave": 96_000, ".aif": 96_000}
_COMPRESSED_BYTES_PER_SECOND = 16_000


def load(
    name: str,
    device: str,
    threads: int | None,
    dtype: DTypeName = DTypeName.fp32,
    *,
    seconds: float | None = None,
    verbose: bool = False,
    config: Path | None = None,
) -> "Codec":
    """Model `name` on `device` ("auto" is a GPU if there is one), with `threads` CPU threads.

    `seconds` and `config` are those of `load_model`. What was assumed of the model is said.

    Raises:
        CheckpointError, UsageError: see `load_model`, and `check_bf16` for `dtype`.
    """
    threads = threads or usable_cores()
    chosen = choice(name, device, threads, dtype, config=config)
    codec = chosen.codec(seconds)
    if codec.assumed is not None:
        warn(assumption(name, codec.assumed))
    if verbose:
        say(f"{codec.config.name}: runs on {codec.runs_on}, {count(threads, 'thread')}")
    return codec


def lasting(name: str, *, quiet: bool = False) -> str:
    """The model to code with where `name` was asked for; a copy of weights that will be replaced.

    Raises:
        CheckpointError: see `lasting_weights`.
    """
    from encodec_cli.checkpoints.card import find_model
    from encodec_cli.checkpoints.lasting import lasting_weights

    found = find_model(name)
    path = lasting_weights(found)
    if path == found:
        return name
    if not quiet:
        say(f"{name}: its training goes on; what is coded now decodes with {path}, a copy")
    return str(path)


def choice(
    name: str,
    device: str,
    threads: int,
    dtype: DTypeName = DTypeName.fp32,
    *,
    config: Path | None = None,
    lm: str | None = None,
) -> "ModelChoice":
    """What `load` loads, as data."""
    from encodec_cli.checkpoints.choice import ModelChoice

    return ModelChoice(
        name=name,
        device=device,
        dtype="bfloat16" if dtype is DTypeName.bf16 else "float32",
        threads=threads,
        config=config,
        lm=lm,
    )


def expected_seconds(sources: "Iterable[Place]") -> float | None:
    """About how much audio these files hold, by their sizes; None if there are pipes."""
    total = 0.0
    for source in sources:
        if not isinstance(source, Path) or not source.is_file():
            return None
        size = source.stat().st_size
        total += size / _BYTES_PER_SECOND.get(source.suffix.lower(), _COMPRESSED_BYTES_PER_SECOND)
    return total


def code_models(
    named: Path | None, model: str | None = None, sha256: str | None = None
) -> tuple[Path, ...]:
    """Files to look for code models in: the one that was `named`, then the one beside `model`.

    Raises:
        UsageError, CheckpointError: see `code_model_files`, and `find_model`.
    """
    from encodec_cli.checkpoints.card import find_model
    from encodec_cli.container.coders import code_model_files

    return code_model_files(named, None if model is None else find_model(model), sha256)


def load_lm(name: str | None, config: "CodecConfig") -> "LanguageModel | None":
    """Language model `name` for codes of the model of `config`; None if none was asked for.

    Raises:
        CheckpointError, UsageError: see `load_language_model`.
    """
    if name is None:
        return None

    from encodec_cli.checkpoints.language_model import load_language_model

    return load_language_model(name, config)
