"""Which code model a file's chunks are coded with, or which one an encoder is to use."""

from collections.abc import Sequence
from pathlib import Path

from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder
from encodec_cli.errors import ContainerError, UsageError, parameter

__all__ = [
    "check_coder",
    "code_model_files",
    "coder_for",
    "describe_code_model",
    "find_coder",
    "require_coder",
    "suits",
]


def check_coder(header: Header, coder: ChunkCoder) -> ChunkCoder:
    """`coder`, if it is the one that `header` names and it knows such codes.

    Raises:
        ContainerError: it is not.
    """
    named = header.code_model
    if named is None or not coder.sha256.startswith(named[:16]):
        raise ContainerError(
            f"coded with code model {_short(named)}, but the one given is {_short(coder.sha256)}; "
            f"name its file with {parameter('code_model')}"
        )
    if not suits(header, coder):
        raise ContainerError(
            f"{header.codebooks} codebooks of {header.bits} bits: code model {_short(named)} has "
            f"{coder.codebooks} of {coder.bins} codes; is the file damaged?"
        )
    return coder


def code_model_files(
    named: Path | None, model_file: Path | None, model_sha256: str | None = None
) -> tuple[Path, ...]:
    """Files to look for code models in: the one that was `named`, then the one beside the model.

    Raises:
        UsageError: the named one is for another audio model than that of `model_sha256`.
        CheckpointError: it cannot be read.
    """
    from encodec_cli.entropy.library import beside, load_code_model

    found = [] if named is None else [named]
    if named is not None:
        model = load_code_model(named)
        if model_sha256 is not None and model.model_sha256 != model_sha256:
            raise UsageError(
                f"{named}: a code model for the audio model with SHA-256 "
                f"{model.model_sha256[:12]}..., not {model_sha256[:12]}..."
            )
    own = None if model_file is None else beside(model_file)
    return (*found, *([] if own is None else [own]))


def describe_code_model(model_file: Path, model_sha256: str) -> dict[str, str | int] | None:
    """Path, hash, bytes and codebooks of the code model that `coder_for` would find.

    Raises:
        CheckpointError: a file cannot be read.
    """
    from encodec_cli.entropy.library import code_model_of

    found = code_model_of(model_sha256, code_model_files(None, model_file))
    if found is None:
        return None
    return {
        "path": str(found.path),
        "sha256": found.model.sha256,
        "bytes": found.path.stat().st_size,
        "codebooks": found.model.codebooks,
    }


def suits(header: Header, coder: ChunkCoder) -> bool:
    """Whether `coder` knows as many codebooks, and gives no codes beyond their bits."""
    return coder.codebooks >= header.codebooks and coder.bins <= 1 << header.bits


def find_coder(header: Header, files: Sequence[Path] = ()) -> ChunkCoder | None:
    """The code model that `header` names: from `files`, else from those of the package.

    None if it is not there.

    Raises:
        CheckpointError: a file cannot be read.
    """
    if header.code_model is None:
        return None

    from encodec_cli.entropy.library import code_model_named

    found = code_model_named(header.code_model[:16], files)
    return None if found is None else found.model


def coder_for(header: Header, model_sha256: str, files: Sequence[Path]) -> ChunkCoder | None:
    """The code model for new codes of `header`, which the audio model of this hash makes.

    None if there is none, or it has fewer codebooks. See `find_coder`.
    """
    from encodec_cli.entropy.library import code_model_of

    found = code_model_of(model_sha256, files)
    return found.model if found is not None and suits(header, found.model) else None


def require_coder(header: Header, files: Sequence[Path] = ()) -> ChunkCoder:
    """As `find_coder`.

    Raises:
        ContainerError: it is not there.
    """
    found = find_coder(header, files)
    if found is None:
        raise ContainerError(
            f"coded with code model {_short(header.code_model)} of {header.model}, which is not "
            f"here; name its file with {parameter('code_model')}"
        )
    return found


def _short(digits: str | None) -> str:
    return "none" if digits is None else f"{digits[:16]}..."
