"""Where a code model begins: tables, vectors and frequencies that the codebooks imply."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from encodec_cli.entropy.integer.sizes import WEIGHT_LIMIT, Sizes
from encodec_cli.train.entropy.corpus import CodeCorpus
from encodec_cli.train.entropy.network import CodeNetwork

__all__ = ["TABLE_EXPONENT", "new_network", "table_shifts"]

TABLE_EXPONENT = 11
"""Steps of sums of tables: 1/2048 of the spread of an input."""
_PORTION = 1 << 16


def new_network(codebooks: Sequence[Tensor], corpus: CodeCorpus, sizes: Sizes) -> CodeNetwork:
    """An untrained network for codes of `codebooks`, `[bins, D]` each."""
    rows = torch.stack([book.float().cpu() for book in codebooks])
    codes = corpus.all_codes(sizes.codebooks).cpu().long()
    tables = _rounded(_tables(rows, codes, sizes.inputs))
    counts = torch.stack([torch.bincount(each, minlength=sizes.bins) for each in codes])
    priors = torch.log2((counts + 1.0) / (counts + 1.0).sum(1, keepdim=True))
    vectors = torch.stack([_vectors(book, sizes.outputs) for book in rows])
    return CodeNetwork(sizes, tables, priors, vectors)


def table_shifts(tables: Tensor) -> Tensor:
    """For each codebook of `[K, bins, I]` the shift s with which 8 bits hold it, `[K]`.

    Entries are whole multiples of 2 ** (s - TABLE_EXPONENT).
    """
    largest = tables.abs().amax((1, 2)).clamp(min=1e-9) * 2.0**TABLE_EXPONENT
    return torch.ceil(torch.log2(largest / (WEIGHT_LIMIT + 0.49))).clamp(min=0)


def _rounded(tables: Tensor) -> Tensor:
    scale = torch.exp2(TABLE_EXPONENT - table_shifts(tables))[:, None, None]
    return torch.round(tables * scale) / scale


def _tables(rows: Tensor, codes: Tensor, inputs: int) -> Tensor:
    """Rows `[K, bins, D]` seen along the directions in which their sums spread most."""
    width = rows.shape[2]
    moments = torch.zeros(width, width, dtype=torch.float64)
    for part in torch.split(codes, _PORTION, dim=1):
        sums = torch.zeros(part.shape[1], width)
        for book, code in zip(rows, part, strict=True):
            sums += book[code]
        moments += (sums.t() @ sums).double()
    spread, directions = torch.linalg.eigh(moments / codes.shape[1])
    spread, directions = spread.flip(0)[:inputs], directions.flip(1)[:, :inputs]
    scale = spread.clamp(min=float(spread[0]) * 1e-8).rsqrt()
    found: Tensor = rows @ (directions * scale).float()
    return found


def _vectors(book: Tensor, outputs: int) -> Tensor:
    """Leading principal components of a codebook `[bins, D]`, `[bins, outputs]`."""
    centred = book - book.mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:outputs]
    found = centred @ directions.t()
    found = torch.nn.functional.pad(found, (0, outputs - found.shape[1]))
    norm = found.pow(2).sum(1).mean().sqrt().clamp(min=1e-9)
    return found / norm * (0.5 * math.sqrt(outputs))
