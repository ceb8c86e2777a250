"""Vector quantization with straight-through gradients, and its residual cascade."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_cli.nn.codebook import EuclideanCodebook

__all__ = ["ResidualVectorQuantization", "VectorQuantization", "orthogonal_loss"]


def orthogonal_loss(vectors: Tensor) -> Tensor:
    """How far the rows of `[N, D]`, normalised, are from orthogonal: mean squared cosine.

    Source: Shin et al. 2021 (arXiv 2112.00384), equation 2.
    """
    n = vectors.shape[0]
    rows = F.normalize(vectors, dim=1)
    cosines = rows @ rows.t()
    return cosines.pow(2).sum() / n**2 - 1 / n


class VectorQuantization(nn.Module):
    """One quantizer on `[B, D, T]` (or `[B, T, D]` with `channels_last`)."""

    _codebook: EuclideanCodebook

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        decay: float = 0.8,
        epsilon: float = 1e-5,
        kmeans_init: bool = False,
        kmeans_iters: int = 10,
        threshold_ema_dead_code: float = 2.0,
        channels_last: bool = False,
        commitment_weight: float = 1.0,
        orthogonal_reg_weight: float = 0.0,
        orthogonal_reg_active_codes_only: bool = False,
        orthogonal_reg_max_codes: int | None = None,
    ) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.commitment_weight = commitment_weight
        self.orthogonal_reg_weight = orthogonal_reg_weight
        self.orthogonal_reg_active_codes_only = orthogonal_reg_active_codes_only
        self.orthogonal_reg_max_codes = orthogonal_reg_max_codes
        self._codebook = EuclideanCodebook(
            dim=dim,
            codebook_size=codebook_size,
            kmeans_init=kmeans_init,
            kmeans_iters=kmeans_iters,
            decay=decay,
            epsilon=epsilon,
            threshold_ema_dead_code=threshold_ema_dead_code,
        )
        if orthogonal_reg_weight > 0:
            # The averages alone would give this penalty nothing to act on.
            self._codebook.embed = nn.Parameter(self._codebook.embed)

    @property
    def codebook(self) -> Tensor:
        """The vectors, `[bins, D]`."""
        return self._codebook.embed

    def _to_vectors(self, x: Tensor) -> Tensor:
        return x if self.channels_last else x.transpose(1, 2)

    def encode(self, x: Tensor) -> Tensor:
        """`[B, D, T] -> [B, T]`."""
        return self._codebook.encode(self._to_vectors(x))

    def decode(self, codes: Tensor) -> Tensor:
        """`[B, T] -> [B, D, T]`."""
        return self._to_vectors(self._codebook.decode(codes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize `[B, D, T]`.

        Returns quantized `[B, D, T]`, codes `[B, T]` and the penalty (scalar:
        commitment and orthogonality, weighted; 0 outside training).
        """
        vectors = self._to_vectors(x)
        quantized, codes = self._codebook(vectors)
        penalty = x.new_zeros(())
        if self.training:
            if self.commitment_weight > 0:
                penalty = self.commitment_weight * F.mse_loss(vectors, quantized.detach())
            if self.orthogonal_reg_weight > 0:
                penalty = penalty + self.orthogonal_reg_weight * self._orthogonality(codes)
            quantized = vectors + (quantized - vectors).detach()
        return self._to_vectors(quantized), codes, penalty

    def _orthogonality(self, codes: Tensor) -> Tensor:
        book = self.codebook
        if self.orthogonal_reg_active_codes_only:
            book = book[torch.unique(codes)]
        most = self.orthogonal_reg_max_codes
        if most is not None and book.shape[0] > most:
            book = book[torch.randperm(book.shape[0], device=book.device)[:most]]
        return orthogonal_loss(book)


class ResidualVectorQuantization(nn.Module):
    """A cascade in which each quantizer codes what the ones before it left over.

    Source: SoundStream (Zeghidour et al. 2021, section III.C, algorithm 1).
    """

    def __init__(self, *, num_quantizers: int, **kwargs: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VectorQuantization(**kwargs) for _ in range(num_quantizers))

    def first(self, n_q: int | None) -> list[VectorQuantization]:
        """The first `n_q` quantizers; all of them if None."""
        return list(self.layers[:n_q])  # type: ignore[arg-type]

    def forward(self, x: Tensor, n_q: int | Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize `[B, D, T]` with the first `n_q` quantizers (a number, or one per item `[B]`).

        With one number per item all quantizers run and learn, but an item's output is the sum of
        its own first ones. Returns quantized `[B, D, T]`, codes `[K, B, T]`, penalties `[K]`.
        """
        per_item = n_q if isinstance(n_q, Tensor) else None
        layers = self.first(None if isinstance(n_q, Tensor) else n_q)
        residual, quantized_sum = x, torch.zeros_like(x)
        codes, penalties = [], []
        for k, layer in enumerate(layers):
            quantized, layer_codes, penalty = layer(residual)
            # Detached: each quantizer is trained on the residual, not to shape it.
            residual = residual - quantized.detach()
            if per_item is not None:
                quantized = quantized * (per_item > k)[:, None, None]
            quantized_sum = quantized_sum + quantized
            codes.append(layer_codes)
            penalties.append(penalty)
        if self.training:
            # One straight-through step for the sum: the steps of the layers would add up.
            quantized_sum = x + (quantized_sum - x).detach()
        return quantized_sum, torch.stack(codes), torch.stack(penalties)

    def encode(self, x: Tensor, n_q: int | None = None) -> Tensor:
        """`[B, D, T] -> [K, B, T]` with the first `n_q` quantizers."""
        residual, codes = x, []
        for layer in self.first(n_q):
            codes.append(layer.encode(residual))
            residual = residual - layer.decode(codes[-1])
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """`[K, B, T] -> [B, D, T]`, K at most the number of quantizers."""
        layers = self.first(len(codes))
        out = layers[0].decode(codes[0])
        for layer, layer_codes in zip(layers[1:], codes[1:], strict=True):
            out = out + layer.decode(layer_codes)
        return out
