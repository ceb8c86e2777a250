"""Names for models whose files carry none: `.ecdc` files state them, so they must tell apart."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.checkpoints.foreign.told import Told, with_told
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.quantizer import QuantizerConfig
from encodec_cli.errors import parameter

__all__ = [
    "META_MODELS",
    "PUBLISHED_CONFIGS",
    "named_config",
    "published_config",
    "same_architecture",
    "with_name",
]

META_MODELS = ("encodec_24khz", "encodec_48khz")
PUBLISHED_CONFIGS = (*META_MODELS, "musicgen_32khz")


def published_config(name: str) -> CodecConfig:
    """The bundled config of a published model."""
    return load_codec_config(configs_folder() / f"{name}.yaml")


def same_architecture(a: CodecConfig, b: CodecConfig) -> bool:
    """Whether the same weights make both code the same way."""
    return _essence(a) == _essence(b)


def with_name(config: CodecConfig) -> CodecConfig:
    """`config` under the published name of its architecture, or one that says its sizes."""
    for name in PUBLISHED_CONFIGS:
        if same_architecture(config, published_config(name)):
            return dataclasses.replace(config, name=name)
    quantizer = config.quantizer
    channels = {1: "mono", 2: "stereo"}.get(config.channels, f"{config.channels}ch")
    rate = f"{config.sample_rate / 1000:g}khz"
    name = f"encodec_{rate}_{channels}_{quantizer.n_q}x{quantizer.bins}"
    return dataclasses.replace(config, name=name)


def named_config(data: Mapping[str, Any], where: str, told: Told) -> CodecConfig:
    """The config of `data` and what was `told`, under the name that is told, or fits.

    Raises:
        ConfigError: see `CodecConfig.from_dict`.
    """
    if told:
        where = f"{where}, with {parameter('config')}"
    config = CodecConfig.from_dict(with_told(data, told), where)
    return config if "name" in told else with_name(config)


def _essence(config: CodecConfig) -> CodecConfig:
    """Only what decides how weights are used: not names, nor what concerns training."""
    config = folded_config(config)
    q = config.quantizer
    # A norm's blocks are of no interest where the norm is folded away.
    seanet, decoder = config.seanet, config.decoder
    if seanet.norm == "none":
        seanet = dataclasses.replace(seanet, disable_norm_outer_blocks=0)
        decoder = dataclasses.replace(decoder, disable_norm_outer_blocks=0)
    return dataclasses.replace(
        config,
        name="any",
        target_bandwidths=(config.bandwidth_kbps(q.n_q),),
        seanet=seanet,
        decoder=decoder,
        quantizer=QuantizerConfig(dimension=q.dimension, n_q=q.n_q, bins=q.bins),
    )
