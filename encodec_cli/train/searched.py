"""Latents as files hold them: of codes that the search finds, for a decoder that learns alone."""

import torch
from torch import Tensor

from encodec_cli.engine.search import TorchQuantizer
from encodec_cli.errors import ConfigError
from encodec_cli.model.module import CompressionModel

__all__ = ["SearchedCodes"]


class SearchedCodes:
    """Quantizes batches of `batch` crops with the codebooks that `model` has at the first.

    The crops of a batch take turns in the bandwidths that the model is trained for: which crop is
    where is random already, and the search needs to know K beforehand.

    Raises:
        ConfigError: `batch` is no multiple of the number of bandwidths.
    """

    def __init__(self, model: CompressionModel, beams: int, batch: int) -> None:
        c = model.config
        self._depths = [c.codebooks_for(kbps) for kbps in c.target_bandwidths]
        if batch % len(self._depths):
            raise ConfigError(
                f"batch: {batch}: with search, give a multiple of {len(self._depths)}, "
                "the number of bandwidths"
            )
        self._model, self._beams = model, beams
        self._quantizer: TorchQuantizer | None = None

    def __call__(self, latents: Tensor) -> Tensor:
        """Latents `[B, D, T]` (fp32) quantized, without a gradient."""
        if self._quantizer is None:  # now, because a run that goes on loads its codebooks late
            books = self._model.quantizer.codebooks
            self._quantizer = TorchQuantizer([book.embed for book in books])
        out = torch.empty_like(latents)
        step = len(self._depths)
        for first, depth in enumerate(self._depths):
            some = latents[first::step].transpose(1, 2)
            vectors = some.reshape(-1, some.shape[2])
            codes = self._quantizer.encode(vectors, depth, self._beams)
            found = self._quantizer.decode(codes).view(some.shape)
            out[first::step] = found.transpose(1, 2)
        return out
