"""The networks of a codec: what a SEANet encoder and decoder are made of."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from encodec_cli.config.choices import check_activation, check_norm
from encodec_cli.config.schema import check_choices, check_range
from encodec_cli.config.sizes import check_seanet_size
from encodec_cli.errors import ConfigError
from encodec_cli.io.limits import MAX_CHANNELS, MAX_HOP
from encodec_cli.io.text import shown

__all__ = ["Norm", "PadMode", "SEANetConfig", "SEANetDecoderConfig"]

Norm = Literal["none", "weight_norm", "spectral_norm", "time_group_norm", "layer_norm"]
PadMode = Literal["reflect", "constant", "replicate"]

_MOST_RATIOS = 32
_MOST_WIDTH = 1 << 16
_MOST_LAYERS = 64
_RANGES = (
    ("channels", 1, MAX_CHANNELS),
    ("dimension", 1, _MOST_WIDTH),
    ("compress", 1, _MOST_WIDTH),
    ("dilation_base", 1, 1024),
    ("kernel_size", 1, 1024),
    ("last_kernel_size", 1, 1024),
    ("residual_kernel_size", 1, 1024),
    ("lstm", 0, _MOST_LAYERS),
    ("disable_norm_outer_blocks", 0, _MOST_RATIOS + 2),
)


@dataclass(frozen=True)
class SEANetConfig:
    """Arguments of audiocraft's `SEANetEncoder`, same names, order, defaults and meaning.

    `ratios` are the decoder's up-sampling factors; the encoder applies them reversed. Channels
    double per stage, starting from `n_filters`. Beyond audiocraft, and because a layer at the full
    sampling rate costs as much as all others, two arguments may be lists, from the waveform to the
    codes: `n_residual_layers` with one count per stage, and `n_filters` with the channels at the
    waveform and after each down-sampling.

    Source: SoundStream (Zeghidour et al. 2021, section III.A) and EnCodec (Défossez et al. 2022,
    section 3.1).
    """

    channels: int = 1
    dimension: int = 128
    n_filters: int | tuple[int, ...] = 32
    n_residual_layers: int | tuple[int, ...] = 3
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    activation: str = "ELU"
    activation_params: dict[str, Any] = field(default_factory=lambda: {"alpha": 1.0})
    norm: Norm = "none"
    norm_params: dict[str, Any] = field(default_factory=dict)
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_base: int = 2
    causal: bool = False
    pad_mode: PadMode = "reflect"
    true_skip: bool = True
    compress: int = 2
    lstm: int = 0
    disable_norm_outer_blocks: int = 0

    def __post_init__(self) -> None:
        # Python callers pass lists, as audiocraft does; frozen means hashable tuples inside.
        object.__setattr__(self, "ratios", tuple(self.ratios))
        for name in ("n_filters", "n_residual_layers"):
            value = getattr(self, name)
            if not isinstance(value, int):
                object.__setattr__(self, name, tuple(value))
        check_choices(self)
        for name, least, most in _RANGES:
            check_range(self, name, least, most)
        self._check_lists()
        widths, layers = self.widths, self.residual_layers
        if len(widths) != len(self.ratios) + 1 or min(widths) < 1:
            raise ConfigError(
                f"n_filters: {self.n_filters}: give one number >= 1, "
                f"or a list of {len(self.ratios) + 1}, at the waveform and after each ratio"
            )
        if len(layers) != len(self.ratios) or min(layers) < 0:
            raise ConfigError(
                f"n_residual_layers: {self.n_residual_layers}: give one count >= 0, "
                f"or a list of {len(self.ratios)}, one per ratio"
            )
        narrowest = min((w for w, n in zip(widths, layers, strict=False) if n), default=None)
        if narrowest is not None and self.compress > narrowest:
            raise ConfigError(
                f"compress: {self.compress}: leaves none of n_filters ({narrowest}) channels"
            )
        if self.disable_norm_outer_blocks > len(self.ratios) + 2:
            raise ConfigError(
                f"disable_norm_outer_blocks: {self.disable_norm_outer_blocks}: "
                f"there are only {len(self.ratios) + 2} blocks"
            )
        if self.causal and self.norm == "time_group_norm":
            raise ConfigError("causal: a causal network cannot use norm: time_group_norm")
        if self.dilation_base ** max(0, *layers, 1) > MAX_HOP * self.dilation_base:
            raise ConfigError(
                f"dilation_base: {self.dilation_base}: to the power of n_residual_layers, "
                f"{max(layers)}, reaches beyond {MAX_HOP} samples"
            )
        check_activation("activation", self.activation, self.activation_params)
        check_norm(self.norm, self.norm_params)
        check_seanet_size(self)

    def _check_lists(self) -> None:
        """Before anything is computed from them: lengths, and each number by itself."""
        if len(self.ratios) > _MOST_RATIOS:
            raise ConfigError(f"ratios: {len(self.ratios)} factors; give at most {_MOST_RATIOS}")
        if not self.ratios or not all(_is_count(ratio, 1, MAX_HOP) for ratio in self.ratios):
            raise ConfigError(
                f"ratios: {shown(list(self.ratios))}: give at least one factor, all >= 1"
            )
        if self.hop_length > MAX_HOP:
            raise ConfigError(
                f"ratios: {shown(list(self.ratios))}: give factors with a product up to {MAX_HOP}"
            )
        for name, least, most in (
            ("n_filters", 1, _MOST_WIDTH),
            ("n_residual_layers", 0, _MOST_LAYERS),
        ):
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if len(numbers) > _MOST_RATIOS + 1 or any(
                not isinstance(n, int) or n > most for n in numbers
            ):
                raise ConfigError(f"{name}: {shown(value)}: give {least} to {most}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at the waveform and after each down-sampling."""
        if isinstance(self.n_filters, int):
            return tuple(self.n_filters << stage for stage in range(len(self.ratios) + 1))
        return self.n_filters

    @property
    def residual_layers(self) -> tuple[int, ...]:
        """Residual blocks per stage, waveform side first."""
        if isinstance(self.n_residual_layers, int):
            return (self.n_residual_layers,) * len(self.ratios)
        return self.n_residual_layers

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)


@dataclass(frozen=True)
class SEANetDecoderConfig(SEANetConfig):
    """Arguments of audiocraft's `SEANetDecoder`: those of the encoder and three of its own.

    `trim_right_ratio` is the share of a causal transposed convolution's padding that is trimmed
    on the right (1.0: all of it, no look-ahead).
    """

    final_activation: str | None = None
    final_activation_params: dict[str, Any] | None = None
    trim_right_ratio: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final_activation is not None:
            check_activation(
                "final_activation", self.final_activation, self.final_activation_params
            )
        if not 0.0 <= self.trim_right_ratio <= 1.0:
            raise ConfigError(f"trim_right_ratio: {self.trim_right_ratio}: give 0 to 1")
        if self.trim_right_ratio != 1.0 and not self.causal:
            raise ConfigError("trim_right_ratio: only a causal decoder can trim asymmetrically")


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
