"""What became of a file that went through the pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["DecodeReport", "EncodeReport", "Place", "Progress", "part_of"]

Place = Path | Literal["-"]
"""A file; "-" is standard input or output."""
Progress = Callable[[float, float | None], None]
"""Called with the seconds of audio done, and in all if known."""


@dataclass(frozen=True)
class EncodeReport:
    """What `encode_file` did."""

    source: str
    target: str
    model: str
    codebooks: int
    seconds: float
    """Length of the audio."""
    bytes: int
    """Size of the `.ecdc` file."""
    elapsed_seconds: float
    source_channels: int = 0
    channels: int = 0
    """Of the model, to which those of the source were mixed."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What the file says of the recording."""
    tags_left_out: tuple[str, ...] = ()
    """Names of tags of the source that were not kept."""
    notes: tuple[str, ...] = ()
    """What to know of the result."""
    source_deleted: bool = False
    target_kbps: float | None = None
    """Real rate that was asked for."""

    @property
    def kbps(self) -> float:
        """Real rate on disk."""
        return self.bytes * 8 / self.seconds / 1000

    @property
    def speed(self) -> float:
        """Seconds of audio per second of work."""
        return self.seconds / max(self.elapsed_seconds, 1e-9)


@dataclass(frozen=True)
class DecodeReport:
    """What `decode_file` did."""

    source: str
    target: str
    model: str
    codebooks: int
    """Codebooks used, at most those stored."""
    sample_rate: int
    samples: int
    """Per channel, at `sample_rate` Hz."""
    clipped: int
    """Samples of any channel that had to be clamped."""
    gain: float
    """What `rescale` multiplied the audio by; 1 if nothing had to be lowered."""
    damage: tuple[str, ...]
    """What could not be read and was replaced by silence, one line each."""
    notes: tuple[str, ...]
    """What to know of the result, see `decoded_from`."""
    elapsed_seconds: float
    tags: Mapping[str, str] = field(default_factory=dict)
    """What the audio file says of the recording."""
    tags_left_out: tuple[str, ...] = ()
    """Names of stored tags that its format has no place for."""
    source_deleted: bool = False

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.samples / self.sample_rate

    @property
    def speed(self) -> float:
        """Seconds of audio per second of work."""
        return self.seconds / max(self.elapsed_seconds, 1e-9)


def part_of(progress: Progress | None, start: float, end: float) -> Progress | None:
    """Told of the whole, `progress` learns of the part from `start` to `end`."""
    if progress is None:
        return None

    def told(done: float, total: float | None) -> None:
        progress((start * (total or 0)) + (end - start) * done, total)

    return told
