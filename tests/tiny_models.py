"""Codecs small enough for a test, with codebooks that spread over the latents."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.config.codec import CodecConfig
from encodec_cli.model.module import CompressionModel

__all__ = ["segment_model", "spread_codebooks", "tiny_config", "tiny_model", "wave"]


def tiny_config(**changes: Any) -> CodecConfig:
    """Causal, 1 kHz, 12 samples per frame, 3 codebooks of 16 codes; `seanet` is merged."""
    data: dict[str, Any] = {
        "name": "tiny",
        "sample_rate": 1000,
        "channels": 1,
        "target_bandwidths": [0.7],
        "seanet": {
            "dimension": 6,
            "n_filters": 4,
            "n_residual_layers": 1,
            "ratios": [4, 3],
            "causal": True,
        },
        "quantizer": {"n_q": 3, "bins": 16},
    }
    for section in ("seanet", "quantizer"):
        data[section] |= changes.pop(section, {})
    return CodecConfig.from_dict(data | changes)


def tiny_model(config: CodecConfig | None = None, **changes: Any) -> CompressionModel:
    """An untrained model of `tiny_config(**changes)`, ready to code."""
    model = CompressionModel(config or tiny_config(**changes)).eval()
    model.requires_grad_(False)
    spread_codebooks(model)
    return model


def segment_model(**changes: Any) -> CompressionModel:
    """Stereo, normalised, in segments of 60 samples every 54, like EnCodec 48 kHz."""
    defaults: dict[str, Any] = {
        "channels": 2,
        "normalize": True,
        "segment_seconds": 0.06,
        "overlap": 0.1,
        "seanet": {"causal": False, "norm": "time_group_norm"},
    }
    return tiny_model(**(defaults | changes))


def spread_codebooks(model: CompressionModel) -> None:
    """Random codebooks, as wide as the latents of noise and finer from one to the next."""
    x = torch.randn(1, model.channels, 60 * model.config.hop_length)
    with torch.no_grad():
        width = model.encoder(x).std()
        for k, codebook in enumerate(model.quantizer.codebooks):
            codebook.embed.data = torch.randn_like(codebook.embed) * width * 0.7**k
            codebook.inited.fill_(1)
            codebook._started = True


def wave(samples: int, channels: int = 1, *, seed: int = 0) -> NDArray[np.float32]:
    """Noise and a rising tone, `[channels, samples]`, within [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(channels, samples, generator=generator) * 0.1
    t = torch.arange(samples) / 1000
    tone: Tensor = 0.3 * torch.sin(40 * t * (1 + t)) + noise
    return tone.clamp(-1, 1).numpy()


def with_name(model: CompressionModel, name: str) -> CompressionModel:
    """The same weights under another name."""
    other = CompressionModel(replace(model.config, name=name)).eval()
    other.load_state_dict(model.state_dict())
    return other
