"""What a file that is offered as a checkpoint is, told from its bytes and names; needs no torch.

People download the wrong thing all the time: an error page, a pointer, another codec. Each is
called what it is, so that they know what to fetch instead.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from encodec_cli.checkpoints.foreign.hub_folder import INDEX_SUFFIX
from encodec_cli.errors import CheckpointError, UsageError, parameter

__all__ = ["HUB_CONFIG", "Layout", "describe_tensors", "identify", "refuse_config", "refuse_start"]

Layout = Literal["ours", "huggingface", "torch", "tensors"]
"""Ours; with a config.json; a file of torch.save; a safetensors file of Meta's names alone."""

HUB_CONFIG = "config.json"
_META_START = re.compile(r"(^|\.)encoder\.(_orig_mod\.|module\.)?model\.0\.conv\.")
# torch.save writes a zip archive, or a bare pickle before torch 1.6.
_TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
# A protobuf whose first field is a small number, ir_version, and whose second is text or a message.
_ONNX_START = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x3a]")
_TEXTS = (
    (
        "version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the weights; run: git lfs pull",
    ),
    ("<!doctype html", "an HTML page under this name; download the file itself"),
    ("<html", "an HTML page under this name; download the file itself"),
    ("<head", "an HTML page under this name; download the file itself"),
    ("<?xml", "an XML page under this name; download the file itself"),
    ("{", "JSON text, not weights; name the folder or the weights file beside it"),
)
_MAGICS = (
    (b"lmgg", "a GGML file (of encodec.cpp, say); name the checkpoint it was made from"),
    (b"ggml", "a GGML file (of encodec.cpp, say); name the checkpoint it was made from"),
    (b"GGUF", "a GGUF file; name the checkpoint it was made from"),
    (b"ECDC", "coded audio, not a model; decode it"),
)
# Names that only that model's tensors have.
_TENSORS = (
    (
        r"quantizer\.quantizers\.\d+\.(in_proj|codebook)\..*|encoder\.block\.\d+\.block\..*\.alpha",
        "weights of the Descript Audio Codec (DAC)",
    ),
    (r"encoder_transformer\..*|quantizer\.(semantic|rvq_first).*", "weights of Mimi (Moshi)"),
    (r"audio_encoder\..*", "weights of a whole MusicGen, codec included; name its codec's own"),
    (r"transformer\.norm_in\..*", "Meta's language model for EnCodec, not a codec"),
    (
        r"condition_provider\..*|out_norm\..*|transformer\.layers\..*",
        "a language model of audiocraft (state_dict.bin); "
        "its codec is the compression_state_dict.bin beside it",
    ),
)


def identify(path: Path) -> Layout:
    """Who laid out the checkpoint at `path`, a file or a folder.

    Raises:
        CheckpointError: missing, unreadable, or something known that is no codec of this family.
    """
    if path.is_dir():
        if (path / HUB_CONFIG).is_file():
            return "huggingface"
        raise CheckpointError(
            f"{path}: is a folder; name a checkpoint file inside it "
            f"(only those with {HUB_CONFIG} inside can be named as a whole)"
        )
    if path.name.endswith(INDEX_SUFFIX) and (path.parent / HUB_CONFIG).is_file():
        return "huggingface"
    if refuse_start(path)[:4] in _TORCH_STARTS:
        return "torch"
    return _identify_safetensors(path)


def refuse_config(path: Path, layout: Layout, config: Path | None) -> None:
    """Refuse to be told about a model that says everything itself.

    Raises:
        UsageError: a `config` is named for a model of ours.
    """
    if layout == "ours" and config is not None:
        raise UsageError(
            f"{parameter('config')}: {path} is a model of encodec-cli, which says all of it; "
            "it is for other programs' weights"
        )


def refuse_start(path: Path) -> bytes:
    """The first bytes of the file at `path`, unless they show that it holds no weights.

    Raises:
        CheckpointError: missing, unreadable, or something known that holds none.
    """
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
    described = _describe_start(start, path.suffix.lower())
    if described is not None:
        raise CheckpointError(f"{path}: {described}")
    return start


def describe_tensors(names: Collection[str]) -> str | None:
    """What a checkpoint with tensors of these names is, if it is known and not a codec we read."""
    if "encoder.block.0.parametrizations.weight.original0" in names:
        return "weights of SNAC; this program runs EnCodec models"
    for pattern, what in _TENSORS:
        if any(re.fullmatch(pattern, name) for name in names):
            return f"{what}; this program runs EnCodec models"
    return None


def _describe_start(start: bytes, suffix: str) -> str | None:
    if not start:
        return "is empty; download or copy it again"
    if start[:4] in _TORCH_STARTS:
        return None
    for magic, what in _MAGICS:
        if start.startswith(magic):
            return what
    text = start.decode("latin-1").lstrip("\ufeff\xef\xbb\xbf \t\r\n").lower()
    for beginning, what in _TEXTS:
        if text.startswith(beginning):
            return what
    # A small safetensors header could begin like a protobuf; its brace gives it away.
    if suffix == ".onnx" or (_ONNX_START.match(start) and start[8:9] != b"{"):
        return "an ONNX graph; name the checkpoint it was exported from"
    return None


def _identify_safetensors(path: Path) -> Layout:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError) as error:
        line = " ".join(str(error).split())
        if path.suffix != ".safetensors":
            line = "neither a file of torch.save nor of safetensors; is it a model at all?"
            raise CheckpointError(f"{path}: {line}") from error
        raise CheckpointError(f"{path}: not a readable safetensors file: {line}") from error
    if metadata.get("format") == "encodec-cli":
        return "ours"
    if (path.parent / HUB_CONFIG).is_file():
        return "huggingface"
    if any(_META_START.search(name) for name in names):
        return "tensors"
    described = describe_tensors(names)
    if described is None and any(name.startswith("encoder.layers.") for name in names):
        described = f"Hugging Face's EnCodec without its {HUB_CONFIG}; put that beside it"
    if described is None:
        described = (
            "a safetensors file, but not a model of encodec-cli "
            f"(no format: encodec-cli in its metadata, no {HUB_CONFIG} beside it)"
        )
    raise CheckpointError(f"{path}: {described}")
