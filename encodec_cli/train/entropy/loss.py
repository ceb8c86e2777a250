"""Cross entropy of codes whose logits are scalar products, in little memory.

The 1024 logits of a code are the largest thing in training, and used once. So they are made for
some rows at a time, in one buffer that stays in the cache, and the gradient is taken at once.
"""

from typing import Any

import torch
from torch import Tensor

__all__ = ["code_loss"]

_ROWS = {"cpu": 512, "cuda": 1 << 16}


def code_loss(
    outputs: Tensor, vectors: Tensor, biases: Tensor, codes: Tensor, weights: Tensor
) -> Tensor:
    """Sum of the weighted cross entropies in bits; logits are in octaves, the base is 2.

    Args:
        outputs: `[S, M, D]` for S codebooks and M frames.
        vectors: `[S, bins, D]`.
        biases: `[S, bins]`.
        codes: `[S, M]`, int64.
        weights: of the frames, `[M]`.
    """
    loss: Tensor = _CodeLoss.apply(outputs, vectors, biases, codes, weights)  # type: ignore[no-untyped-call]
    return loss


class _CodeLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, outputs: Tensor, vectors: Tensor, biases: Tensor, codes: Tensor, weights: Tensor
    ) -> Tensor:
        rows = _ROWS.get(outputs.device.type, 512)
        d_outputs = torch.empty_like(outputs)
        d_vectors, d_biases = torch.zeros_like(vectors), torch.zeros_like(biases)
        buffer = outputs.new_empty(min(rows, outputs.shape[1]), vectors.shape[1])
        loss = outputs.new_zeros(())
        for k in range(outputs.shape[0]):
            for start in range(0, outputs.shape[1], rows):
                o = outputs[k, start : start + rows]
                code = codes[k, start : start + rows, None]
                weight = weights[start : start + rows, None]
                scores = buffer[: len(o)]
                torch.addmm(biases[k], o, vectors[k].t(), out=scores)
                scores -= scores.amax(1, keepdim=True)
                own = scores.gather(1, code)
                scores.exp2_()
                total = scores.sum(1, keepdim=True)
                loss += ((total.log2() - own) * weight).sum()
                scores *= weight / total
                scores.scatter_add_(1, code, -weight)
                torch.mm(scores, vectors[k], out=d_outputs[k, start : start + rows])
                d_vectors[k].addmm_(scores.t(), o)
                d_biases[k] += scores.sum(0)
        ctx.save_for_backward(d_outputs, d_vectors, d_biases)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, d_vectors, d_biases = ctx.saved_tensors
        [g] = gradients
        return d_outputs * g, d_vectors * g, d_biases * g, None, None
