"""audiocraft's compression checkpoints: Meta's names, and the experiment's config beside them.

Source of the layout: `audiocraft.utils.export` and `audiocraft.models.builders`.
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from encodec_cli.checkpoints.foreign.identify import describe_tensors
from encodec_cli.checkpoints.foreign.meta import rename_meta_state
from encodec_cli.checkpoints.foreign.naming import named_config
from encodec_cli.checkpoints.foreign.told import Told
from encodec_cli.checkpoints.foreign.torch_file import plain_config, plain_tensors
from encodec_cli.checkpoints.foreign.unwrap import inner_state, without_prefixes
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.plain_yaml import parse_yaml
from encodec_cli.errors import CheckpointError, ConfigError

__all__ = ["CONFIG_KEY", "audiocraft_config", "read_audiocraft"]

CONFIG_KEY = "xp.cfg"
_MOST_REFERENCES = 10
_REFERENCE = re.compile(r"^\$\{([A-Za-z0-9_.]+)\}$")
# What decides how the weights are used; wrong guesses would go unnoticed or fail obscurely.
_REQUIRED = ("ratios", "norm", "causal", "pad_mode", "true_skip", "compress", "lstm", "n_filters")


def read_audiocraft(
    content: Mapping[str, Any], path: Path, told: Told
) -> tuple[CodecConfig, dict[str, Tensor]]:
    """Config and folded weights of an exported or training checkpoint, already unpickled.

    Raises:
        CheckpointError: only a pointer, a language model, incomplete, or a codec of another kind.
    """
    if "pretrained" in content:
        raise CheckpointError(
            f"{path}: only a pointer of audiocraft to {str(content['pretrained'])[:100]!r}; "
            "it holds no weights; download that model and name its file or folder"
        )
    state = inner_state(content.get("best_state") or content)
    if isinstance(state, Mapping) and "model" in state:  # of something else than a codec
        state = state["model"]
    if isinstance(state, Mapping):
        state = without_prefixes(state, str(path))
    tensors = plain_tensors(state, path)
    described = describe_tensors(tensors)
    if described is not None:
        raise CheckpointError(f"{path}: {described}")
    where = f"{path}: {CONFIG_KEY}"
    try:
        xp = _parse(plain_config(content.get(CONFIG_KEY)), where)
        config = audiocraft_config(xp, where, told)
        return config, rename_meta_state(tensors)
    except ConfigError as error:
        raise CheckpointError(error.args[0]) from error


def audiocraft_config(xp: Mapping[str, Any], where: str, told: Told | None = None) -> CodecConfig:
    """Our config of the codec that audiocraft builds from the experiment's config `xp`.

    What was `told` replaces what `xp` says.

    Raises:
        ConfigError: a key is missing, unknown or out of range, or the codec is of another kind.
    """
    encodec, seanet, rvq = (_section(xp, name, where) for name in ("encodec", "seanet", "rvq"))
    for key, name, expected in (
        ("compression_model", xp.get("compression_model"), "encodec"),
        ("encodec.autoencoder", encodec.get("autoencoder"), "seanet"),
        ("encodec.quantizer", encodec.get("quantizer"), "rvq"),
    ):
        if name != expected:
            raise ConfigError(f"{where}: {key}: {name!r}; this program runs {expected!r}")
    for key in _REQUIRED:
        if key not in seanet:
            raise ConfigError(f"{where}: seanet.{key}: missing")
    for key in ("sample_rate", "channels"):
        if key not in encodec:
            raise ConfigError(f"{where}: encodec.{key}: missing")
    for key in ("n_q", "bins"):
        if key not in rvq:
            raise ConfigError(f"{where}: rvq.{key}: missing")
    if seanet.pop("channels", encodec["channels"]) != encodec["channels"]:
        raise ConfigError(f"{where}: seanet.channels: is not encodec.channels")
    if seanet["norm"] == "spectral_norm":
        raise ConfigError(f"{where}: seanet.norm: spectral_norm is not read")
    data = {
        "name": "audiocraft",
        "sample_rate": encodec["sample_rate"],
        "channels": encodec["channels"],
        "normalize": encodec.get("renormalize", False),
        "segment_seconds": _segment_seconds(xp, encodec, seanet, where),
        "target_bandwidths": [],
        "seanet": seanet,
        "quantizer": rvq,
    }
    return named_config(_with_bandwidth(data, where), where, told or {})


def _with_bandwidth(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The one bandwidth of all codebooks; audiocraft states none.

    Its numbers are checked by `CodecConfig` afterwards; until then they can be anything.
    """
    ratios, rvq = data["seanet"]["ratios"], data["quantizer"]
    numbers = [data["sample_rate"], rvq["n_q"], rvq["bins"]]
    numbers += ratios if isinstance(ratios, list) else [None]
    if not all(isinstance(n, int) and 0 < n < 1 << 31 for n in numbers):
        raise ConfigError(f"{where}: sample_rate, ratios, n_q, bins: not whole numbers above 0")
    bits = (rvq["bins"] - 1).bit_length()
    kbps = Fraction(rvq["n_q"] * bits * data["sample_rate"], 1000 * math.prod(ratios))
    return {**data, "target_bandwidths": [float(kbps)]}


def _segment_seconds(
    xp: Mapping[str, Any], encodec: Mapping[str, Any], seanet: Mapping[str, Any], where: str
) -> float | None:
    """Length of the pieces it was trained on, for models that cannot code a whole signal.

    audiocraft itself takes whatever it is given as one piece.
    """
    if not encodec.get("renormalize", False) and seanet["norm"] != "time_group_norm":
        return None
    seconds = _section(xp, "dataset", where).get("segment_duration")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigError(
            f"{where}: dataset.segment_duration: missing; a model that normalises codes pieces of "
            "the length it was trained on"
        )
    return float(seconds)


def _parse(text: Any, where: str) -> Mapping[str, Any]:
    if isinstance(text, str):
        text = parse_yaml(text, where)
    if not isinstance(text, Mapping):
        raise ConfigError(f"{where}: missing, or not a mapping of keys to values")
    return text


def _section(xp: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """One section with its `${references}` to other keys replaced by what they refer to."""
    section = xp.get(name)
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where}: {name}: missing, or not a mapping of keys")
    return {
        str(key): _resolve(xp, value, f"{where}: {name}.{key}") for key, value in section.items()
    }


def _resolve(xp: Mapping[str, Any], value: Any, where: str) -> Any:
    for _ in range(_MOST_REFERENCES):
        match = _REFERENCE.match(value) if isinstance(value, str) else None
        if match is None:
            return value
        value = xp
        for key in match[1].split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise ConfigError(f"{where}: refers to {match[1]}, which is not there")
            value = value[key]
    raise ConfigError(f"{where}: refers to itself")
