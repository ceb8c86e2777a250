"""The residual vector quantizer compiled for coding."""

import torch
from torch import Tensor

from encodec_cli.engine.rows import Scratch
from encodec_cli.nn.quantizer import ResidualVectorQuantizer

__all__ = ["CompiledQuantizer"]


class CompiledQuantizer:
    """Searches codebook by codebook: one product and one maximum each, in one scratch matrix.

    It computes in fp32 or more, whatever the networks do.
    """

    def __init__(self, quantizer: ResidualVectorQuantizer, dtype: torch.dtype) -> None:
        exact = torch.promote_types(dtype, torch.float32)
        books = [book.embed.detach().to(exact) for book in quantizer.codebooks]
        self._books = books
        # |x - e|^2 = |x|^2 - 2 (x e - |e|^2 / 2): the nearest has the largest x e - |e|^2 / 2.
        self._search = [(book.t().contiguous(), -0.5 * book.pow(2).sum(1)) for book in books]
        self._scratch = Scratch()

    @torch.inference_mode()
    def encode(self, latents: Tensor, n_q: int) -> Tensor:
        """Codes `[n_q, T]` (int64) of latents `[T, D]`."""
        residual = latents.to(self._books[0].dtype, copy=True).contiguous()
        frames, bins = latents.shape[0], self._books[0].shape[0]
        codes = torch.empty(n_q, frames, dtype=torch.int64, device=latents.device)
        scores = self._scratch.take("scores", residual, frames, bins)
        for k in range(n_q):
            vectors, offsets = self._search[k]
            torch.addmm(offsets, residual, vectors, out=scores)
            torch.argmax(scores, dim=1, out=codes[k])
            residual -= self._books[k][codes[k]]
        return codes

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[T, D]` of codes `[K, T]` (int64), all of them within their codebooks."""
        out = self._books[0][codes[0]]
        for book, indices in zip(self._books[1:], codes[1:], strict=False):
            out += book[indices]
        return out
