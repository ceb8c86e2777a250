"""Where code models are: in files that were named, beside their audio model, in the package."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.errors import CheckpointError
from encodec_cli.io.bundled import checkpoints_folder

__all__ = ["SUFFIX", "FoundModel", "beside", "code_model_named", "code_model_of", "load_code_model"]

SUFFIX = ".codes"
"""How the names of code models' files end."""
_AT_ONCE = 4


class FoundModel(NamedTuple):
    """A code model and its file."""

    path: Path
    model: CodeModel


def load_code_model(path: Path) -> CodeModel:
    """The code model in a file, read once as long as the file stays as it is.

    Raises:
        CheckpointError: see `CodeModel.load`.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
    return _load(path.resolve(), stat.st_mtime_ns, stat.st_size)


def beside(model_file: Path) -> Path | None:
    """The file of a code model that lies beside its audio model: `a.codes`."""
    path = model_file.with_name(model_file.stem + SUFFIX)
    return path if path.is_file() else None


def code_model_named(digits: str, files: Sequence[Path] = ()) -> FoundModel | None:
    """The code model whose hash starts with `digits`: from `files`, else from the package.

    Raises:
        CheckpointError: a file cannot be read.
    """
    for path in _candidates(files):
        model = load_code_model(path)
        if model.sha256.startswith(digits):
            return FoundModel(path, model)
    return None


def code_model_of(model_sha256: str, files: Sequence[Path] = ()) -> FoundModel | None:
    """The code model for codes of the audio model of this hash; see `code_model_named`.

    Raises:
        CheckpointError: a file cannot be read.
    """
    for path in _candidates(files):
        # Most are of other audio models, which their metadata tell.
        if _audio_model(path) in (None, model_sha256):
            model = load_code_model(path)
            if model.model_sha256 == model_sha256:
                return FoundModel(path, model)
    return None


def _candidates(files: Sequence[Path]) -> list[Path]:
    return [*files, *sorted(checkpoints_folder().glob(f"*{SUFFIX}"))]


def _audio_model(path: Path) -> str | None:
    """The hash of the audio model that a file says it is for; None if it cannot be read."""
    try:
        with safe_open(path, framework="numpy") as file:
            return str((file.metadata() or {}).get("model"))
    except (SafetensorError, OSError):
        return None


@lru_cache(maxsize=_AT_ONCE)
def _load(path: Path, mtime_ns: int, size: int) -> CodeModel:
    return CodeModel.load(path)
