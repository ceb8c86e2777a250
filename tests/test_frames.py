"""Packing of codes into bits: golden bytes, round trips, refusals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_cli.container.codes import (
    CodeChunk,
    has_fill_bits,
    pack_rows,
    pack_time_major,
    packed_bytes,
    unpack_rows,
    unpack_time_major,
)
from encodec_cli.errors import ContainerError


def random_codes(codebooks: int, frames: int, bits: int) -> NDArray[np.uint16]:
    generator = np.random.default_rng(bits)
    return generator.integers(0, 1 << bits, (codebooks, frames)).astype(np.uint16)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([1, 2, 3, 1023], "01 08 30 c0 ff"), ([513], "01 02")],
    ids=["four-codes", "flush"],
)
def test_bits_are_those_of_metas_packer(codes: list[int], expected: str) -> None:
    column = np.array([codes], np.uint16)

    assert pack_rows(column, 10) == bytes.fromhex(expected)
    assert pack_time_major(column, 10) == bytes.fromhex(expected)


def test_time_major_puts_codebooks_inside_frames() -> None:
    codes = np.array([[1, 3], [2, 1023]], np.uint16)

    assert pack_time_major(codes, 10) == bytes.fromhex("01 08 30 c0 ff")


def test_rows_start_on_a_byte_each() -> None:
    codes = np.array([[513], [1]], np.uint16)

    assert pack_rows(codes, 10) == bytes.fromhex("01 02 01 00")


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (8, 80)], ids=str)
def test_unpacking_gives_back_the_codes(bits: int, shape: tuple[int, int]) -> None:
    codes = random_codes(*shape, bits)
    codebooks, frames = shape
    rows, run = pack_rows(codes, bits), pack_time_major(codes, bits)

    assert len(rows) == codebooks * packed_bytes(frames, bits)
    assert len(run) == packed_bytes(codebooks * frames, bits)
    by_rows = unpack_rows(rows, bits, codebooks=codebooks, frames=frames)
    by_time = unpack_time_major(run, bits, codebooks=codebooks, frames=frames)
    assert by_rows.dtype == by_time.dtype == np.uint16
    np.testing.assert_array_equal(by_rows, codes)
    np.testing.assert_array_equal(by_time, codes)


def test_agrees_with_a_bit_by_bit_packer() -> None:
    codes = random_codes(1, 11, 7)
    whole = sum(int(code) << 7 * position for position, code in enumerate(codes[0]))

    assert pack_rows(codes, 7) == whole.to_bytes(packed_bytes(11, 7), "little")


@pytest.mark.parametrize("pack", [pack_rows, pack_time_major])
def test_codes_out_of_range_are_refused(pack: object) -> None:
    assert callable(pack)
    with pytest.raises(ContainerError, match="code 1024 does not fit in 10 bits"):
        pack(np.array([[0, 1024]], np.uint16), 10)


def test_data_of_the_wrong_size_are_refused() -> None:
    with pytest.raises(ContainerError, match="take 4 bytes, got 3"):
        unpack_rows(b"123", 10, codebooks=2, frames=1)


def test_fill_bits_are_found_in_every_row() -> None:
    clean = pack_rows(np.full((2, 1), 1023, np.uint16), 10)

    assert not has_fill_bits(clean, 10, rows=2, columns=1)
    assert has_fill_bits(b"\xff\x07" + clean[2:], 10, rows=2, columns=1)
    assert has_fill_bits(clean[:2] + b"\xff\x83", 10, rows=2, columns=1)
    assert not has_fill_bits(b"\xff" * 5, 10, rows=1, columns=4)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((1, 2), np.int64), np.zeros(3, np.uint16), np.zeros((2, 0), np.uint16)],
    ids=["int64", "one-dimension", "no-frames"],
)
def test_chunks_hold_uint16_matrices(codes: NDArray[np.uint16]) -> None:
    with pytest.raises(ContainerError, match=r"uint16 \[K, T\]"):
        CodeChunk(codes)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_chunks_have_sane_scales(scale: float) -> None:
    with pytest.raises(ContainerError, match="scale must be positive"):
        CodeChunk(np.zeros((1, 1), np.uint16), scale)
