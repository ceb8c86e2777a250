"""Delays of codecs are undone to the sample."""

import numpy as np
import pytest

from encodec_cli.audio import FloatBlock
from encodec_cli.evaluation import alignment
from encodec_cli.evaluation.alignment import align

RATE = 1000


def noise(samples: int, channels: int = 1) -> FloatBlock:
    generator = np.random.default_rng(3)
    return generator.standard_normal((channels, samples)).astype(np.float32)


def delayed(x: FloatBlock, delay: int) -> FloatBlock:
    """`x` later by `delay` samples, or earlier, as a codec would write it: no samples lost."""
    return np.pad(x, ((0, 0), (delay, 0))) if delay >= 0 else x[:, -delay:]


@pytest.mark.parametrize("delay", [0, 1, 57, 200, -1, -199])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_delay_is_undone(delay: int, channels: int) -> None:
    x = noise(2500, channels)
    aligned = align(x, 0.3 * delayed(x, delay), RATE)
    expected = 0.3 * x
    expected[:, : max(0, -delay)] = 0  # what came too early is lost
    np.testing.assert_array_equal(aligned, expected)


@pytest.mark.parametrize("piece_seconds", [1, 60])
def test_long_recordings_are_correlated_in_pieces(
    piece_seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment, "_PIECE_SECONDS", piece_seconds)
    x = noise(5300)
    x[:, :1500] = 0  # a piece that says nothing
    np.testing.assert_array_equal(align(x, delayed(x, 120), RATE), x)


@pytest.mark.parametrize("length", [1, 100, 2400, 2600, 9000])
def test_the_result_is_as_long_as_the_reference(length: int) -> None:
    x = noise(2500)
    y = np.pad(x, ((0, 0), (0, 6500)))[:, :length]
    aligned = align(x, y, RATE)
    assert aligned.shape == x.shape
    if length > 100:
        kept = min(length, 2500)
        np.testing.assert_array_equal(aligned[:, :kept], x[:, :kept])
        assert not aligned[:, kept:].any()


def test_silence_stays_where_it_is() -> None:
    x = noise(2500)
    assert not align(x, np.zeros((1, 2500), np.float32), RATE).any()
    np.testing.assert_array_equal(align(np.zeros((1, 2500), np.float32), x, RATE), x)
