"""The delay patterns of MusicGen: codebook k runs k frames late.

    column      0   1   2   3   4   5        T = 4 frames, K = 3 codebooks, T + K - 1 columns
    codebook 0  a0  a1  a2  a3  .   .
    codebook 1  .   b0  b1  b2  b3  .        . is a special token: any number that is no code,
    codebook 2  .   .   c0  c1  c2  c3       such as -1, or `bins` (2048 in MusicGen)

Its stereo models code left and right by themselves and interleave them: rows 2k and 2k + 1 are
codebook k of either side, k frames late both.

Columns of special tokens only, before and after, are dropped: start and end tokens. Where a
generation was cut before the pattern's end, the frames that all codebooks have remain. Source:
MusicGen (Copet et al. 2023, arXiv:2306.05284, section 2.2); for stereo audiocraft's
`CodebooksPatternProvider` with delays 0, 0, 1, 1 ...
"""

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError

__all__ = ["delayed", "undelay", "undelay_stereo"]


def delayed(codes: NDArray[np.int64], special: int) -> NDArray[np.int64]:
    """`codes` `[K, T]` as `[K, T + K - 1]`, `special` where there is none."""
    books, frames = codes.shape
    late = np.full((books, frames + books - 1), special, np.int64)
    for book, row in enumerate(codes):
        late[book, book : book + frames] = row
    return late


def undelay(codes: NDArray[np.integer], bins: int) -> NDArray[np.integer]:
    """Codes `[K, T]` of delayed `codes` `[K, T + K - 1]`, special columns around them allowed.

    `bins` is the number of codes per codebook: 0 to `bins` - 1 are codes, all else is special.

    Raises:
        ContainerError: a code where a special token belongs, a special token where a code
            belongs, or no frame that all codebooks have.
    """
    return _undelayed(codes, bins, np.arange(codes.shape[0]))


def undelay_stereo(
    codes: NDArray[np.integer], bins: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Codes `[K, T]` of the left and the right channel, of `codes` `[2 K, T + K - 1]`.

    Raises:
        ContainerError: see `undelay`; or an odd number of rows.
    """
    if codes.shape[0] % 2:
        raise ContainerError(
            f"{codes.shape[0]} rows: a stereo pattern has two of each codebook; is it mono?"
        )
    both = _undelayed(codes, bins, np.arange(codes.shape[0]) // 2)
    return both[0::2], both[1::2]


def _undelayed(
    codes: NDArray[np.integer], bins: int, delays: NDArray[np.int64]
) -> NDArray[np.integer]:
    special = (codes < 0) | (codes >= bins)
    real = np.flatnonzero(~special.all(axis=0))
    start, end = (int(real[0]), int(real[-1]) + 1) if real.size else (0, 0)
    codes, special = codes[:, start:end], special[:, start:end]
    books, columns = codes.shape
    frames = columns - int(delays[-1])
    if frames < 1:
        raise ContainerError(
            f"{columns} columns of codes: a delay pattern of {books} codebooks has at least "
            f"{int(delays[-1]) + 1}; is it one?"
        )
    # Row 0 ends first; if it goes on to the last column, the pattern was cut.
    length = int(np.flatnonzero(~special[0])[-1]) + 1 if not special[0].all() else 0
    late = np.arange(columns) - delays[:, None]
    edge = (late < 0) | (late >= max(length, frames))
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
    return np.stack(
        [row[late_by : late_by + frames] for row, late_by in zip(codes, delays, strict=True)]
    )
