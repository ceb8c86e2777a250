"""One recording as codes, with its metadata: the same in every file format."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError

__all__ = [
    "INFO_FIELDS",
    "ITEM_NAMES",
    "MAX_CODES",
    "BadItem",
    "TokenInfo",
    "TokenItem",
    "check_codes_shape",
    "check_key",
    "plain_shape",
]

MAX_CODES = 1 << 28
"""Codes of one item: 31 hours of 32 codebooks at 75 frames/s. More is taken for damage."""
_MAX_CODEBOOKS = 128
_MAX_TEXT = 4096
_MAX_NUMBER = 1 << 48
_MAX_AXES = 5


@dataclass(frozen=True, kw_only=True)
class TokenInfo:
    """What a file says about its codes; None for what it does not say.

    Attributes:
        source: name of the recording, printable.
        model: name of the codec.
        model_sha256: of its weights, 64 hexadecimal digits, or the first 16.
        sample_rate: of the codec, in Hz.
        channels: of the codec.
        hop: samples (per channel) in one frame.
        bits: that one code takes.
        num_samples: per channel at the codec's rate.
        segment: samples in a segment, where the codec works in segments.
        stride: samples from one segment's start to the next one's.
        end_padding: samples coded after the recording's end; None where there are none.
        chunk_frames: frames of each of the scales, the last aside, where there are scales but no
            segments.
        source_sample_rate: of what was encoded, in Hz.
        source_channels: of what was encoded.
        source_num_samples: per channel at the source's rate.

    Raises:
        ContainerError: a text or a number out of range.
    """

    source: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    sample_rate: int | None = None
    channels: int | None = None
    hop: int | None = None
    bits: int | None = None
    num_samples: int | None = None
    segment: int | None = None
    stride: int | None = None
    end_padding: int | None = None
    chunk_frames: int | None = None
    source_sample_rate: int | None = None
    source_channels: int | None = None
    source_num_samples: int | None = None

    def __post_init__(self) -> None:
        for name, kind in INFO_FIELDS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if kind is str and not (
                isinstance(value, str) and value.isprintable() and len(value) <= _MAX_TEXT
            ):
                raise ContainerError(f"{name}: not a line of printable text")
            if kind is int and not (type(value) is int and 1 <= value <= _MAX_NUMBER):
                raise ContainerError(f"{name}: not a whole number from 1 to {_MAX_NUMBER}")

    @property
    def seconds(self) -> float | None:
        """Length of the recording."""
        if self.num_samples is None or self.sample_rate is None:
            return None
        return self.num_samples / self.sample_rate

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Take what is known from `data`; whole numbers may be text. Unknown keys are ignored.

        Raises:
            ContainerError: a value of the wrong type or out of range.
        """
        values: dict[str, Any] = {}
        for name, kind in INFO_FIELDS.items():
            value = data.get(name)
            if kind is int and isinstance(value, str):
                if not (value.isascii() and value.isdigit() and len(value) <= 15):
                    raise ContainerError(f"{name}: {value[:20]!r} is not a whole number")
                value = int(value)
            values[name] = value
        return cls(**values)


def _info_fields() -> dict[str, type]:
    hints = typing.get_type_hints(TokenInfo)
    return {f.name: typing.get_args(hints[f.name])[0] for f in dataclasses.fields(TokenInfo)}


INFO_FIELDS = _info_fields()
"""Names of `TokenInfo` and whether each is `str` or `int`."""
ITEM_NAMES = frozenset(
    {"key", "codes", "scales", "n_q", "frame_rate", "codes_arrangement", *INFO_FIELDS}
)
"""What files call the parts of an item; no column of a corpus is written under these."""


