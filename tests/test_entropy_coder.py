"""The arithmetic coder: Meta's bytes, exact ends, wrong streams noticed."""

from collections.abc import Callable

import numpy as np
import pytest
from meta_models import import_meta
from numpy.typing import NDArray

from encodec_cli.entropy import ArithmeticDecoder, ArithmeticEncoder, stable_cdf
from encodec_cli.errors import ContainerError

UNIFORM = np.full(1024, 2.0**-10, np.float32)
SKEWED = np.array([0.9, 0.05, 0.03, 0.02], np.float32)


def coded(symbols: list[int], bounds: list[NDArray[np.int64]]) -> bytes:
    encoder = ArithmeticEncoder()
    for symbol, cdf in zip(symbols, bounds, strict=True):
        encoder.push(*share(cdf, symbol))
    return encoder.finish()


def share(cdf: NDArray[np.int64], symbol: int) -> tuple[int, int]:
    return int(cdf[symbol - 1]) if symbol else 0, int(cdf[symbol])


def source(data: bytes) -> Callable[[], int]:
    return iter(data).__next__


def decoded(next_byte: Callable[[], int], bounds: list[NDArray[np.int64]]) -> list[int]:
    decoder = ArithmeticDecoder(next_byte)
    symbols = decoder.pull(cdf.tolist() for cdf in bounds)
    decoder.finish()
    return symbols


def random_run(
    steps: int, size: int, *, seed: int, peak: float = 1.0
) -> tuple[list[int], list[NDArray[np.float32]]]:
    """Symbols, and the probabilities they were drawn with."""
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((steps, size)) * peak
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    symbols = [int(generator.choice(size, p=row)) for row in p]
    return symbols, list(p.astype(np.float32))


@pytest.mark.parametrize(
    ("probabilities", "symbols", "expected"),
    [
        (UNIFORM, [0, 1023, 512, 5], "00fc6f00a4e051"),
        (SKEWED, [0, 0, 0, 3, 1, 0, 2, 0], "5d165f4706"),
    ],
)
def test_golden_bytes(
    probabilities: NDArray[np.float32], symbols: list[int], expected: str
) -> None:
    bounds = [stable_cdf(probabilities)] * len(symbols)

    assert coded(symbols, bounds).hex() == expected
    assert decoded(source(bytes.fromhex(expected)), bounds) == symbols


def test_golden_bounds() -> None:
    uniform = stable_cdf(UNIFORM)

    assert (uniform[0], uniform[1023]) == (16383, 16776192)
    assert stable_cdf(SKEWED).tolist() == [15099489, 15938351, 16441669, 16777215]


@pytest.mark.parametrize(("size", "peak"), [(2, 1.0), (50, 3.0), (1024, 1.0), (1024, 8.0)])
def test_bounds_and_bytes_are_metas(size: int, peak: float) -> None:
    import_meta()
    import io

    import torch
    from encodec.quantization.ac import ArithmeticCoder, build_stable_quantized_cdf

    symbols, rows = random_run(150, size, seed=size, peak=peak)
    symbols[:3] = [size - 1, 0, size // 2]  # also the improbable
    theirs = [build_stable_quantized_cdf(torch.from_numpy(row), 24, check=False) for row in rows]
    file = io.BytesIO()
    coder = ArithmeticCoder(file)
    for symbol, cdf in zip(symbols, theirs, strict=True):
        coder.push(symbol, cdf)
    coder.flush()
    ours = [stable_cdf(row) for row in rows]

    for mine, cdf in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, cdf.numpy())
    assert coded(symbols, ours) == file.getvalue()
    assert decoded(source(file.getvalue()), ours) == symbols


def test_runs_follow_each_other_without_lengths() -> None:
    first, second = random_run(40, 30, seed=1), random_run(60, 30, seed=2)
    bounds = [[stable_cdf(row) for row in rows] for _, rows in (first, second)]
    next_byte = source(coded(first[0], bounds[0]) + coded(second[0], bounds[1]))

    assert decoded(next_byte, bounds[0]) == first[0]
    assert decoded(next_byte, bounds[1]) == second[0]
    with pytest.raises(StopIteration):
        next_byte()


def test_bytes_come_out_as_soon_as_they_are_complete() -> None:
    symbols, rows = random_run(100, 64, seed=3)
    encoder, pieces = ArithmeticEncoder(), []
    for symbol, row in zip(symbols, rows, strict=True):
        cdf = stable_cdf(row)
        encoder.push(*share(cdf, symbol))
        pieces.append(encoder.take())

    assert sum(map(len, pieces)) > 50
    assert b"".join(pieces) + encoder.finish() == coded(symbols, [stable_cdf(r) for r in rows])


def test_size_is_close_to_the_entropy() -> None:
    symbols, rows = random_run(2000, 16, seed=4, peak=2.0)
    bits = -sum(float(np.log2(row[s])) for s, row in zip(symbols, rows, strict=True))

    assert len(coded(symbols, [stable_cdf(row) for row in rows])) * 8 < bits * 1.001 + 32


def test_every_flipped_bit_is_noticed() -> None:
    symbols, rows = random_run(60, 100, seed=5)
    bounds = [stable_cdf(row) for row in rows]
    data = coded(symbols, bounds)

    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ContainerError, match="bits"):
            decoded(source(bytes(damaged) + bytes(64)), bounds)


def test_bits_that_no_symbol_owns_are_refused() -> None:
    with pytest.raises(ContainerError, match="fall outside every symbol"):
        ArithmeticDecoder(source(b"\xff" * 8)).pull([[2, 4]])


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_symbols_may_be_pulled_in_any_groups(at_once: int) -> None:
    symbols, rows = random_run(50, 100, seed=6)
    bounds = [stable_cdf(row).tolist() for row in rows]
    data = coded(symbols, [stable_cdf(row) for row in rows])
    taken = 0

    def next_byte() -> int:
        nonlocal taken
        taken += 1
        return data[taken - 1]

    decoder = ArithmeticDecoder(next_byte)
    got = []
    for start in range(0, 50, at_once):
        got += decoder.pull(bounds[start : start + at_once])

    assert got == symbols
    assert taken == len(data)
    assert decoder.pull([]) == []
    decoder.finish()
