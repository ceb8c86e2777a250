"""Which code model a file's chunks are coded with, or which one an encoder is to use."""

from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder
from encodec_cli.errors import ContainerError, parameter

__all__ = ["check_coder", "find_coder", "has_coder"]


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
    if coder.codebooks < header.codebooks or coder.bins > 1 << header.bits:
        raise ContainerError(
            f"{header.codebooks} codebooks of {header.bits} bits: code model {_short(named)} has "
            f"{coder.codebooks} of {coder.bins} codes; is the file damaged?"
        )
    return coder


def find_coder(header: Header) -> ChunkCoder:
    """The code model that `header` names, from those that ship with the package.

    Raises:
        ContainerError: it is not there.
    """
    raise ContainerError(
        f"coded with code model {_short(header.code_model)} of {header.model}, which is not here; "
        f"name its file with {parameter('code_model')}"
    )


def has_coder(header: Header) -> bool:
    """Whether `find_coder` would find what `header` needs, if it needs anything."""
    try:
        return header.code_model is None or check_coder(header, find_coder(header)) is not None
    except ContainerError:
        return False


def _short(digits: str | None) -> str:
    return "none" if digits is None else f"{digits[:16]}..."
