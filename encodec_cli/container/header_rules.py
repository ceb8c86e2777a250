"""What the fields of a header may be, each by itself and together."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from encodec_cli.container.known_models import META_MODELS
from encodec_cli.errors import ContainerError
from encodec_cli.io.limits import (
    MAX_CHANNELS,
    MAX_CHUNK_FRAMES,
    MAX_CHUNK_SAMPLES,
    MAX_HOP,
    MAX_RATE_HZ,
    MIN_RATE_HZ,
)
from encodec_cli.io.text import shown

if TYPE_CHECKING:
    from encodec_cli.container.header import Header

__all__ = ["MAX_CODEBOOKS", "MAX_SAMPLES", "check_header"]

MAX_CODEBOOKS = 128
MAX_SAMPLES = 1 << 48
_KEPT = ("model_sha256", "source_sample_rate", "source_channels", "source_num_samples", "tags")
_V0_IMPLIED = (
    "sample_rate",
    "channels",
    "hop",
    "bits",
    "segment",
    "stride",
    "end_padding",
    "has_scale",
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT_SHA256 = re.compile(r"[0-9a-f]{16}([0-9a-f]{48})?")
_BOUNDS = {
    "version": (0, 2),
    "sample_rate": (MIN_RATE_HZ, MAX_RATE_HZ),
    "channels": (1, MAX_CHANNELS),
    "hop": (1, MAX_HOP),
    "codebooks": (1, MAX_CODEBOOKS),
    "bits": (1, 16),
    "chunk_frames": (1, MAX_CHUNK_FRAMES),
    "segment": (1, 1 << 32),
    "stride": (1, 1 << 32),
    "end_padding": (0, 1 << 24),
    "source_sample_rate": (MIN_RATE_HZ, MAX_RATE_HZ),
    "source_channels": (1, MAX_CHANNELS),
    "num_samples": (1, MAX_SAMPLES),
    "source_num_samples": (1, MAX_SAMPLES),
}


def check_header(header: "Header") -> None:
    """Refuse fields that are out of range, or contradict each other.

    Raises:
        ContainerError: the first such field.
    """
    for entry in fields(header):
        value = getattr(header, entry.name)
        if entry.name not in _BOUNDS or (value is None and entry.default is None):
            continue
        low, high = _BOUNDS[entry.name]
        if type(value) is not int or not low <= value <= high:
            raise ContainerError(
                f"header: {entry.name} must be an integer from {low} to {high}, got {shown(value)}"
            )
    if not _printable(header.model) or not 1 <= len(header.model) <= 200:
        raise ContainerError(
            f"header: model must be 1 to 200 printable characters, got {shown(header.model)}"
        )
    for name in ("model_sha256", "code_model"):
        _check_sha256(header, name)
    for name in ("has_scale", "keep_source", "lm"):
        value = getattr(header, name)
        if type(value) is not bool:
            raise ContainerError(f"header: {name} must be a bool, got {shown(value)}")
    _check_segment(header)
    if header.chunk_frames * header.hop * header.channels > MAX_CHUNK_SAMPLES:
        raise ContainerError(
            f"header: chunks of {header.chunk_frames} frames decode to more than "
            f"{MAX_CHUNK_SAMPLES} samples at once"
        )
    if not isinstance(header.tags, Mapping) or not all(
        _printable(key) and _printable(value) for key, value in header.tags.items()
    ):
        raise ContainerError("header: tags must map printable text to printable text")
    if header.version == 0:
        _check_v0(header)
    elif header.lm or header.keep_source:
        raise ContainerError("header: lm and keep_source belong to format 0")
    if header.version < 2 and header.code_model is not None:
        raise ContainerError("header: code_model belongs to format 2")


def _check_sha256(header: "Header", name: str) -> None:
    value = getattr(header, name)
    pattern = _SHA256 if header.version < 2 else _SHORT_SHA256
    if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
        digits = "64" if header.version < 2 else "16 or 64"
        raise ContainerError(
            f"header: {name} must be {digits} lower-case hex digits, got {shown(value)}"
        )


def _check_segment(header: "Header") -> None:
    if (header.segment is None) != (header.stride is None):
        raise ContainerError("header: segment and stride go together; give both or neither")
    if header.segment is None or header.stride is None:
        return
    if header.end_padding:
        raise ContainerError("header: end_padding is for whole signals, not for segments")
    # More than two short chunks would be possible with an overlap over half a segment.
    if not header.segment <= 2 * header.stride <= 2 * header.segment:
        raise ContainerError(
            f"header: stride must lie between half a segment and a segment ({header.segment}), "
            f"got {header.stride}"
        )
    frames = -(-header.segment // header.hop)
    if header.chunk_frames != frames:
        raise ContainerError(
            f"header: a segment of {header.segment} samples has {frames} frames, "
            f"but chunk_frames is {header.chunk_frames}"
        )


def _check_v0(header: "Header") -> None:
    model = META_MODELS.get(header.model)
    if model is None:
        raise ContainerError(
            f"format 0 knows only {' and '.join(META_MODELS)}, not {shown(header.model)}; "
            "use format 1 for other models"
        )
    for name in _V0_IMPLIED:
        if getattr(header, name) != getattr(model, name):
            raise ContainerError(
                f"header: {header.model} has {name} {getattr(model, name)}, "
                f"got {getattr(header, name)}"
            )
    if header.codebooks > model.max_codebooks:
        raise ContainerError(
            f"header: {header.model} has at most {model.max_codebooks} codebooks, "
            f"got {header.codebooks}"
        )
    if header.segment is None and header.chunk_frames % 8:
        raise ContainerError(
            f"header: chunk_frames must be a multiple of 8 in format 0, got {header.chunk_frames}"
        )
    for name in _KEPT:
        if getattr(header, name) and not header.keep_source:
            raise ContainerError(f"header: format 0 cannot store {name}; use format 1")


def _printable(text: object) -> bool:
    # Terminals obey control characters, and UTF-8 has no lone surrogates: both end here.
    return isinstance(text, str) and text.isprintable()
