"""Hugging Face's EnCodec: a folder of `config.json` and weights under transformers' own names.

Source of the layout: `EncodecConfig` and the state of `EncodecModel` in transformers.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from encodec_cli.checkpoints.foreign.folding import fold_weight_norms, unfold_state
from encodec_cli.checkpoints.foreign.identify import refuse_start
from encodec_cli.checkpoints.foreign.naming import named_config
from encodec_cli.checkpoints.foreign.told import Told
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.schema import from_mapping
from encodec_cli.config.seanet import Norm, PadMode
from encodec_cli.errors import CheckpointError, ConfigError, UsageError, parameter

__all__ = [
    "HubConfig",
    "codec_config",
    "hub_config",
    "hub_name",
    "hub_state",
    "read_hub_config",
    "rename_hub_state",
]

_MOST_CONFIG_BYTES = 1 << 20
_SECTIONS = ("audio_encoder", "codec_config")  # of MusicGen, of Bark
_TRAINING_STATE = re.compile(r"^quantizer\.layers\.\d+\.codebook\.(inited|cluster_size|embed_avg)$")
_CODEBOOK = re.compile(r"^quantizer\.layers\.(\d+)\.codebook\.embed$")
# Later rules see what earlier ones made of the name.
_RULES = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.(conv|convtr)\.\1\.(weight|bias)"), r".conv.\2"),
    (re.compile(r"\.(conv|convtr)\.norm\."), ".norm."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)


@dataclass(frozen=True)
class HubConfig:
    """The fields of transformers' `EncodecConfig` that decide how it codes; same defaults."""

    target_bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    sampling_rate: int = 24_000
    audio_channels: int = 1
    normalize: bool = False
    chunk_length_s: float | None = None
    overlap: float | None = None
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 2)
    norm_type: Norm = "weight_norm"
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: PadMode = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    @property
    def num_quantizers(self) -> int:
        """Codebooks that transformers builds: those that fit in the last bandwidth."""
        frame_rate = math.ceil(self.sampling_rate / math.prod(self.upsampling_ratios))
        bits = math.ceil(math.log2(self.codebook_size))
        return int(1000 * self.target_bandwidths[-1] // (frame_rate * bits))


def read_hub_config(path: Path) -> HubConfig:
    """The `config.json` at `path`.

    Raises:
        CheckpointError: unreadable, or of another kind of model.
        ConfigError: an ill-typed value.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_CONFIG_BYTES + 1)
        if len(text) > _MOST_CONFIG_BYTES:
            raise ValueError(f"larger than {_MOST_CONFIG_BYTES} bytes")
        data = json.loads(text)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if not text.lstrip().startswith(b"{"):
            refuse_start(path)  # an error page, say
        raise CheckpointError(f"{path}: not a model's configuration: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: not a model's configuration: not a mapping of keys")
    for section in _SECTIONS:  # of a model that has a codec inside
        inner = data.get(section)
        if isinstance(inner, dict) and inner.get("model_type") == "encodec":
            data = inner
    kind = data.get("model_type", "snac" if "vq_strides" in data else None)
    if kind != "encodec":
        raise CheckpointError(
            f"{path}: configures a model of type {kind!r}; this program runs 'encodec'"
        )
    known = {f.name for f in dataclasses.fields(HubConfig)}
    return from_mapping(HubConfig, {k: v for k, v in data.items() if k in known}, str(path))


def codec_config(
    hub: HubConfig, names: Iterable[str], where: str, told: Told | None = None
) -> CodecConfig:
    """Our config of the same model; the codebooks are those among the tensors' `names`.

    What was `told` replaces what the file says.

    transformers counted them with 10 bits whatever their size until 2025, so files of other sizes
    have another number than its present rule says.

    Raises:
        CheckpointError: values out of range, or a variant that does not exist here.
    """
    if hub.codebook_dim not in (None, hub.hidden_size):
        raise CheckpointError(
            f"{where}: codebook_dim {hub.codebook_dim} is not hidden_size {hub.hidden_size}"
        )
    told = told or {}
    if (
        hub.normalize
        and hub.chunk_length_s is None
        and not (told.get("segment_seconds") or told.get("normalize") is False)
    ):
        raise CheckpointError(
            f"{where}: normalize without chunk_length_s: one scale for a whole recording, which "
            "this program has for chunks only; give the chunks' length in seconds, here or as "
            f"segment_seconds with {parameter('config')}, or normalize: false"
        )
    config = {
        "name": "encodec",
        "sample_rate": hub.sampling_rate,
        "channels": hub.audio_channels,
        "normalize": hub.normalize,
        "segment_seconds": hub.chunk_length_s,
        "overlap": 0.01 if hub.overlap is None else hub.overlap,
        "target_bandwidths": list(hub.target_bandwidths),
        "seanet": {
            "dimension": hub.hidden_size,
            "n_filters": hub.num_filters,
            "n_residual_layers": hub.num_residual_layers,
            "ratios": list(hub.upsampling_ratios),
            "norm": hub.norm_type,
            "kernel_size": hub.kernel_size,
            "last_kernel_size": hub.last_kernel_size,
            "residual_kernel_size": hub.residual_kernel_size,
            "dilation_base": hub.dilation_growth_rate,
            "causal": hub.use_causal_conv,
            "pad_mode": hub.pad_mode,
            "compress": hub.compress,
            "lstm": hub.num_lstm_layers,
            "true_skip": not hub.use_conv_shortcut,
            "decoder": {"trim_right_ratio": hub.trim_right_ratio},
        },
        "quantizer": {
            "n_q": sum(1 for name in names if _CODEBOOK.match(name)),
            "bins": hub.codebook_size,
        },
    }
    try:
        return named_config(config, where, told)
    except ConfigError as error:
        raise CheckpointError(error.args[0]) from error


def hub_name(name: str) -> str:
    """What transformers calls a tensor that we and Meta call `name`."""
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    return name


def rename_hub_state(state: Mapping[str, Tensor], ours: Iterable[str]) -> dict[str, Tensor]:
    """Fold the norms of weights, drop training state, give each tensor the one of `ours` it is.

    What is none of ours keeps its name, to be found left over.

    Raises:
        ValueError: one half of a folded weight is missing or does not fit the other.
    """
    back = {hub_name(name): name for name in ours}
    folded = fold_weight_norms({k: v for k, v in state.items() if not _TRAINING_STATE.match(k)})
    return {back.get(name, name): value for name, value in folded.items()}


def hub_config(config: CodecConfig) -> dict[str, Any]:
    """The `config.json` with which transformers builds the model of `config`.

    Raises:
        UsageError: transformers cannot build it.
    """
    seanet, decoder, quantizer = config.seanet, config.decoder, config.quantizer
    layers = set(seanet.residual_layers)
    frame_rate = config.frame_rate
    bandwidths = [b for b in config.target_bandwidths if config.codebooks_for(b) < quantizer.n_q]
    hub = HubConfig(
        target_bandwidths=(*sorted(bandwidths), config.bandwidth_kbps(quantizer.n_q)),
        sampling_rate=config.sample_rate,
        audio_channels=config.channels,
        normalize=config.normalize,
        chunk_length_s=config.segment_seconds,
        overlap=None if config.segment_seconds is None else config.overlap,
        hidden_size=seanet.dimension,
        num_filters=seanet.widths[0],
        num_residual_layers=max(layers),
        upsampling_ratios=seanet.ratios,
        norm_type="weight_norm" if seanet.norm == "none" else seanet.norm,
        kernel_size=seanet.kernel_size,
        last_kernel_size=seanet.last_kernel_size,
        residual_kernel_size=seanet.residual_kernel_size,
        dilation_growth_rate=seanet.dilation_base,
        use_causal_conv=seanet.causal,
        pad_mode=seanet.pad_mode,
        compress=seanet.compress,
        num_lstm_layers=seanet.lstm,
        trim_right_ratio=decoder.trim_right_ratio,
        codebook_size=quantizer.bins,
        codebook_dim=seanet.dimension,
        use_conv_shortcut=not seanet.true_skip,
    )
    shared = {f.name: getattr(seanet, f.name) for f in dataclasses.fields(seanet)}
    cannot = {
        "n_residual_layers that differ by stage": len(layers) > 1,
        "n_filters that do not double": seanet.widths
        != tuple(seanet.widths[0] << i for i in range(len(seanet.widths))),
        f"norm {seanet.norm}": hub.norm_type not in ("weight_norm", "time_group_norm"),
        "a norm that spares outer blocks": seanet.norm != "none"
        and seanet.disable_norm_outer_blocks > 0,
        "norm_params": bool(seanet.norm_params),
        "no LSTM": seanet.lstm == 0,
        f"activation {seanet.activation}": (seanet.activation, seanet.activation_params)
        != ("ELU", {"alpha": 1.0}),
        "a final activation": decoder.final_activation is not None,
        "a decoder unlike its encoder": any(getattr(decoder, k) != v for k, v in shared.items()),
        f"{quantizer.bins} codes, no power of 2": quantizer.bins & (quantizer.bins - 1) != 0,
        f"{float(frame_rate):g} frames/s": frame_rate.denominator != 1,
        f"{quantizer.n_q} codebooks": hub.num_quantizers != quantizer.n_q,
        f"{config.channels} channels": config.channels > 2,
    }
    reasons = ", ".join(reason for reason, holds in cannot.items() if holds)
    if reasons:
        raise UsageError(
            f"{parameter('to', 'hf')}: transformers has no model with {reasons}, "
            f"as {config.name} has"
        )
    return {
        "architectures": ["EncodecModel"],
        "model_type": "encodec",
        "dtype": "float32",
        **dataclasses.asdict(hub),
    }


def hub_state(config: CodecConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What transformers' `EncodecModel` loads strictly, from folded weights of ours, in fp32.

    Norms are written as `weight_g` and `weight_v`, which its versions of all years read.
    """
    normed = (".conv.weight",) if config.seanet.norm == "none" else ()
    made = unfold_state({hub_name(name): value for name, value in state.items()}, normed)
    return {name: value.contiguous() for name, value in made.items()}
