"""What a user says about a checkpoint that its weights do not tell: `--config YAML`.

The YAML has the keys of a model config (`configs/*.yaml`), all or a few of them, such as
`seanet: {causal: false}`; what it says replaces what the file said or what was assumed.
"""

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.schema import read_yaml

__all__ = ["Told", "read_told", "said_identity", "with_told"]

Told = Mapping[str, Any]
"""Keys of a model config, in the layout of the YAML files."""
_SECTIONS = ("seanet", "quantizer")
_SIDES = ("encoder", "decoder")


def read_told(path: Path | None) -> Told:
    """The keys in the YAML file at `path`; none without a file.

    Raises:
        ConfigError: missing, not YAML, or not a mapping.
    """
    return {} if path is None else read_yaml(path)


def with_told(data: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """`data`, a config in the layout of the YAML files, with what was `told` in its place.

    Values are not checked here; `CodecConfig.from_dict` does that.
    """
    merged = {**data, **{k: v for k, v in told.items() if k not in _SECTIONS}}
    rate, other = data["sample_rate"], told.get("sample_rate", data["sample_rate"])
    if type(rate) is type(other) is int and rate != 0 and "target_bandwidths" not in told:
        factor = Fraction(other, rate)  # the same codebooks at another rate
        merged["target_bandwidths"] = [
            float(Fraction(b) * factor) for b in data["target_bandwidths"]
        ]
    for section in _SECTIONS:
        said = told.get(section, {})
        ours = dict(data[section])
        if not isinstance(said, Mapping):
            merged[section] = said
            continue
        for side in _SIDES:
            if isinstance(ours.get(side), Mapping):
                # What is said of both holds for each.
                ours[side] = {k: v for k, v in ours[side].items() if k not in said}
                if isinstance(said.get(side), Mapping):
                    ours[side] |= said[side]
        sides = {side: ours[side] for side in _SIDES if side in ours and side in said}
        merged[section] = {**ours, **said, **sides}
    return merged


def said_identity(identity: str, config: CodecConfig, assumed: CodecConfig | None) -> str:
    """How `.ecdc` files know weights of SHA-256 `identity` that run as `config`.

    Coded in another way, the same weights make codes that do not decode in the first; so their
    identity differs wherever `config` differs from what would have been `assumed` (None: nothing
    could be).
    """
    if config == assumed:
        return identity
    text = json.dumps(config.to_dict(), sort_keys=True)
    return hashlib.sha256(f"{identity} {text}".encode()).hexdigest()
