"""Quality on held-out recordings, while training and for the model's card."""

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from encodec_cli.audio import Part, open_audio, read_mono
from encodec_cli.config.timing import end_padding
from encodec_cli.evaluation.evaluate import is_speech
from encodec_cli.evaluation.metrics import measure
from encodec_cli.model.module import CompressionModel
from encodec_cli.train.cache import read_manifest

__all__ = ["validate"]

_MOST_SECONDS = 10.0
"""Of a recording; twenty songs as a whole would take longer than a short training."""


def validate(
    model: CompressionModel, manifest: Path, *, quantized: bool = True, n_q: int | None = None
) -> dict[str, Any]:
    """Means of `metrics.measure` over the recordings of `manifest`, by kind.

    `n_q` codebooks (half of them by default); without `quantized` the latents pass unquantized.
    Of recordings longer than 10 s the middle 10 s count. Also `used`, the share of codes in use,
    and `perplexity`, that of the codes' entropy over the size of the codebook, both means over the
    codebooks.
    """
    n_q = n_q or max(1, model.config.quantizer.n_q // 2)
    rows: dict[str, dict[str, list[float]]] = {}
    counts = torch.zeros(n_q, model.config.quantizer.bins)
    for recording in read_manifest(manifest):
        x = torch.from_numpy(_middle(manifest.parent / recording.file, model.sample_rate))
        with torch.inference_mode():
            latents = model.encoder(pad(x[None, None], (0, end_padding(model.config))))
            if quantized:
                codes = model.quantizer.encode(latents)[:, :n_q]
                for k in range(n_q):
                    counts[k] += torch.bincount(codes[0, k], minlength=counts.shape[1])
                latents = model.quantizer.decode(codes)
            y = model.decoder(latents)[0, 0, : len(x)]
        scores = measure(x, y, model.sample_rate, speech=is_speech(recording.kind))
        for name, score in scores.items():
            rows.setdefault(recording.kind, {}).setdefault(name, []).append(score)
    means: dict[str, Any] = {
        kind: {name: round(fmean(values), 4) for name, values in metrics.items()}
        for kind, metrics in rows.items()
    }
    if quantized:
        p = counts / counts.sum(1, keepdim=True)
        entropy = -(p * p.clamp(min=1e-12).log()).sum(1)
        means["perplexity"] = round(float(entropy.exp().mean()) / counts.shape[1], 4)
        means["used"] = round(float((counts > 0).float().mean()), 4)
    return means


def _middle(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """`path`, or its middle if it is long, in mono at `sample_rate` Hz: `[N]`."""
    with open_audio(path) as reader:
        seconds = (reader.num_frames or 0) / reader.sample_rate
    part = None
    if seconds > _MOST_SECONDS:
        part = Part((seconds - _MOST_SECONDS) / 2, _MOST_SECONDS)
    x = read_mono(path, sample_rate, part)
    # Of a stream only the end tells the length.
    over = max(0, len(x) - round(_MOST_SECONDS * sample_rate))
    return x[over // 2 : len(x) - (over - over // 2)]
