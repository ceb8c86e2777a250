"""Re-blocking: whatever is put in and however it is taken, the rows come in their order, once."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_cli.stream.buffer import Buffer


def rows(start: int, count: int, channels: int) -> NDArray[np.float32]:
    """Rows that tell their number and their channel."""
    numbers = np.arange(start, start + count, dtype=np.float32)[:, None]
    return numbers + np.arange(channels, dtype=np.float32) / 4


@pytest.mark.parametrize("seed", range(40))
def test_rows_come_out_as_a_list_would_give_them(seed: int) -> None:
    rng = random.Random(seed)
    channels = rng.choice([1, 2, 5])
    buffer, there, given = Buffer(channels), rows(0, 0, channels), 0
    for _ in range(60):
        if rng.random() < 0.5:
            count = rng.choice([0, 1, rng.randint(0, 50)])
            buffer.append(rows(given, count, channels))
            there = np.concatenate((there, rows(given, count, channels)))
            given += count
        else:
            wanted = rng.choice([0, 1, len(there), rng.randint(0, 60)])
            count = min(wanted, len(there))
            keep = rng.choice([0, 0, count, rng.randint(0, count)])
            block = buffer.take(wanted, keep=keep)
            np.testing.assert_array_equal(block, there[:count])
            assert block.shape == (count, channels)
            assert block.dtype == np.float32
            there = there[count - keep :]
        assert buffer.rows == len(there)
    np.testing.assert_array_equal(buffer.take(buffer.rows), there)
    assert buffer.rows == 0


def test_the_rows_of_a_block_lie_together() -> None:
    """Networks take contiguous rows."""
    buffer = Buffer(2)
    for start in range(0, 30, 5):
        buffer.append(rows(start, 5, 2))
    for count, keep in ((3, 0), (5, 2), (12, 11), (1, 0), (9, 0)):
        assert buffer.take(count, keep=keep).flags.c_contiguous


def test_what_was_taken_stays_as_it_was() -> None:
    buffer = Buffer(1)
    buffer.append(rows(0, 10, 1))
    first = buffer.take(6, keep=3)
    kept = first.copy()
    buffer.append(rows(10, 10, 1))
    buffer.take(8)
    np.testing.assert_array_equal(first, kept)
