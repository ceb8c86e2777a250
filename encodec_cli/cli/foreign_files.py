"""What a file is that is no `.ecdc` file, as far as its first bytes and its contents say."""

import zipfile
from pathlib import Path
from typing import Literal

from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.text import shown

__all__ = ["is_foreign", "not_ecdc"]

_FOREIGN = "not an .ecdc file"
_BARK = ("fine_prompt", "coarse_prompt")
_MOST_NAMES = 4
_MOST_MEMBERS = 10_000


def is_foreign(error: ContainerError) -> bool:
    """Whether `error` says that the file is something else, rather than that it is damaged."""
    return str(error).startswith(_FOREIGN)


def not_ecdc(source: Path | Literal["-"], error: ContainerError) -> ContainerError:
    """`error` of reading `source`, about it; in better words if it is another program's file."""
    if is_foreign(error) and isinstance(source, Path):
        words = _kind(source)
        if words is not None:
            return ContainerError(f"{source}: {_FOREIGN} but {words}")
    return error.about(source)


def _kind(path: Path) -> str | None:
    """What `path` holds, and what to do with it; None if that is not known here."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return None
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(path)
    if head.startswith(b"\x93NUMPY"):
        return f"an array of numpy (.npy); if it holds codes, {_decode(path)}"
    if path.suffix.lower() == ".jsonl" and head.lstrip()[:1] in (b"{", b"["):
        return f"JSON Lines; if they hold codes, {_decode(path, folder=True)}"
    if head.startswith(b"PAR1"):
        return f"a Parquet file; if it holds codes, {_decode(path, folder=True)}"
    if head[257:262] == b"ustar":
        return f"a tar archive; if it holds codes (WebDataset), {_decode(path, folder=True)}"
    if head[8:9] == b"{" and head[:8].endswith(b"\0\0"):
        return _in_safetensors(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return "a pickle of Python (an old .pt or .th?); `models show` tells if it is a model"
    return None


def _in_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_MEMBERS]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return "a damaged zip file; get it again"
    if any(name.endswith("/data.pkl") for name in names):
        return (
            "a file of torch.save (.pt, .th); `models show` tells if it is a model, and tensors of "
            "codes are read from .npz or .safetensors"
        )
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not arrays:
        return "a zip file; unpack it first"
    listed = ", ".join(shown(name) for name in arrays[:_MOST_NAMES])
    more = f" and {len(arrays) - _MOST_NAMES} more" if len(arrays) > _MOST_NAMES else ""
    if not {"codes", *_BARK} & set(arrays):
        return f"an .npz file of numpy with the arrays {listed}{more}, none of them `codes`"
    return f"an .npz file of codes{_shape(path)}; {_decode(path)}"


def _in_safetensors(path: Path) -> str:
    shape = _shape(path)
    if shape:
        return f"a safetensors file of codes{shape}; {_decode(path)}"
    return "a safetensors file; `models show` tells if it is a model"


def _shape(path: Path) -> str:
    """The shape and model of a file of codes, if it is one."""
    from encodec_cli.tokens import BadItem, read_items

    try:
        item = next(iter(read_items(path)))
    except (EncodecCliError, OSError, StopIteration):
        return ""
    if isinstance(item, BadItem):
        return ""
    books, frames = item.codes.shape
    model = f", model {shown(item.info.model)}" if item.info.model else ""
    return f" [{books} codebooks, {frames} frames]{model}"


def _decode(path: Path, *, folder: bool = False) -> str:
    more = " -o FOLDER" if folder else ""
    return f"`encodec-cli decode {path.name}{more}` makes audio of it"
