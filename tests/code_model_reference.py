"""The arithmetic of a code model in Python's whole numbers, slow and plain: what numpy must equal.

No product, sum or shift here can round, so this is also the definition.
"""

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.sizes import Sizes

__all__ = ["reference_frequencies"]

LIMIT = 1023
Numbers = list[int]
Arrays = dict[str, Any]


def reference_frequencies(
    arrays: dict[str, NDArray[np.integer[Any]]], sizes: Sizes, codes: NDArray[np.uint16]
) -> list[list[Numbers]]:
    """Frequencies `[T][K][bins]` where each code of `[K, T]` stands."""
    plain: Arrays = {name: array.tolist() for name, array in arrays.items()}
    tag = plain["tags"][sizes.tag(len(codes))]
    history: list[list[Numbers]] = [[] for _ in sizes.dilations]
    before: Numbers | None = None
    found = []
    for column in codes.T.tolist():
        context = context_of(plain, sizes, before, tag, history)
        sums, frame = [0] * sizes.inputs, []
        for k, code in enumerate(column):
            frame.append(book_frequencies(plain, k, context, inputs_of(plain, sums)))
            shift = plain["tables.shift"][k]
            sums = [s + (t << shift) for s, t in zip(sums, plain["tables"][k][code], strict=True)]
        before = inputs_of(plain, sums)
        found.append(frame)
    return found


def rounded(value: int, shift: int) -> int:
    """value / 2 ** shift to the nearest, halves up."""
    return (value + ((1 << shift) >> 1)) >> shift


def limited(values: Numbers, low: int = -LIMIT) -> Numbers:
    return [max(low, min(LIMIT, v)) for v in values]


def product(weight: list[Numbers], bias: Numbers, shift: Numbers, x: Numbers) -> Numbers:
    return [
        rounded(sum(w * v for w, v in zip(row, x, strict=True)) + b, s)
        for row, b, s in zip(weight, bias, shift, strict=True)
    ]


def inputs_of(plain: Arrays, sums: Numbers) -> Numbers:
    return limited([rounded(s, plain["inputs.shift"][0]) for s in sums])


def context_of(
    plain: Arrays,
    sizes: Sizes,
    before: Numbers | None,
    tag: Numbers,
    history: list[list[Numbers]],
) -> Numbers:
    """What the frames so far say; `history` holds what each block has seen."""
    x = [0] * sizes.channels
    if before is not None:
        x = product(plain["input.weight"], plain["input.bias"], plain["input.shift"], before)
    x = [a + b for a, b in zip(x, tag, strict=True)]
    for i, dilation in enumerate(sizes.dilations):
        u = limited([rounded(v, plain["blocks.shift"][i]) for v in x])
        history[i].append(u)
        past = history[i][-1 - dilation] if len(history[i]) > dilation else [0] * len(u)
        first = (plain[f"first.{part}"][i] for part in ("weight", "bias", "shift"))
        second = (plain[f"second.{part}"][i] for part in ("weight", "bias", "shift"))
        y = limited(product(*first, past + u), low=0)
        x = [a + b for a, b in zip(x, product(*second, y), strict=True)]
    return limited([rounded(v, plain["context.shift"][0]) for v in x])


def book_frequencies(plain: Arrays, k: int, context: Numbers, inputs: Numbers) -> Numbers:
    mix = (plain[f"mix.{part}"][k] for part in ("weight", "bias", "shift"))
    y = limited(product(*mix, context + inputs), low=0)
    none = [0] * len(plain["out.weight"][k])
    o = limited(product(plain["out.weight"][k], none, plain["out.shift"][k], y))
    logits = [
        sum(w * v for w, v in zip(row, o, strict=True)) + b
        for row, b in zip(plain["logits.weight"][k], plain["logits.bias"][k], strict=True)
    ]
    best = max(logits)
    return [frequency((best - logit) >> plain["logits.shift"][k]) for logit in logits]


def frequency(distance: int) -> int:
    """Of a logit so many 64ths of an octave below the largest."""
    octaves, rest = divmod(distance, 64)
    return (nearest_power(Fraction(16) - Fraction(rest, 64)) >> octaves) + 1


def nearest_power(exponent: Fraction) -> int:
    """2 ** exponent to the nearest, by comparing whole powers."""
    guess = floor(2.0 ** float(exponent))
    target = 2 ** (exponent.numerator * (64 // exponent.denominator))
    return next(g for g in range(guess - 2, guess + 3) if (2 * g + 1) ** 64 > target << 64)
