"""Codes as a file has them, made an item; arranged as the file states, if it does.

`codes_arrangement` in a file is a line of words `name=value`, see `Stated`:

    layout=TK
    layout=TK pattern=delay special=1024 bins=1024
    flat=frames offset=128266 bins=1024 separator=128001 bos=1 eos=2
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.text import shown
from encodec_cli.tokens.arrange import Reading, arranged
from encodec_cli.tokens.item import TokenInfo, TokenItem, check_codes_shape, plain_shape
from encodec_cli.tokens.pattern import undelay

__all__ = ["Stated", "loose_item"]

_WORDS = {"layout": ("KT", "TK"), "pattern": ("delay",), "flat": ("frames", "books")}
_NUMBERS = ("special", "offset", "bins", "separator", "bos", "eos")
_MOST_LINE = 400
_MOST_BINS = 1 << 16
_MOST_BOOKS = 128
_MOST_DIGITS = 18
_MOST_NUMBER = 1 << 48


def loose_item(
    key: str,
    codes: "NDArray[Any]",
    scales: NDArray[np.float32] | None,
    metadata: Mapping[str, Any],
) -> TokenItem:
    """An item of a file whose `codes` have any shape that `plain_shape` takes.

    `metadata` is what the file says. Where it states an arrangement, or K as `n_q`, the codes are
    surely [K, T].

    Raises:
        ContainerError: numbers that are not whole; K is not `n_q`; not arranged as stated.
    """
    info, n_q = TokenInfo.from_mapping(metadata), metadata.get("n_q")
    if isinstance(n_q, str) and n_q.isascii() and n_q.isdigit() and len(n_q) < 10:
        n_q = int(n_q)
    codes = _whole_numbers(codes.reshape(plain_shape(codes.shape)))
    stated = Stated.from_text(metadata.get("codes_arrangement"))
    if stated is not None:
        return TokenItem(key, stated.undone(codes, n_q), scales, info, "stated")
    if codes.ndim == 1:
        return TokenItem(key, codes[None], scales, info, "flat")
    if n_q is None:
        return TokenItem(key, codes, scales, info, "open")
    _check_books(codes, n_q)
    return TokenItem(key, codes, scales, info)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a file says of how its codes are arranged; see `writing.Arrangement`."""

    layout: str | None = None
    pattern: str | None = None
    flat: str | None = None
    special: int | None = None
    offset: int | None = None
    bins: int | None = None
    separator: int | None = None
    bos: int | None = None
    eos: int | None = None

    @classmethod
    def from_text(cls, text: Any) -> Self | None:
        """What `text` states; None if it is None.

        Raises:
            ContainerError: words that are not known.
        """
        if text is None:
            return None
        if not isinstance(text, str) or len(text) > _MOST_LINE:
            raise ContainerError("codes_arrangement: not a line of text")
        values: dict[str, Any] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            if value in _WORDS.get(name, ()):
                values[name] = value
            elif name in _NUMBERS and _is_number(value):
                values[name] = int(value)
            else:
                raise ContainerError(f"codes_arrangement: {shown(word)} is not known")
        stated = cls(**values)
        if stated.bins is None and (stated.flat or stated.pattern):
            raise ContainerError("codes_arrangement: does not say bins")
        if stated.bins is not None and not 2 <= stated.bins <= _MOST_BINS:
            raise ContainerError(f"codes_arrangement: bins={stated.bins}: give 2 to {_MOST_BINS}")
        return stated

    def undone(self, codes: NDArray[np.integer], n_q: Any) -> NDArray[np.integer]:
        """`[K, T]` of `codes` that a file has, whole numbers of one axis or two.

        Raises:
            ContainerError: they are not arranged so.
        """
        if (self.flat is not None) != (codes.ndim == 1):
            raise ContainerError(
                f"codes of shape {list(codes.shape)}: codes_arrangement states "
                f"{'one axis' if self.flat else 'two axes'}"
            )
        if self.flat is not None:
            codes = self._unflattened(codes, n_q)
        elif self.layout == "TK":
            codes = codes.T
        check_codes_shape(codes.shape)
        if self.pattern is not None:
            assert self.bins is not None
            codes = undelay(codes, self.bins)
        _check_books(codes, n_q)
        return codes

    def _unflattened(self, tokens: NDArray[np.integer], n_q: Any) -> NDArray[np.integer]:
        if type(n_q) is not int or not 1 <= n_q <= _MOST_BOOKS:
            raise ContainerError("flat codes: n_q does not say how many codebooks they have")
        assert self.bins is not None
        item = TokenItem("flat", tokens[None], arrangement="flat")
        reading = Reading(n_q, self.bins, "KT", self.offset or 0, self.separator)
        try:
            return arranged(item, reading)
        except UsageError as error:  # nobody can say more than the file does
            raise ContainerError(str(error)) from error


def _whole_numbers(codes: "NDArray[Any]") -> NDArray[np.integer]:
    """`codes` as integers.

    Raises:
        ContainerError: they are no numbers, or not whole.
    """
    if codes.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = codes.astype(np.int64)
        if not (np.abs(codes) < _MOST_NUMBER).all() or (whole != codes).any():
            raise ContainerError(f"codes: {codes.dtype} numbers that are not whole")
        return whole
    if codes.dtype.kind not in "iu":
        raise ContainerError(f"codes: {codes.dtype}, not whole numbers")
    return codes


def _check_books(codes: NDArray[np.integer], n_q: Any) -> None:
    if n_q is not None and n_q != codes.shape[0]:
        raise ContainerError(f"n_q says {shown(n_q, 20)}, but codes have shape {list(codes.shape)}")


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS
