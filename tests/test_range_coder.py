"""The range coder: what goes in comes out, in about as many bits as it must take."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_cli.entropy.integer.range_coder import RangeDecoder, RangeDecoders, encode_run

Symbols = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def symbols(count: int, seed: int, largest: int = 1 << 26) -> Symbols:
    """What random symbols own: below, frequency, total; some are rare and some nearly certain."""
    random = np.random.RandomState(seed)
    total = random.randint(2, largest, count)
    own = np.maximum(1, (total * random.rand(count) ** random.choice((0.01, 1, 30), count)))
    own = own.astype(np.int64)
    below = (random.rand(count) * (total - own + 1)).astype(np.int64)
    return below, own, total


def decode(runs: list[bytes], expected: list[Symbols]) -> None:
    """Decode runs side by side, and check what they give."""
    decoders = RangeDecoders(runs)
    lengths = [len(each[0]) for each in expected]
    assert lengths == sorted(lengths, reverse=True)
    for i in range(lengths[0]):
        going = [each for each in expected if len(each[0]) > i]
        below, own, total = (
            np.array([each[part][i] for each in going], np.uint64) for part in range(3)
        )
        targets = decoders.targets(total)
        assert (targets >= below).all()
        assert (targets < below + own).all()
        decoders.narrow(below, own)


def encode(some: Symbols) -> bytes:
    return encode_run(*(each.tolist() for each in some))


def bits(some: Symbols) -> float:
    return float(np.log2(some[2] / some[1]).sum())


@pytest.mark.parametrize("largest", [3, 1 << 12, 1 << 26])
def test_runs_side_by_side(largest: int) -> None:
    some = [symbols(count, count, largest) for count in (700, 699, 300, 300, 5, 1)]
    decode([encode(each) for each in some], some)


def test_size() -> None:
    for seed in range(20):
        some = symbols(500, seed)
        assert abs(8 * len(encode(some)) - bits(some)) < 9


@pytest.mark.parametrize("last", [-1, 1])
def test_a_carry_goes_through_many_bytes(last: int) -> None:
    """Symbols whose ranges all hold the number 0x80: only the last says from which side."""
    near = RangeDecoders([b"\x80"])
    below, own, total = (np.full(60, each, np.uint64) for each in (0, 3, 1000))
    for i in range(60):
        target = near.targets(total[i : i + 1])
        below[i : i + 1] = target - np.uint64(1)
        near.narrow(below[i : i + 1], own[i : i + 1])
    below[-1], own[-1] = int(below[-1]) + 1 + last, 1
    some = (below, own, total)
    run = encode(some)
    assert run[:55] == (b"\x7f" + b"\xff" * 54 if last < 0 else b"\x80" + b"\0" * 54)
    decode([run], [some])


def test_carries_at_random() -> None:
    """Rare symbols at the top of odd totals: sums often cross what was written."""
    for seed in range(40):
        random = np.random.RandomState(seed)
        total = random.randint(3, 1 << 20, 60)
        some = (total - 1 - random.randint(0, 2, 60), np.ones(60, np.int64), total)
        decode([encode(some)], [some])


def test_certain_symbols_take_nothing() -> None:
    count = 10_000
    some = (np.zeros(count, np.int64), np.full(count, 7), np.full(count, 7))
    assert encode(some) == b""
    decode([b""], [some])


def test_zeros_at_the_end_are_left_out() -> None:
    zeros = (np.zeros(64, np.int64), np.ones(64, np.int64), np.full(64, 1 << 20))
    assert encode(zeros) == b""
    for seed in range(50):
        assert encode(symbols(30, seed))[-1:] != b"\0"


def test_no_bytes_lead_outside() -> None:
    random = np.random.RandomState(5)
    runs = [bytes(random.randint(0, 256, n).astype(np.uint8)) for n in (0, 1, 50, 400)]
    runs.append(b"\xff" * 400)
    decoders, alone = RangeDecoders(runs), [RangeDecoder(run) for run in runs]
    for _ in range(400):
        total = random.randint(1, 1 << 26, 5).astype(np.uint64)
        targets = decoders.targets(total)
        assert (targets < total).all()
        own = np.maximum(total // np.uint64(3), 1)
        own = np.minimum(own, total - targets)
        decoders.narrow(targets, own)
        for decoder, *numbers in zip(
            alone, *(n.tolist() for n in (total, targets, own)), strict=True
        ):
            assert decoder.target(numbers[0]) == numbers[1]
            decoder.narrow(*numbers[1:])


def test_golden_run() -> None:
    assert encode(symbols(12, 1)).hex() == "d442f8c5872f6c9f"
