"""The quantizer of a codec."""

import math
from dataclasses import dataclass

from encodec_cli.config.schema import check_at_least, check_range
from encodec_cli.config.sizes import MOST_NUMBERS
from encodec_cli.errors import ConfigError
from encodec_cli.io.text import shown

__all__ = ["QuantizerConfig"]

_MOST_WIDTH = 1 << 16
_RANGES = (
    ("dimension", 1, _MOST_WIDTH),
    ("n_q", 1, 1024),
    ("kmeans_iters", 1, 10_000),
    ("threshold_ema_dead_code", 0, 1e9),
    ("orthogonal_reg_weight", 0, 1e9),
)


@dataclass(frozen=True)
class QuantizerConfig:
    """Arguments of audiocraft's `ResidualVectorQuantizer`, same names, defaults and meaning.

    Source: SoundStream (Zeghidour et al. 2021, section III.C).
    """

    dimension: int = 256
    n_q: int = 8
    q_dropout: bool = False
    bins: int = 1024
    decay: float = 0.99
    kmeans_init: bool = True
    kmeans_iters: int = 10
    threshold_ema_dead_code: float = 2.0
    orthogonal_reg_weight: float = 0.0
    orthogonal_reg_active_codes_only: bool = False
    orthogonal_reg_max_codes: int | None = None

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            check_range(self, name, least, most)
        check_at_least(self, "bins", 2)
        if self.bins > 65536:
            raise ConfigError(
                f"bins: {shown(self.bins)}: codes are stored in 16 bits; at most 65536"
            )
        if self.n_q * self.bins * self.dimension > MOST_NUMBERS:
            raise ConfigError(
                f"n_q, bins, dimension: codebooks of {self.n_q * self.bins * self.dimension} "
                f"numbers; at most {MOST_NUMBERS} are built"
            )
        if self.orthogonal_reg_max_codes is not None:
            check_at_least(self, "orthogonal_reg_max_codes", 1)
        if not 0.0 <= self.decay < 1.0:
            raise ConfigError(f"decay: {self.decay}: give 0 <= decay < 1")

    @property
    def bits(self) -> int:
        """Bits of one stored code."""
        return math.ceil(math.log2(self.bins))
