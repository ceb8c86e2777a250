"""A range coder in whole numbers: many runs side by side when decoding.

Both sides keep a range below 2 ** 56. A symbol that owns [below, below + frequency) of `total`
takes its share of it, and 16 bits move out whenever less than 2 ** 40 is left:

    step = range // total;  low += step * below;  range = step * frequency

A run is the digits of a number within the last range, to base 256, with as few bytes as name one:
zeros at its end are left out, and a decoder reads zeros there.

Source: Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised
message"; the carry goes back through the bytes, as in arithmetic coders since Pasco 1976.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers", "RangeDecoder", "RangeDecoders", "encode_run"]

Numbers = NDArray[np.uint64]

_TOP = 56
_UNIT = 16
_BOTTOM = 1 << (_TOP - _UNIT)
_MASK = (1 << _TOP) - 1
_FIRST_UNITS = -(-_TOP // _UNIT)
_SHIFT, _LEAST, _ONE = np.uint64(_UNIT), np.uint64(_BOTTOM), np.uint64(1)


def encode_run(below: Sequence[int], frequencies: Sequence[int], totals: Sequence[int]) -> bytes:
    """The run of symbols that own [below, below + frequency) of their totals.

    Each frequency is at least 1; totals are below 2 ** 32, and at least below + frequency.
    """
    low, width = 0, 1 << _TOP
    digits = []
    for start, frequency, total in zip(below, frequencies, totals, strict=True):
        step = width // total
        low += step * start
        width = step * frequency
        while width < _BOTTOM:
            # Past 2 ** 56 it is the digits before that are one too small.
            digits.append(low >> _TOP - _UNIT)
            low = low << _UNIT & _MASK
            width <<= _UNIT
    number = _shortest(low, width) << -_TOP % _UNIT
    for shift in range(_TOP - _UNIT - _TOP % -_UNIT, -1, -_UNIT):
        digits.append(number >> shift)
        number &= (1 << shift) - 1
    return _carried(digits).rstrip(b"\0")


def _shortest(low: int, width: int) -> int:
    """A number within [low, low + width) that ends in most zero bytes."""
    for zeros in range(_TOP, 0, -8):
        number = -(-low >> zeros) << zeros
        if number < low + width:
            return number
    return low


def _carried(digits: list[int]) -> bytes:
    """The bytes of digits to base 2 ** 16 that may exceed it by what belongs to those before."""
    found = np.array(digits, np.int64)
    while len(over := np.flatnonzero(found >> _UNIT)):
        found[over] -= 1 << _UNIT
        found[over - 1] += 1
    return found.astype(">u2").tobytes()


def _units(runs: Sequence[bytes]) -> int:
    """Digits that the longest of the runs takes, with zeros to go on with."""
    return max(map(len, runs), default=0) // 2 + 6


def _padded(run: bytes, units: int) -> bytes:
    """A run as `units` digits.

    A zero before it makes its first 56 bits fill whole digits of 16; zeros after it stand for what
    is not there.
    """
    return (b"\0" + run).ljust(2 * units, b"\0")


class RangeDecoder:
    """One run; see `RangeDecoders`, which takes more time for one than this."""

    def __init__(self, run: bytes) -> None:
        self._digits = np.frombuffer(_padded(run, _units([run])), ">u2").tolist()
        self._at = _FIRST_UNITS
        self._code = 0
        for digit in self._digits[:_FIRST_UNITS]:
            self._code = self._code << _UNIT | digit
        self._width = self._step = 1 << _TOP

    def target(self, total: int) -> int:
        """A number below `total`; the symbol that owns it is next."""
        self._step = self._width // total
        self._code = min(self._code, self._step * total - 1)
        return self._code // self._step

    def narrow(self, below: int, frequency: int) -> None:
        """Move past the symbol that owns [below, below + frequency)."""
        self._code -= self._step * below
        self._width = self._step * frequency
        while self._width < _BOTTOM:
            digit = self._digits[self._at] if self._at < len(self._digits) else 0
            self._code = self._code << _UNIT | digit
            self._width <<= _UNIT
            self._at += 1


class RangeDecoders:
    """Runs, decoded side by side: symbol after symbol, each with totals and bounds of its own.

    Every call is for the first runs, as many as it gives totals. Whatever the bytes, targets are
    within totals.
    """

    def __init__(self, runs: Sequence[bytes]) -> None:
        units = _units(runs)
        padded = b"".join(_padded(run, units) for run in runs)
        self._digits = np.frombuffer(padded, ">u2").astype(np.uint64)
        self._at = np.arange(len(runs)) * units
        self._last = self._at + (units - 1)
        self._code = np.zeros(len(runs), np.uint64)
        for _ in range(_FIRST_UNITS):
            self._code = self._code << _SHIFT | self._digits[self._at]
            self._at += 1
        self._width = np.full(len(runs), 1 << _TOP, np.uint64)
        self._step = self._width

    def targets(self, totals: Numbers) -> Numbers:
        """A number below each total; the symbol that owns it is next. `[n]`."""
        n = len(totals)
        self._step = self._width[:n] // totals
        code = self._code[:n]
        # No encoder leaves a number in what the division left over.
        np.minimum(code, self._step * totals - _ONE, out=code)
        targets: Numbers = code // self._step
        return targets

    def narrow(self, below: Numbers, frequencies: Numbers) -> None:
        """Move past the symbols that own [below, below + frequency)."""
        n = len(below)
        code, width = self._code[:n], self._width[:n]
        code -= self._step * below
        np.multiply(self._step, frequencies, out=width)
        while True:
            short = np.flatnonzero(width < _LEAST)
            if not len(short):
                return
            at = self._at[short]
            code[short] = code[short] << _SHIFT | self._digits[at]
            width[short] <<= _SHIFT
            self._at[short] = np.minimum(at + 1, self._last[short])
