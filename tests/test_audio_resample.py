"""Resampling: exact lengths, the same samples however cut, the right spectrum."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from encodec_cli.audio import (
    FloatBlock,
    Resampler,
    mix_channels,
    open_audio,
    prepare_blocks,
    resampled_length,
)

PAIRS = [
    (44_100, 24_000),
    (44_101, 24_000),
    (48_000, 24_000),
    (192_000, 24_000),
    (16_000, 24_000),
    (8_000, 48_000),
    (24_000, 44_100),
    (768_000, 1_000),
    (1_000, 48_000),
]


def noise(frames: int, channels: int = 2) -> FloatBlock:
    generator = np.random.default_rng(5)
    return generator.uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def convert(block: FloatBlock, from_rate: int, to_rate: int, sizes: list[int]) -> FloatBlock:
    """`block` pushed in pieces of `sizes`, again and again until it is used up."""
    resampler = Resampler(from_rate, to_rate, block.shape[0])
    pieces: list[FloatBlock] = []
    start = 0
    while start < block.shape[1]:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(resampler.push(block[:, start : start + size]))
        start += size
    return np.concatenate([*pieces, resampler.finish()], axis=1)


def tone(frequency: float, rate: int, seconds: float) -> FloatBlock:
    times = np.arange(int(rate * seconds)) / rate
    return (0.9 * np.sin(2 * np.pi * frequency * times)).astype(np.float32)[None]


def level_db(block: FloatBlock) -> float:
    """RMS level against that of `tone`, of the middle half, in dB."""
    frames = block.shape[1]
    middle = block[0, frames // 4 : 3 * frames // 4].astype(np.float64)
    return float(10 * np.log10(2 * np.mean(middle**2) / 0.81 + 1e-30))


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 7, 100, 4_321])
def test_length_is_the_ceiling(from_rate: int, to_rate: int, frames: int) -> None:
    out = convert(noise(frames), from_rate, to_rate, [64])
    assert out.shape == (2, int(np.ceil(frames * to_rate / from_rate)))
    assert out.dtype == np.float32


def test_length_is_exact_where_floats_are_not() -> None:
    frames = 44_101 * 10**14 + 1
    assert resampled_length(frames, 44_101, 24_000) == 24_000 * 10**14 + 1


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS)
def test_cutting_changes_no_bit(from_rate: int, to_rate: int) -> None:
    block = noise(12_345)
    whole = convert(block, from_rate, to_rate, [12_345])
    for sizes in ([1, 2, 3, 500], [997], [4_096, 1, 0]):
        np.testing.assert_array_equal(convert(block, from_rate, to_rate, sizes), whole)


def test_output_does_not_wait_for_the_end() -> None:
    resampler = Resampler(44_100, 24_000, 1)
    ready = sum(resampler.push(noise(441, 1)).shape[1] for _ in range(100))
    assert ready >= 24_000 - 0.1 * 24_000  # at most 0.1 s behind


@pytest.mark.parametrize(("from_rate", "to_rate"), PAIRS[:7])
def test_a_sine_stays_the_same_sine_in_phase(from_rate: int, to_rate: int) -> None:
    out = convert(tone(1_000, from_rate, 0.5), from_rate, to_rate, [1_000])
    expected = tone(1_000, to_rate, 0.5)
    edge = to_rate // 20
    difference = out[:, edge:-edge] - expected[:, edge : out.shape[1] - edge]
    assert np.abs(difference).max() < 2e-6


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_100, 24_000), (48_000, 24_000)])
def test_passband_is_flat_and_aliases_are_gone(from_rate: int, to_rate: int) -> None:
    for share in (0.1, 0.5, 0.9):
        out = convert(tone(share * to_rate / 2, from_rate, 1.0), from_rate, to_rate, [5_000])
        assert abs(level_db(out)) < 0.02
    for share in (1.0, 1.03, 1.2, 1.6):
        out = convert(tone(share * to_rate / 2, from_rate, 1.0), from_rate, to_rate, [5_000])
        assert level_db(out) < -130


def test_equal_rates_pass_through() -> None:
    block = noise(1_000)
    resampler = Resampler(24_000, 24_000, 2)
    assert resampler.push(block) is block
    assert resampler.finish().shape == (2, 0)


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="to_rate = 0"):
        Resampler(24_000, 0, 1)
    resampler = Resampler(24_000, 48_000, 2)
    with pytest.raises(ValueError, match=r"block\.shape = \(1, 5\): expected \[2, n\]"):
        resampler.push(noise(5, 1))
    resampler.finish()
    with pytest.raises(ValueError, match="push after finish"):
        resampler.push(noise(5))
    with pytest.raises(ValueError, match="finish was called already"):
        resampler.finish()


@pytest.mark.parametrize("block", [1, 1_000, 50_000])
def test_prepared_blocks_are_the_mixed_and_resampled_source(tmp_path: Path, block: int) -> None:
    path = tmp_path / "x.wav"
    source = noise(3_210, 6)
    soundfile.write(path, source.T, 44_100, subtype="FLOAT")
    with open_audio(path) as reader:
        blocks = list(prepare_blocks(reader, 24_000, 2, block))
        assert reader.frames_read == 3_210
    assert all(b.shape[0] == 2 and b.shape[1] > 0 for b in blocks)
    out = np.concatenate(blocks, axis=1)
    assert out.shape[1] == resampled_length(3_210, 44_100, 24_000)
    expected = convert(mix_channels(source, 2), 44_100, 24_000, [3_210])
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)
