"""Mixing: the right speakers on the right side, and never louder than what came in."""

import numpy as np
import pytest

from encodec_cli.audio import FloatBlock, mix_channels
from encodec_cli.errors import AudioError


def noise(channels: int, frames: int = 500) -> FloatBlock:
    generator = np.random.default_rng(channels)
    return generator.uniform(-1, 1, (channels, frames)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_same_number_changes_nothing(channels: int) -> None:
    block = noise(channels)
    np.testing.assert_array_equal(mix_channels(block, channels), block)


@pytest.mark.parametrize("channels", [2, 3, 6, 17])
def test_mono_is_the_mean(channels: int) -> None:
    block = noise(channels)
    mono = mix_channels(block, 1)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, block.mean(axis=0)[None], rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [2, 6])
def test_from_mono_every_channel_is_a_copy(channels: int) -> None:
    block = noise(1)
    np.testing.assert_array_equal(mix_channels(block, channels), np.vstack([block] * channels))


@pytest.mark.parametrize("given", range(3, 12))
def test_stereo_from_many_cannot_clip_and_keeps_a_common_signal(given: int) -> None:
    loud = mix_channels(np.sign(noise(given)), 2)
    assert loud.shape == (2, 500)
    assert loud.dtype == np.float32
    assert np.abs(loud).max() <= 1.0 + 1e-6
    common = noise(1)
    mixed = mix_channels(np.repeat(common, given, axis=0), 2)
    np.testing.assert_allclose(mixed, np.repeat(common, 2, axis=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "left", "both", "silent"),
    [
        (3, [0], [2], []),
        (4, [0, 2], [], []),
        (5, [0, 3], [2], []),
        (6, [0, 4], [2], [3]),
        (7, [0, 5], [2, 4], [3]),
        (8, [0, 4, 6], [2], [3]),
        (10, [0, 2, 4, 6, 8], [], []),
    ],
)
def test_each_speaker_goes_to_its_side(
    given: int, left: list[int], both: list[int], silent: list[int]
) -> None:
    for speaker in range(given):
        alone = np.zeros((given, 1), np.float32)
        alone[speaker] = 1.0
        heard_left, heard_right = mix_channels(alone, 2)[:, 0]
        assert (heard_left > 0) == (speaker in left or speaker in both)
        if speaker in both:
            assert heard_left == heard_right
        elif speaker in silent:
            assert heard_left == heard_right == 0
        else:
            assert (heard_left > 0) != (heard_right > 0)


def test_no_rule_is_invented_for_other_pairs() -> None:
    with pytest.raises(AudioError, match="cannot mix 2 channels to 6"):
        mix_channels(noise(2), 6)
