"""The arithmetic coder of Meta's `.ecdc` files, in integers only.

Both sides keep an interval [low, high] of whole numbers. It doubles, one bit at a time, until it is
at least 2 ** RANGE_BITS wide; the symbol's share becomes the new interval; leading bits that low
and high agree on can no longer change and leave it:

    interval   |low ............................ high|      >= 2 ** 24 wide
    shares     |  s = 0  | s = 1 |    s = 2    |     |      as the bounds divide 2 ** 24
    symbol 1             |-------|                          the next interval

Meta's program computes `ceil(lo * (d / 2**24))` in fp64, where d / 2**24 is exact and no product
exceeds 2**49; integers therefore give the same numbers. Bits fill bytes from the lowest bit up;
here they pass in numbers whose highest bit comes first, with the bytes turned round.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from encodec_cli.entropy.cdf import RANGE_BITS
from encodec_cli.errors import ContainerError

__all__ = ["ArithmeticDecoder", "ArithmeticEncoder"]

_MASK = (1 << RANGE_BITS) - 1
_MOST_BITS = 62  # Meta's program gives up on longer intervals
_TURNED = [int(f"{byte:08b}"[::-1], 2) for byte in range(256)]


class ArithmeticEncoder:
    """Codes one run of symbols; `finish` ends it on a byte."""

    def __init__(self) -> None:
        self._low = 0
        self._high = 0
        self._width = 0  # bits that low and high may take
        self._bits = 0
        self._count = 0
        self._bytes = bytearray()

    def push(self, below: int, bound: int) -> None:
        """Code a symbol that owns `[below, bound)` of the range.

        Raises:
            ContainerError: the interval no longer fits the 62 bits that decoders have.
        """
        low, high = self._low, self._high
        shift = _doublings(high - low + 1)
        low <<= shift
        high = (high + 1 << shift) - 1
        width = self._width + shift
        size = high - low + 1
        high = low + ((bound - 1) * size >> RANGE_BITS)
        low += below * size + _MASK >> RANGE_BITS
        left = (low ^ high).bit_length()
        if left < width:
            self._emit(low >> left, width - left)
            low &= (1 << left) - 1
            high &= (1 << left) - 1
        elif left > _MOST_BITS:
            raise ContainerError("arithmetic coder: the interval takes over 62 bits")
        self._low, self._high, self._width = low, high, left

    def take(self) -> bytes:
        """The bytes that are complete, once."""
        done = bytes(self._bytes)
        self._bytes.clear()
        return done

    def finish(self) -> bytes:
        """The rest of the run, the last byte filled up with zeros."""
        self._emit(self._low, self._width)
        self._emit(0, -self._count % 8)
        self._low = self._high = self._width = 0
        return self.take()

    def _emit(self, value: int, count: int) -> None:
        """Append the lowest `count` bits of `value`, the highest of them first."""
        bits, count = self._bits << count | value & (1 << count) - 1, self._count + count
        while count >= 8:
            count -= 8
            self._bytes.append(_TURNED[bits >> count])
            bits &= (1 << count) - 1
        self._bits, self._count = bits, count


class ArithmeticDecoder:
    """Decodes one run of symbols, never asking for a byte that does not belong to it.

    Args:
        next_byte: gives the next byte of the run.

    Raises:
        ContainerError: from `pull` and `finish` where no encoder can have written these bits with
            these bounds.
        Exception: whatever `next_byte` raises, for example at the end of the file.
    """

    def __init__(self, next_byte: Callable[[], int]) -> None:
        self._next_byte = next_byte
        self._low = 0
        self._high = 0
        self._current = 0
        self._bits = 0
        self._count = 0

    def pull(self, bounds: Iterable[Sequence[int]]) -> list[int]:
        """The next symbols, one for each of `bounds`, the N that it was coded with.

        An error is the end of the run.
        """
        low, high, current = self._low, self._high, self._current
        bits, count, next_byte = self._bits, self._count, self._next_byte
        symbols = []
        for cdf in bounds:
            size = high - low + 1
            shift = RANGE_BITS + 1 - size.bit_length()
            if shift > 0:
                while count < shift:
                    bits = bits << 8 | _TURNED[next_byte()]
                    count += 8
                count -= shift
                low <<= shift
                size <<= shift
                current = current << shift | bits >> count
                bits &= (1 << count) - 1
            inside = current - low
            symbol = bisect_right(cdf, (inside << RANGE_BITS) // size)
            if symbol == len(cdf):
                raise ContainerError("the bits fall outside every symbol")
            upper = (cdf[symbol] - 1) * size >> RANGE_BITS
            if inside > upper:
                raise ContainerError("the bits fall between two symbols")
            high = low + upper
            if symbol:
                low += cdf[symbol - 1] * size + _MASK >> RANGE_BITS
            # Leading bits that both ends share say no more.
            mask = (1 << (low ^ high).bit_length()) - 1
            low, high, current = low & mask, high & mask, current & mask
            symbols.append(symbol)
        self._low, self._high, self._current = low, high, current
        self._bits, self._count = bits, count
        return symbols

    def finish(self) -> None:
        """Hold the end of the run against how encoders end one.

        They write out low itself and fill the byte with zeros, so a run whose symbols went wrong
        anywhere passes with a chance of about one in a million.
        """
        if self._current != self._low or self._bits:
            raise ContainerError("the bits do not end where the codes do")


def _doublings(size: int) -> int:
    """How often an interval of `size` numbers must double to hold 2 ** RANGE_BITS."""
    return max(0, RANGE_BITS + 1 - size.bit_length())
