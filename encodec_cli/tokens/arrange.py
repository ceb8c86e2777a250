"""Codes as other programs arrange them, brought to [K, T].

    (K, 1, T), (1, 1, K, T) ...   axes of one are dropped on reading, see `item.plain_shape`
    (T, K)                        told from (K, T) by the model's codebooks, or the length
    k * bins + code               an offset per codebook, as vocabularies of language models have it
    a0 b0 c0 a1 b1 c1 ...         flat, frame after frame or book after book; the offsets tell

Nothing is guessed: what could be read in two ways is refused until it is said which.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError, UsageError, parameter
from encodec_cli.tokens.item import TokenItem, check_codes_shape

__all__ = ["Layout", "Reading", "arranged"]

Layout = Literal["KT", "TK"]


@dataclass(frozen=True)
class Reading:
    """What is known about codes that do not say it themselves.

    Attributes:
        books: of the model, or rows that a pattern makes of them.
        bins: codes in a codebook.
        layout: which axis is which, if that is said.
        offset: the number of the first code of the first codebook.
        separator: the number between frames or codebooks of flat codes, if there is one.
    """

    books: int
    bins: int
    layout: Layout | None = None
    offset: int = 0
    separator: int | None = None


def arranged(item: TokenItem, reading: Reading) -> NDArray[np.integer]:
    """The codes `[K, T]` of `item`, offsets taken off; special tokens stay, for `undelay`.

    Raises:
        ContainerError: flat tokens without offsets, or in no order.
        UsageError: (K, T) and (T, K) are both possible, or neither is.
    """
    if item.arrangement == "stated":
        return item.codes
    if item.arrangement == "flat":
        return _unflattened(item.codes[0], reading)
    codes = _oriented(item, reading)
    return _without_offsets(codes.astype(np.int64), reading)


def _oriented(item: TokenItem, reading: Reading) -> NDArray[np.integer]:
    codes = item.codes
    rows, columns = codes.shape
    if item.arrangement == "known" and reading.layout is None:
        return codes
    layout = reading.layout or _layout_by_length(item)
    if layout is None:
        fits = [rows <= reading.books, columns <= reading.books]
        if all(fits) and rows > 1:
            raise UsageError(
                f"codes of shape {[rows, columns]}: with up to {reading.books} codebooks both axes "
                f"could be frames; say {parameter('layout', 'KT')} or {parameter('layout', 'TK')}"
            )
        if not any(fits):
            raise UsageError(
                f"codes of shape {[rows, columns]}: neither axis is the model's, which has "
                f"{reading.books} codebooks; name the model that they are of"
            )
        layout = "KT" if fits[0] else "TK"
    codes = codes if layout == "KT" else codes.T
    check_codes_shape(codes.shape)
    return codes


def _layout_by_length(item: TokenItem) -> Layout | None:
    info, (rows, columns) = item.info, item.codes.shape
    if info.num_samples is None or info.hop is None or rows == columns:
        return None
    frames = -(-(info.num_samples + (info.end_padding or 0)) // info.hop)
    return "KT" if columns == frames else "TK" if rows == frames else None


def _without_offsets(codes: NDArray[np.int64], reading: Reading) -> NDArray[np.int64]:
    """`codes` less k * bins and the first offset, if all rows are in their ranges."""
    starts = reading.offset + reading.bins * np.arange(len(codes))[:, None]
    own = codes - starts
    if ((own >= 0) & (own < reading.bins)).all() and (len(codes) > 1 or reading.offset):
        return own
    if reading.offset:
        book, column = map(int, np.argwhere((own < 0) | (own >= reading.bins))[0])
        raise ContainerError(
            f"codebook {book}, frame {column} holds {int(codes[book, column])}, which is not "
            f"{int(starts[book, 0])} to {int(starts[book, 0]) + reading.bins - 1}, its numbers "
            f"from {parameter('offset', reading.offset)} on"
        )
    return codes


def _unflattened(tokens: NDArray[np.integer], reading: Reading) -> NDArray[np.int64]:
    """`[K, T]` of flat tokens that tell their codebooks by an offset of `bins` each.

    Special tokens before and after are dropped, and a last frame that is not complete.
    """
    if reading.separator is not None:
        tokens = tokens[tokens != reading.separator]
    numbers = tokens.astype(np.int64) - reading.offset
    real = np.flatnonzero((numbers >= 0) & (numbers < reading.books * reading.bins))
    if not real.size:
        raise ContainerError(
            f"no flat tokens from {reading.offset} to "
            f"{reading.offset + reading.books * reading.bins - 1}; the first one's number is "
            f"{parameter('offset')}"
        )
    first = int(real[0])
    numbers = numbers[first : int(real[-1]) + 1]
    if len(real) != len(numbers):
        place = first + int(np.argmin(np.isin(np.arange(first, first + len(numbers)), real)))
        raise ContainerError(
            f"flat token {place} is {int(tokens[place])}, a special token between codes; see "
            f"{parameter('offset')} and {parameter('separator')}"
        )
    found = numbers // reading.bins
    books = int(found.max()) + 1
    if books == 1:
        if reading.layout is None:
            raise UsageError(
                "flat tokens that tell no codebooks by offsets; if they are one codebook's, say "
                f"{parameter('layout', 'KT')}"
            )
        return numbers[None]
    frames = len(numbers) // books
    if frames and (found == np.arange(len(numbers)) % books).all():
        return (numbers[: frames * books] % reading.bins).reshape(frames, books).T
    if len(numbers) == frames * books and (found == np.repeat(np.arange(books), frames)).all():
        return (numbers % reading.bins).reshape(books, frames)
    raise ContainerError(
        f"flat tokens of {books} codebooks that follow each other neither frame by frame nor book "
        f"by book; the first one's number is {parameter('offset')}"
    )
