"""A model ready to code, on the engine that suits it: numpy where that will do, else torch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.checkpoints.card import file_sha256, find_model, read_card
from encodec_cli.checkpoints.foreign.identify import identify, refuse_config
from encodec_cli.checkpoints.lasting import lasting_weights
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import UsageError, parameter
from encodec_cli.model.codec import Codec
from encodec_cli.model.device import check_device
from encodec_cli.runtime.engine import NumpyEngine, supports
from encodec_cli.runtime.weights import Weights

if TYPE_CHECKING:
    import torch

__all__ = ["load_model"]

_DTYPES = ("float32", "bfloat16", "float16", "float64")
_WORTH_TORCH_SECONDS = 150.0
"""Audio from which on torch's LSTM has made up for the time that importing torch takes."""


def load_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    device: "str | torch.device" = "cpu",
    dtype: "str | torch.dtype" = "float32",
    seconds: float | None = None,
    config: Path | None = None,
    to_code: bool = True,
) -> Codec:
    """A model ready to code: by the name of a bundled one, or a path to ours or another program's.

    Its `sha256` is that of the file (or of the one it was converted from), as `.ecdc` headers
    name it. `dtype`, float32 or bfloat16 say, is what the convolutions compute in, see
    `precision`; a device without it imitates it, slowly. `seconds` is about how much audio there
    is to code, if that is known; it only decides which engine is worth its start. `config`, a YAML
    file with keys of a model config, says what another program's weights do not tell: rate,
    causality, padding, segments. Without it the usual is assumed, and `Codec.assumed` says so.
    Weights that a training run will replace are first copied beside, under a name that stays,
    for what they are `to_code`.

    Raises:
        CheckpointError: no such model; the file is foreign, truncated or does not fit; weights that
            a run will replace cannot be copied.
        UsageError: no such device here, or no such dtype; `config` for a model of ours.
        ConfigError: what `config` says is of no model.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise UsageError(f"{parameter('dtype', name)}: give one of {', '.join(_DTYPES)}")
    check_device(device)
    path = find_model(name_or_path)
    if to_code:
        path = lasting_weights(path)
    layout = identify(path)
    refuse_config(path, layout, config)
    if str(device) == "cpu" and name == "float32" and layout == "ours":
        card = read_card(path)
        if supports(card.config) and _suits_numpy(card.config, seconds):
            engine = NumpyEngine(card.config, Weights(path, card.config))
            sha256 = card.identity or file_sha256(path)
            return Codec(card.config, engine, sha256, "numpy", path=path)

    import torch

    from encodec_cli.checkpoints.modules import load_module

    module = load_module(
        path, device=device, dtype=getattr(torch, name), config=config, to_code=False
    )
    return module.codec()


def _suits_numpy(config: CodecConfig, seconds: float | None) -> bool:
    """Whether numpy is the faster way all in all: always but for long recordings with an LSTM."""
    if not (config.seanet.lstm or config.decoder.lstm):
        return True
    return "torch" not in sys.modules and seconds is not None and seconds < _WORTH_TORCH_SECONDS
