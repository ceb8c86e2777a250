"""Networks on two threads give what they give on one, a block later."""

import random

import numpy as np
import pytest
from runtime_samples import pairs

from encodec_cli.runtime.overlap import OverlappedNetwork


@pytest.mark.parametrize("seed", range(6))
def test_two_threads_give_what_one_gives(seed: int) -> None:
    rng = random.Random(400 + seed)
    for pair in pairs(rng, lstm=rng.choice([0, 1])):
        x, block = pair.noise(23 * pair.rows), 4 * pair.rows
        overlapped = OverlappedNetwork(pair.numpy)
        state, found = overlapped.new_state(), []
        for start in range(0, len(x), block):
            last = start + block >= len(x)
            found += overlapped.step([x[start : start + block]], [state], [last])
        assert len(found[0]) == 0
        np.testing.assert_array_equal(np.concatenate(found), pair.cut(x, block))


def test_a_stream_of_one_block_comes_at_once() -> None:
    for pair in pairs(random.Random(3)):
        x, overlapped = pair.noise(5 * pair.rows), OverlappedNetwork(pair.numpy)
        [found] = overlapped.step([x], [overlapped.new_state()], [True])
        np.testing.assert_array_equal(found, pair.cut(x, len(x)))
