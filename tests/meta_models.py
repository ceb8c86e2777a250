"""Meta's `encodec` package with random weights: what the parity tests compare us with."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.errors import EncodecCliError

__all__ = [
    "FILTER",
    "assert_same_codes_but_for_ties",
    "exact_wave",
    "fill_codebooks",
    "import_meta",
    "meta_model",
    "music",
    "save_state",
    "small_meta_model",
]

# encodec 0.1.1 normalises weights the way torch has replaced since.
FILTER = "ignore:.*torch.nn.utils.weight_norm.* is deprecated:FutureWarning"


def import_meta() -> Any:
    """The package `encodec`; skips the test, with the reason, where it cannot be imported."""
    try:
        import_torchaudio()
        import encodec
    except (ImportError, EncodecCliError) as error:
        pytest.skip(f"Meta's encodec package cannot be imported: {error}")
    return encodec


def meta_model(name: str) -> Any:
    """Meta's `encodec_24khz` or `encodec_48khz`, full size, with random weights."""
    encodec = import_meta()
    torch.manual_seed(11)
    make = {"24": "encodec_model_24khz", "48": "encodec_model_48khz"}[name[8:10]]
    model = getattr(encodec.EncodecModel, make)(pretrained=False).eval()
    model.name = name
    fill_codebooks(model)
    return model


def small_meta_model(name: str) -> Any:
    """The same rates and geometry with 2 codebooks of 1024 x 4 and about 10,000 weights."""
    encodec = import_meta()
    import encodec.modules as m
    import encodec.quantization as qt

    torch.manual_seed(12)
    causal = name == "encodec_24khz"
    arguments: dict[str, Any] = {
        "channels": 1 if causal else 2,
        "dimension": 4,
        "n_filters": 2,
        "lstm": 1 if causal else 0,
        "norm": "weight_norm" if causal else "time_group_norm",
        "causal": causal,
    }
    model = encodec.EncodecModel(
        m.SEANetEncoder(**arguments),
        m.SEANetDecoder(**arguments),
        qt.ResidualVectorQuantizer(dimension=4, n_q=2, bins=1024),
        [1.5 if causal else 3.0],
        24000 if causal else 48000,
        1 if causal else 2,
        normalize=not causal,
        segment=None if causal else 1.0,
        name=name,
    ).eval()
    model.set_target_bandwidth(model.target_bandwidths[0])
    fill_codebooks(model)
    return model


@torch.no_grad()
def fill_codebooks(model: Any) -> None:
    """Codebooks spread over what is left of noise and music, so that many codes come to use."""
    swell = torch.linspace(0.02, 0.5, 32000)
    sounds = torch.stack(
        [
            torch.randn(model.channels, 32000) * swell,
            torch.from_numpy(music(32000, model.channels, model.sample_rate)) * swell,
        ]
    )
    residual = model.encoder(sounds).transpose(1, 2).flatten(0, 1)
    for layer in model.quantizer.vq.layers:
        book = layer._codebook
        spread = residual.std(0) * torch.randn_like(book.embed)
        book.embed.copy_(residual.mean(0) + 0.7 * spread)
        book.inited.fill_(1)
        residual = residual - book.embed[torch.cdist(residual, book.embed).argmin(1)]


def save_state(model: Any, path: Path) -> Path:
    """The state as Meta publishes it: a flat `.th`."""
    torch.save(model.state_dict(), path)
    return path


def music(samples: int, channels: int, sample_rate: int) -> NDArray[np.float32]:
    """A chord with noise, different in each channel, `[channels, samples]`."""
    generator = torch.Generator().manual_seed(samples)
    t = torch.arange(samples) / sample_rate
    notes = torch.stack(
        [
            sum(torch.sin(2 * math.pi * f * t * (1 + 0.1 * c)) for f in (220, 331, 1470)) * 0.1
            for c in range(channels)
        ]
    )
    return (notes + 0.05 * torch.randn(channels, samples, generator=generator)).numpy()


def exact_wave(samples: int, channels: int) -> NDArray[np.float32]:
    """Noise from whole numbers, the same bits on every machine, `[channels, samples]`."""
    i = np.arange(samples * channels, dtype=np.int64).reshape(channels, samples)
    noise = (i * i * 7919 + i * 104729) % 65537 % 1001 - 500
    return (noise / 2048).astype(np.float32)


def assert_same_codes_but_for_ties(
    ours: NDArray[np.uint16],
    theirs: Tensor,
    latents: Tensor,
    books: list[Tensor],
    *,
    allowed: int = 1,
) -> int:
    """Compare codes `[K, T]`; each first difference in a frame must be a numerical near-tie.

    Codes after it code another residual and cannot be compared. `latents` `[D, T]` are Meta's.
    There may be `allowed` ties, or 1 in 1000 codes. Returns their number.
    """
    expected = theirs.numpy()
    assert ours.shape == expected.shape
    ties = 0
    for frame in np.flatnonzero((ours != expected).any(0)):
        k = int(np.flatnonzero(ours[:, frame] != expected[:, frame])[0])
        residual = latents[:, frame].double()
        for before in range(k):
            residual = residual - books[before][expected[before, frame]].double()
        a, b = (books[k][int(codes[k, frame])].double() for codes in (ours, expected))
        gap = float(((residual - a).pow(2).sum() - (residual - b).pow(2).sum()).abs())
        # What fp32 resolves is set by the terms x^2 and e^2 that make up a distance.
        scale = float(residual.pow(2).sum() + a.pow(2).sum())
        assert gap < 1e-5 * scale, f"frame {frame}, codebook {k}: gap {gap / scale:.1e}"
        ties += 1
    assert ties <= max(allowed, ours.size // 1000), f"{ties} ties in {ours.size} codes"
    return ties
