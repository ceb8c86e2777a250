"""How codes are arranged for the programs that read them, and an item as all formats write it.

    TokenItem, Arrangement --row_of--> Row: codes as they are written, metadata, columns

A file states an arrangement that is not [K, T], so that `reading` makes [K, T] of it again.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from encodec_cli.errors import UsageError, parameter
from encodec_cli.tokens.arrange import Layout
from encodec_cli.tokens.columns import written_columns
from encodec_cli.tokens.item import TokenItem
from encodec_cli.tokens.pattern import delayed

__all__ = ["Arrangement", "CodeDType", "Order", "Row", "Written", "row_of"]

CodeDType = Literal["uint16", "int16", "int32", "int64"]
Order = Literal["frames", "books"]
Written = Literal["none", "delay"]
_MOST = 10**18


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """How codes `[K, T]` are written.

    Attributes:
        layout: "KT" or "TK"; None is the format's own, [K, T] but for Shar, which has [T, K].
        code_dtype: of the codes; None is uint16. JSON's numbers have none.
        pattern: "delay" makes codebook k come k frames late, see `pattern`.
        special: what stands where a pattern has no code; None is the number of codes in a codebook.
        flat: "frames" writes one list, frame after frame, "books" codebook after codebook. Code c
            of codebook k is then `offset` + k * bins + c.
        offset: the number of the first code of the first codebook.
        separator: written between frames, or codebooks, of a flat list.
        bos, eos: written before and after a flat list.

    Raises:
        UsageError: what does not go together, or numbers out of range.
    """

    layout: Layout | None = None
    code_dtype: CodeDType | None = None
    pattern: Written = "none"
    special: int | None = None
    flat: Order | None = None
    offset: int = 0
    separator: int | None = None
    bos: int | None = None
    eos: int | None = None

    def __post_init__(self) -> None:
        for name, kind in (("layout", Layout), ("code_dtype", CodeDType), ("flat", Order)):
            if getattr(self, name) not in (None, *get_args(kind)):
                raise UsageError(f"{parameter(name)}: is one of {', '.join(get_args(kind))}")
        if self.flat is None:
            for name in ("offset", "separator", "bos", "eos"):
                if getattr(self, name):
                    raise UsageError(f"{parameter(name)}: is for flat codes; see {_FLAT}")
        elif self.pattern != "none" or self.layout is not None:
            name = "layout" if self.layout is not None else "pattern"
            raise UsageError(f"{parameter(name)}: flat codes have none; leave out {_FLAT}, or it")
        if self.special is not None and self.pattern == "none":
            raise UsageError(f"{parameter('special')}: is for {parameter('pattern', 'delay')}")
        for name in ("offset", "special", "separator", "bos", "eos"):
            if abs(getattr(self, name) or 0) >= _MOST:
                raise UsageError(f"{parameter(name)}: below 10^18")
        if self.offset < 0:
            raise UsageError(f"{parameter('offset', self.offset)}: is 0 or more")

    def check(self, books: int, bins: int) -> None:
        """Refuse numbers that are codes' own, or do not fit into `code_dtype`.

        Raises:
            UsageError: they are, or do not; the same for all codes of so many books and bins.
        """
        first, end = self.offset, self.offset + (books * bins if self.flat else bins)
        special = self._special(bins)
        specials = {"separator": self.separator, "bos": self.bos, "eos": self.eos}
        for name, number in (specials | {"special": special}).items():
            if number is not None and first <= number < end:
                raise UsageError(
                    f"{parameter(name, number)}: is a code's number; those are {first} to {end - 1}"
                )
        limits = np.iinfo(self._numbers)
        for number in (first, end - 1, special, *specials.values()):
            if number is not None and not limits.min <= number <= limits.max:
                raise UsageError(f"{number} does not fit into {self._numbers}; {_WIDER}")

    def stated(self, bins: int) -> str:
        """What a file says of this arrangement, for `reading.Stated`; empty for [K, T]."""
        words: dict[str, str | int | None] = {}
        if self.flat is not None:
            words = {"flat": self.flat, "offset": self.offset, "bins": bins}
            words |= {"separator": self.separator, "bos": self.bos, "eos": self.eos}
        else:
            if self.layout == "TK":
                words["layout"] = "TK"
            if self.pattern == "delay":
                words |= {"pattern": "delay", "special": self._special(bins), "bins": bins}
        return " ".join(f"{name}={word}" for name, word in words.items() if word is not None)

    def of(self, codes: NDArray[np.integer], bins: int) -> NDArray[np.integer]:
        """`codes` `[K, T]` arranged: `[K, T]`, `[T, K]`, or `[N]` if flat.

        Raises:
            UsageError: see `check`.
        """
        self.check(codes.shape[0], bins)
        special = self._special(bins)
        if special is not None:
            codes = delayed(codes.astype(np.int64), special)
        if self.flat is not None:
            codes = self._flattened(codes.astype(np.int64), bins)
        elif self.layout == "TK":
            codes = codes.T
        return np.ascontiguousarray(codes, self._numbers)

    @property
    def _numbers(self) -> CodeDType:
        return self.code_dtype or "uint16"

    def _special(self, bins: int) -> int | None:
        if self.pattern == "none":
            return None
        return bins if self.special is None else self.special

    def _flattened(self, codes: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
        codes = codes + self.offset + bins * np.arange(len(codes))[:, None]
        if self.flat == "frames":
            codes = codes.T
        if self.separator is not None:
            codes = np.pad(codes, ((0, 0), (0, 1)), constant_values=self.separator)
        flat = codes.ravel()
        if self.separator is not None:
            flat = flat[:-1]  # between, not behind
        around = [[] if number is None else [number] for number in (self.bos, self.eos)]
        return np.concatenate([np.array(around[0], np.int64), flat, np.array(around[1], np.int64)])


_FLAT = parameter("flat")
_WIDER = f"give {parameter('code_dtype', 'int32')}"


@dataclass(frozen=True, eq=False)
class Row:
    """An item as it is written.

    Attributes:
        codes: arranged.
        scales: float32 [segments], or None.
        metadata: names of `TokenInfo`, `n_q`, `frame_rate` (Hz), `codes_arrangement`; no nulls.
        columns: of the corpus, as JSON has them, under names that are not in `metadata`.
    """

    key: str
    codes: NDArray[np.integer]
    scales: NDArray[np.float32] | None
    metadata: dict[str, str | int | float]
    columns: dict[str, Any]


def row_of(item: TokenItem, arrangement: Arrangement) -> Row:
    """`item`, its codes known to be `[K, T]`, in that arrangement.

    Raises:
        UsageError: see `Arrangement.check`; or the item does not say how many bits a code has.
        ContainerError: see `written_columns`.
    """
    bins = _bins(item, arrangement)
    metadata = item.metadata()
    if stated := arrangement.stated(bins):
        metadata["codes_arrangement"] = stated
    return Row(
        key=item.key,
        codes=arrangement.of(item.codes, bins),
        scales=None if item.scales is None else item.scales.astype(np.float32),
        metadata=metadata,
        columns=written_columns(item.columns),
    )


def _bins(item: TokenItem, arrangement: Arrangement) -> int:
    bits = item.info.bits
    if bits is None:
        if arrangement.flat is not None or arrangement.pattern != "none":
            raise UsageError(f"{item.key}: its codes do not say how many bits they have")
        bits = int(item.codes.max()).bit_length()
    return 1 << bits
