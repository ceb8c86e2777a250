"""Models whose geometry their name implies, in files of version 0 and 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["KNOWN_MODELS", "META_MODELS", "KnownModel"]


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """Constants of a model, see `Header`.

    Attributes:
        max_codebooks: the most that it can store.
        chunk_frames: frames in a chunk of version 0, where one is told from the next.
    """

    sample_rate: int
    channels: int
    segment: int | None
    stride: int | None
    has_scale: bool
    max_codebooks: int
    chunk_frames: int
    hop: int = 320
    bits: int = 10
    end_padding: int = 0


META_MODELS: Mapping[str, KnownModel] = MappingProxyType(
    {
        "encodec_24khz": KnownModel(
            sample_rate=24000,
            channels=1,
            segment=None,
            stride=None,
            has_scale=False,
            max_codebooks=32,
            chunk_frames=80,
        ),
        "encodec_48khz": KnownModel(
            sample_rate=48000,
            channels=2,
            segment=48000,
            stride=47520,
            has_scale=True,
            max_codebooks=16,
            chunk_frames=150,
        ),
    }
)
"""Those of version 0."""

# Files of version 2 name these by their place here, counted from 1: append, never change.
KNOWN_MODELS: tuple[tuple[str, KnownModel], ...] = (
    *META_MODELS.items(),
    (
        "ecli_24khz",
        KnownModel(
            sample_rate=24000,
            channels=1,
            segment=None,
            stride=None,
            has_scale=True,
            max_codebooks=16,
            chunk_frames=80,
            end_padding=320,
        ),
    ),
)
"""Name and geometry of the models that a number stands for in version 2."""
