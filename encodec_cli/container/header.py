"""What an `.ecdc` file says about itself, and the arithmetic of its chunks.

A whole-signal model codes the recording as one run of frames; chunks merely slice that run:

    frames   |0 ........ 79|80 ....... 159|160 .. 171|
    chunk    |      0      |      1       |    2     |     chunk_frames = 80

A segment model (EnCodec 48 kHz) codes overlapping segments, one chunk each, starting at 0,
stride, 2 * stride, ... below the number of samples:

    samples  0        47520 48000     95040 95520
    chunk 0  |----------------|
    chunk 1           |------------------|
    chunk 2                           |-----------        the last may be as short as 1 sample

When the last segment begins within the overlap, the one before it is cut by the recording's end
as well, so at most the last two chunks are shorter than `chunk_frames`.

Where a decoder looks ahead, the codes go on after the recording's end, for `end_padding` samples,
none of which is played: a whole signal of N samples has ceil((N + end_padding) / hop) frames.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from encodec_cli.container.header_rules import MAX_CODEBOOKS, check_header
from encodec_cli.container.known_models import META_MODELS
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.text import shown

__all__ = ["Header", "v0_header"]


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything known before the first chunk.

    Attributes:
        version: format version, 0 (Meta's), 1 or 2.
        model: name of the model, printable, 1 to 200 characters.
        model_sha256: 64 lower-case hex digits that identify the weights, or None. Version 2 keeps
            the first 16.
        sample_rate: of the model, in Hz.
        channels: of the model.
        hop: samples (per channel) in one frame.
        codebooks: K, the number stored.
        bits: per code.
        chunk_frames: frames in a full chunk.
        segment: samples in a full segment, or None for whole-signal models.
        stride: samples from one segment's start to the next one's; None like `segment`.
        end_padding: samples coded after the end of a whole signal, not to be played.
        has_scale: whether every chunk carries a loudness.
        source_sample_rate: of the audio that was encoded, in Hz, or None if not kept.
        source_channels: of the audio that was encoded, or None if not kept.
        num_samples: per channel at the model's rate; None if unknown when the header was
            written (a pipe).
        source_num_samples: per channel at the source's rate, or None.
        tags: free printable text, name to value.
        keep_source: whether format 0 stores the source, the tags and the weights' hash, in a key
            of its own that Meta's program ignores. Other formats always do.
        lm: whether the codes are compressed with Meta's language model; format 0 only.
        code_model: 64 lower-case hex digits of the code model that chunks may be coded with, or
            None: all are raw. Format 2 only, which keeps the first 16.

    Raises:
        ContainerError: a field out of range, or fields that contradict each other.
    """

    version: int = 2
    model: str
    model_sha256: str | None = None
    sample_rate: int
    channels: int
    hop: int
    codebooks: int
    bits: int
    chunk_frames: int
    segment: int | None = None
    stride: int | None = None
    end_padding: int = 0
    has_scale: bool = False
    source_sample_rate: int | None = None
    source_channels: int | None = None
    num_samples: int | None = None
    source_num_samples: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    keep_source: bool = False
    lm: bool = False
    code_model: str | None = None

    def __post_init__(self) -> None:
        check_header(self)
        object.__setattr__(self, "tags", dict(self.tags))  # the caller keeps its own

    @property
    def frame_rate(self) -> float:
        """Frames per second, in Hz."""
        return self.sample_rate / self.hop

    @property
    def bandwidth_kbps(self) -> float:
        """Nominal rate of the codes in kb/s, without overlap, scales and container."""
        return self.frame_rate * self.codebooks * self.bits / 1000

    def choose_codebooks(self, bandwidth: float | None = None, n_q: int | None = None) -> int:
        """`n_q`, the most codebooks that fit in `bandwidth` (kb/s), or all if neither is given.

        Raises:
            UsageError: there are not that many, or `bandwidth` holds none.
        """
        if n_q is None and bandwidth is None:
            return self.codebooks
        if n_q is None:
            assert bandwidth is not None
            each = self.bandwidth_kbps / self.codebooks
            if not math.isfinite(bandwidth) or bandwidth <= 0:
                raise UsageError(f"bandwidth {bandwidth:g} kb/s: give a number above 0")
            # 1 part in 10^9 so that 1.1 (no exact binary) still holds what takes exactly 1.1 kb/s.
            n_q = int(min(bandwidth / each * (1 + 1e-9), MAX_CODEBOOKS))
            if n_q < 1:
                raise UsageError(f"bandwidth {bandwidth:g} kb/s: one codebook takes {each:g} kb/s")
        if not 1 <= n_q <= self.codebooks:
            raise UsageError(
                f"holds {self.codebooks} codebooks ({self.bandwidth_kbps:g} kb/s), not {n_q}; "
                f"ask for 1 to {self.codebooks}"
            )
        return n_q

    @property
    def duration(self) -> float | None:
        """Seconds, or None while `num_samples` is unknown."""
        return None if self.num_samples is None else self.num_samples / self.sample_rate

    def chunk_seconds(self, index: int) -> float:
        """Time at which chunk `index` starts, in seconds."""
        samples = self.chunk_frames * self.hop if self.stride is None else self.stride
        return index * samples / self.sample_rate

    def chunk_count(self, num_samples: int) -> int:
        """Chunks in a recording of `num_samples` (>= 1) samples per channel."""
        if self.stride is None:
            return -(-(num_samples + self.end_padding) // (self.hop * self.chunk_frames))
        return -(-num_samples // self.stride)

    def frames_in_chunk(self, index: int, num_samples: int) -> int:
        """Frames in chunk `index` of a recording of `num_samples` samples per channel."""
        if self.segment is None or self.stride is None:
            frames = -(-(num_samples + self.end_padding) // self.hop)
            return min(self.chunk_frames, frames - index * self.chunk_frames)
        return -(-min(self.segment, num_samples - index * self.stride) // self.hop)

    def frames_before(self, index: int, num_samples: int) -> int:
        """Frames in the chunks 0 .. `index` - 1; `index` may be the number of chunks."""
        full = max(0, min(index, self.chunk_count(num_samples) - 2))
        return full * self.chunk_frames + sum(
            self.frames_in_chunk(chunk, num_samples) for chunk in range(full, index)
        )


def v0_header(model: str, *, codebooks: int, num_samples: int | None = None) -> Header:
    """The only header that format 0 allows for `model`, one of `META_MODELS`.

    Raises:
        ContainerError: another model, or `codebooks` or `num_samples` out of range.
    """
    known = META_MODELS.get(model)
    if known is None:
        raise ContainerError(f"format 0 knows only {' and '.join(META_MODELS)}, not {shown(model)}")
    return Header(
        version=0,
        model=model,
        sample_rate=known.sample_rate,
        channels=known.channels,
        hop=known.hop,
        codebooks=codebooks,
        bits=known.bits,
        chunk_frames=known.chunk_frames,
        segment=known.segment,
        stride=known.stride,
        has_scale=known.has_scale,
        num_samples=num_samples,
    )