@dataclass(frozen=True, eq=False)
class TokenItem:
    """The codes of one recording.

    Attributes:
        key: names the item in its file: a relative path without suffix, parts joined by "/".
        codes: whole numbers [K, T], uint16 when written here; row 0 is the coarsest codebook.
        scales: float32 [segments], or None for codecs without.
        info: what else is known.
        arrangement: "known" if the codes surely are [K, T], "stated" if they are because their file
            said how to make them so, "open" if they could be [T, K], "flat" if they came without a
            shape, here as [1, N]; `arrange` settles the last two.
        columns: what else the corpus says of the recording (`text`, `speaker` ...): values as JSON
            has them.

    Raises:
        ContainerError: a key that is no plain relative path, codes of another shape or type.
    """

    key: str
    codes: NDArray[np.integer]
    scales: NDArray[np.float32] | None = None
    info: TokenInfo = TokenInfo()
    arrangement: Literal["known", "stated", "open", "flat"] = "known"
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_key(self.key)
        codes = self.codes
        if codes.dtype.kind not in "iu" or codes.ndim != 2 or codes.size == 0:
            raise ContainerError(
                f"codes must be whole numbers [K, T] and not empty, got {codes.dtype} "
                f"{list(codes.shape)}"
            )
        if self.arrangement in ("known", "stated"):
            check_codes_shape(codes.shape)
        scales = self.scales
        if scales is not None and (scales.dtype.kind != "f" or scales.ndim != 1):
            raise ContainerError(
                f"scales must be float32 [segments], got {scales.dtype} {list(scales.shape)}"
            )

    def metadata(self) -> dict[str, str | int | float]:
        """Everything but the arrays, with `n_q` and `frame_rate` (Hz), which follow from it."""
        info = self.info
        data: dict[str, str | int | float] = {"n_q": int(self.codes.shape[0])}
        if info.sample_rate is not None and info.hop is not None:
            data["frame_rate"] = info.sample_rate / info.hop
        known = {name: getattr(info, name) for name in INFO_FIELDS}
        return data | {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True)
class BadItem:
    """Stands where an item of a shard could not be read."""

    key: str
    reason: str


def plain_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` without axes of one, down to two axes, [K, T] or [T, K]; one axis stays alone.

    Raises:
        ContainerError: a batch of recordings, or more codes than any recording needs.
    """
    plain = list(shape)
    while len(plain) > 2 and 1 in plain:
        plain.remove(1)
    if not 1 <= len(plain) <= 2 or len(shape) > _MAX_AXES:
        raise ContainerError(
            f"codes of shape {list(shape)[:_MAX_AXES]}: give [K, T], one recording by itself"
        )
    if min(plain) < 1 or math.prod(plain) > MAX_CODES:
        raise ContainerError(
            f"codes of shape {list(shape)}: give 1 to {MAX_CODES} codes per recording"
        )
    if len(plain) == 2 and min(plain) > _MAX_CODEBOOKS:
        raise ContainerError(f"codes of shape {list(shape)}: give [K, T], K up to {_MAX_CODEBOOKS}")
    return tuple(plain)


def check_codes_shape(shape: tuple[int, ...]) -> None:
    """Refuse codes that would take more memory than any recording needs, before they are read.

    Raises:
        ContainerError: not [K, T], or too large.
    """
    if len(shape) != 2 or not 1 <= shape[0] <= _MAX_CODEBOOKS:
        raise ContainerError(
            f"codes of shape {list(shape)[:4]}: give [K, T], K up to {_MAX_CODEBOOKS}"
        )
    if shape[1] < 1 or shape[0] * shape[1] > MAX_CODES:
        raise ContainerError(
            f"codes of shape {list(shape)}: give 1 to {MAX_CODES} codes per recording"
        )


def check_key(key: str) -> None:
    """Refuse keys that could not become a file name inside the output folder.

    Raises:
        ContainerError: absolute, with "..", hidden characters, or too long.
    """
    parts = key.split("/")
    plain = key.isprintable() and "\\" not in key and not PurePosixPath(key).is_absolute()
    if not plain or len(key) > _MAX_TEXT or any(p in ("", ".", "..") for p in parts):
        raise ContainerError(f"key {key[:60]!r}: not a plain relative path")
