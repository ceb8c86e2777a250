"""Encoder search: better codes for the same decoder, by beam search over the residual stages."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["beam_search"]

_MOST_SCORES = 1 << 20
_BLOCK = 32


@torch.no_grad()
def beam_search(vectors: Tensor, tables: Sequence[Tensor], beams: int) -> Tensor:
    """Codes `[K, M]` of `vectors` `[M, D]`, each a sum of one row from each of K `tables`.

    The greedy choice takes at each table the row nearest to what is left. This keeps the `beams`
    best sums of each vector from table to table, so that a row may be taken which leaves more now
    and less in the end; with one beam it is the greedy choice. Vectors do not depend on each
    other. Rows `[bins, D]` are those that the decoder adds. What is held at a time is bounded:
    many vectors are done in portions.

    Source: the M-L search of LeBlanc, Bhattacharya, Mahmoud, Cuperman 1993 ("Efficient search and
    design procedures for robust multi-stage VQ of LPC parameters for 4 kb/s speech coding").
    """
    most_rows = max(table.shape[0] for table in tables)
    portion = max(1, _MOST_SCORES // (beams * most_rows))
    if not len(vectors):
        return torch.zeros(len(tables), 0, dtype=torch.long, device=vectors.device)
    return torch.cat(
        [_search(part, tables, beams) for part in torch.split(vectors, portion)], dim=1
    )


def _search(vectors: Tensor, tables: Sequence[Tensor], beams: int) -> Tensor:
    count, width = vectors.shape
    residuals = vectors.float()[:, None]  # [M, N, D], N up to `beams`
    codes = torch.zeros(count, 1, 0, dtype=torch.long, device=vectors.device)
    for number, table in enumerate(tables, start=1):
        rows = table.float()
        # Half the squared norm of what each row would leave: (residual - row)^2 / 2.
        flat = residuals.reshape(-1, width)
        scores = torch.addmm(0.5 * rows.pow(2).sum(1), flat, rows.t(), alpha=-1)
        if residuals.shape[1] > 1:
            scores += 0.5 * flat.pow(2).sum(1, keepdim=True)
        scores = scores.view(count, -1)
        keep = 1 if number == len(tables) else min(beams, scores.shape[1])
        best = _smallest(scores, keep)
        beam, row = best // len(rows), best % len(rows)
        chosen = beam[..., None]
        residuals = residuals.gather(1, chosen.expand(-1, -1, width)) - rows[row]
        codes = torch.cat(
            (codes.gather(1, chosen.expand(-1, -1, codes.shape[2])), row[..., None]), dim=2
        )
    return codes[:, 0].t()


def _smallest(scores: Tensor, count: int) -> Tensor:
    """Indices `[M, count]` of the smallest of `[M, S]`, in any order.

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
