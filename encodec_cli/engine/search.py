"""The residual vector quantizer on PyTorch, for GPUs: the search of `runtime.search` on tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from encodec_cli.engine.rows import Scratch

__all__ = ["TorchQuantizer"]

_MOST_SCORES = 1 << 20
_BLOCK = 32


class TorchQuantizer:
    """Codebooks ready to be searched and summed up; threads may share one.

    `codebooks` holds what each code adds to the latents, `[bins, D]` each, coarse first. It
    computes in fp32 or more, whatever the networks do.
    """

    def __init__(self, codebooks: Sequence[Tensor]) -> None:
        exact = [b.detach().to(torch.promote_types(b.dtype, torch.float32)) for b in codebooks]
        # Each with half the squared norms of its vectors, see `_search`.
        self._books = [(book, 0.5 * book.pow(2).sum(1)) for book in exact]
        self._scratch = Scratch()

    @property
    def books(self) -> list[Tensor]:
        """The codebooks `[bins, D]`."""
        return [book for book, _ in self._books]

    @torch.inference_mode()
    def encode(self, latents: Tensor, n_q: int, beams: int) -> Tensor:
        """Codes `[n_q, T]` (int64) of latents `[T, D]`, keeping `beams` sums of each frame.

        The search of `runtime.search`, where its sources are. What is held at a time is bounded:
        many frames are done in portions.
        """
        books = self._books[:n_q]
        portion = max(1, _MOST_SCORES // (beams * max(len(book) for book, _ in books)))
        codes = torch.empty(n_q, len(latents), dtype=torch.long, device=latents.device)
        for start in range(0, len(latents), portion):
            part = slice(start, start + portion)
            codes[:, part] = self._search(latents[part], books, beams)
        return codes

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[T, D]` of codes `[K, T]` (int64), all of them within their codebooks."""
        out = self._books[0][0][codes[0]]
        for (book, _), indices in zip(self._books[1:], codes[1:], strict=False):
            out += book[indices]
        return out

    def _search(
        self, latents: Tensor, books: Sequence[tuple[Tensor, Tensor]], beams: int
    ) -> Tensor:
        count, width = latents.shape
        rests = latents.to(books[0][0].dtype)[:, None]  # [T, N, D], N up to `beams`
        codes = torch.zeros(count, 1, 0, dtype=torch.long, device=latents.device)
        for number, (book, half_norms) in enumerate(books, start=1):
            # Half the squared norm of what each vector would leave: (rest - vector)^2 / 2.
            flat = rests.reshape(-1, width)
            scores = self._scratch.take("scores", flat, len(flat), len(book))
            torch.addmm(half_norms, flat, book.t(), alpha=-1, out=scores)
            if rests.shape[1] > 1:
                scores += 0.5 * flat.pow(2).sum(1, keepdim=True)
            scores = scores.view(count, -1)
            keep = 1 if number == len(books) else min(beams, scores.shape[1])
            best = _smallest(scores, keep)
            beam, code = best // len(book), best % len(book)
            chosen = beam[..., None]
            rests = rests.gather(1, chosen.expand(-1, -1, width)) - book[code]
            codes = torch.cat(
                (codes.gather(1, chosen.expand(-1, -1, codes.shape[2])), code[..., None]), dim=2
            )
        return codes[:, 0].t()


def _smallest(scores: Tensor, count: int) -> Tensor:
    """Indices `[T, count]` of the smallest of `[T, S]`, in any order.

    They lie in the `count` blocks with the smallest minima, which leaves less to sort through.
    """
    if count == 1:
        return scores.argmin(1, keepdim=True)
    if scores.shape[1] % _BLOCK or scores.shape[1] < 2 * count * _BLOCK:
        return scores.topk(count, largest=False, sorted=False).indices
    blocks = scores.view(len(scores), -1, _BLOCK)
    chosen = blocks.amin(2).topk(count, largest=False, sorted=False).indices
    kept = blocks.gather(1, chosen[..., None].expand(-1, -1, _BLOCK)).flatten(1)
    best = kept.topk(count, largest=False, sorted=False).indices
    return chosen.gather(1, best // _BLOCK) * _BLOCK + best % _BLOCK
