"""How large the model of a config is, before anything of it is made."""

from typing import TYPE_CHECKING

from encodec_cli.errors import ConfigError

if TYPE_CHECKING:
    from encodec_cli.config.seanet import SEANetConfig

__all__ = ["MOST_NUMBERS", "check_seanet_size"]

MOST_NUMBERS = 1 << 29
"""Weights of an encoder, of a decoder, or of all codebooks: 2 GiB in fp32."""


def check_seanet_size(config: "SEANetConfig") -> None:
    """Refuse a network of more than `MOST_NUMBERS` weights.

    Raises:
        ConfigError: more than that.
    """
    widths, last = config.widths, config.widths[-1]
    kernel = max(config.kernel_size, config.last_kernel_size)
    numbers = (config.channels * widths[0] + config.dimension * last) * kernel
    numbers += 8 * config.lstm * last * last
    for stage, ratio in enumerate(reversed(config.ratios)):
        width = widths[stage]
        block = width * (width // config.compress) * (config.residual_kernel_size + 1)
        numbers += config.residual_layers[stage] * block + width * widths[stage + 1] * 2 * ratio
    if numbers > MOST_NUMBERS:
        raise ConfigError(
            f"n_filters, ratios, kernel sizes: a network of {numbers} weights; at most "
            f"{MOST_NUMBERS} are built"
        )
