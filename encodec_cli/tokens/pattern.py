"""The delay pattern of MusicGen: codebook k runs k frames late.

    column      0   1   2   3   4   5        T = 4 frames, K = 3 codebooks, T + K - 1 columns
    codebook 0  a0  a1  a2  a3  .   .
    codebook 1  .   b0  b1  b2  b3  .        . is a special token: any number that is no code,
    codebook 2  .   .   c0  c1  c2  c3       such as -1, or `bins` (2048 in MusicGen)

Language models often start from a column of special tokens only; such leading columns are
dropped. Source: MusicGen (Copet et al. 2023, arXiv:2306.05284, section 2.2).
"""

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError

__all__ = ["undelay"]


def undelay(codes: NDArray[np.integer], bins: int) -> NDArray[np.integer]:
    """Codes `[K, T]` of delayed `codes` `[K, T + K - 1]`, special columns before it allowed.

    `bins` is the number of codes per codebook: 0 to `bins` - 1 are codes, all else is special.

    Raises:
        ContainerError: a code where a special token belongs, a special token where a code
            belongs, or fewer columns than K.
    """
    special = (codes < 0) | (codes >= bins)
    real = np.flatnonzero(~special.all(axis=0))
    start = int(real[0]) if real.size else codes.shape[1]
    codes, special = codes[:, start:], special[:, start:]
    books, columns = codes.shape
    frames = columns - books + 1
    if frames < 1:
        raise ContainerError(
            f"{columns} columns of codes: a delay pattern of {books} codebooks has at least "
            f"{books}; is it one?"
        )
    late = np.arange(columns) - np.arange(books)[:, None]
    edge = (late < 0) | (late >= frames)
    if (wrong := np.argwhere(edge & ~special)).size:
        book, column = map(int, wrong[0])
        raise ContainerError(
            f"not a delay pattern: codebook {book}, column {column} holds code "
            f"{int(codes[book, column])}, where a special token (not 0 to {bins - 1}) belongs"
        )
    if (wrong := np.argwhere(~edge & special)).size:
        book, column = map(int, wrong[0])
        raise ContainerError(
            f"codebook {book}, column {column} holds special token {int(codes[book, column])}, "
            f"where a code (0 to {bins - 1}) belongs"
        )
    return np.stack([codes[book, book : book + frames] for book in range(books)])
