"""The networks in numpy give what the modules give, for any config, any cut, any company."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from runtime_samples import Numbers, Pair, pairs

from encodec_cli.runtime.scratch import Scratch


def assert_same(found: Numbers, expected: Numbers) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_any_cut_gives_what_the_modules_make_of_the_whole(seed: int) -> None:
    """From streams and blocks shorter than what is reflected, to empty blocks in between."""
    rng = random.Random(seed)
    for pair in pairs(rng):
        rows = pair.rows
        for length in (1, 2, rng.randint(1, 3 * rows + 2), rng.randint(1, 60 * rows)):
            x = pair.noise(length)
            expected = pair.whole(x)
            for most in (2, 3 * rows, 30 * rows):
                sizes = partial(rng.randint, 0, most)
                found = pair.cut(x, sizes, after=rng.random() < 0.5)
                assert_same(found, expected)


@pytest.mark.parametrize("seed", range(5))
def test_every_block_size_gives_the_same(seed: int) -> None:
    rng = random.Random(200 + seed)
    for pair in pairs(rng):
        x = pair.noise(13 * pair.rows)
        expected = pair.whole(x)
        for frames in range(1, 15):
            for after in (False, True):
                assert_same(pair.cut(x, frames * pair.rows, after=after), expected)


@pytest.mark.parametrize("seed", range(10))
def test_streams_of_any_lengths_go_together(seed: int) -> None:
    """They begin and end at other times than their neighbours, and give what they give alone."""
    rng = random.Random(100 + seed)
    for pair in pairs(rng, lstm=rng.choice([0, 1, 2])):
        block, most = pair.rows * rng.randint(1, 9), rng.choice([3, 6])
        signals = [pair.noise(rng.randint(1, 6 * block)) for _ in range(5)] + [
            pair.noise(2 * block)
        ]
        waiting, found = list(enumerate(signals)), [np.zeros((0, pair.plan.outputs))] * 6
        active: list[tuple[int, Numbers, Any]] = []
        while waiting or active:
            while waiting and len(active) < most:
                i, x = waiting.pop()
                active.append((i, x, pair.numpy.new_state()))
            last = [len(x) <= block for _, x, _ in active]
            outputs = pair.numpy.step(
                [x[:block] for _, x, _ in active], [state for *_, state in active], last
            )
            for (i, *_), out in zip(active, outputs, strict=True):
                found[i] = np.concatenate((found[i], out))
            active = [(i, x[block:], s) for i, x, s in active if len(x) > block]
        for x, rows in zip(signals, found, strict=True):
            assert_same(rows, pair.whole(x))


@pytest.mark.parametrize("seed", range(4))
def test_whole_segments_with_a_norm_over_time(seed: int) -> None:
    rng = random.Random(seed)
    changes = {"causal": False, "norm": "time_group_norm", "norm_params": {"eps": 1e-3}}
    for pair in pairs(rng, **changes):
        signals = [pair.noise(n * pair.rows + 1) for n in (3, 9, 9, 1)]
        states = [pair.numpy.new_state() for _ in signals]
        for x, found in zip(signals, pair.numpy.step(signals, states, [True] * 4), strict=True):
            assert_same(found, pair.whole(x))


def test_a_stream_of_nothing_gives_nothing() -> None:
    for seed in range(10):
        for pair in pairs(random.Random(seed)):
            [found] = pair.numpy.step([pair.noise(0)], [pair.numpy.new_state()], [True])
            assert found.shape == (0, pair.plan.outputs)


def test_outputs_are_the_callers_to_keep() -> None:
    for pair in pairs(random.Random(3)):
        state = pair.numpy.new_state()
        x = pair.noise(40 * pair.rows)
        [first] = pair.numpy.step([x], [state], [False])
        kept = first.copy()
        pair.numpy.step([x], [state], [True])
        np.testing.assert_array_equal(first, kept)
        assert first.flags.owndata or first.base.flags.owndata


@pytest.mark.parametrize("seed", range(6))
def test_what_was_in_memory_does_not_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    take: Callable[..., Numbers] = Scratch.take

    def spoilt(*arguments: Any) -> Numbers:
        memory = take(*arguments)
        memory.fill(np.nan)
        return memory

    monkeypatch.setattr(Scratch, "take", spoilt)
    rng = random.Random(300 + seed)
    for pair in pairs(rng):
        for length, frames in ((1, 1), (5, 1), (20, 8), (200, 90)):
            x = pair.noise(length * pair.rows)
            assert_same(pair.cut(x, frames * pair.rows), pair.whole(x))


@pytest.mark.slow
def test_threads_share_a_network() -> None:
    for pair in pairs(random.Random(7), lstm=1):
        signals = [pair.noise(400 * pair.rows + i) for i in range(12)]
        alone = [pair.cut(x, 20 * pair.rows) for x in signals]

        def job(x: Numbers, pair: Pair = pair) -> Numbers:
            return pair.cut(x, 20 * pair.rows)

        with ThreadPoolExecutor(4) as threads:
            for found, expected in zip(threads.map(job, signals), alone, strict=True):
                np.testing.assert_array_equal(found, expected)
