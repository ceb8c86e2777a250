"""From any number of channels to the number a model has."""

import numpy as np

from encodec_cli.audio.samples import FloatBlock
from encodec_cli.errors import AudioError

__all__ = ["match_channels", "mix_channels"]

_HALF_POWER = 0.5**0.5
# Speakers in the order of WAV, which FLAC shares: how much of each the left ear gets, per channel
# count. The right ear gets the mirror image. The subwoofer (LFE) is left out, as in ITU-R BS.775.
_LEFT: dict[int, list[float]] = {
    3: [1, 0, _HALF_POWER],  # FL FR FC
    4: [1, 0, _HALF_POWER, 0],  # FL FR BL BR
    5: [1, 0, _HALF_POWER, _HALF_POWER, 0],  # FL FR FC BL BR
    6: [1, 0, _HALF_POWER, 0, _HALF_POWER, 0],  # FL FR FC LFE BL BR
    7: [1, 0, _HALF_POWER, 0, _HALF_POWER / 2, _HALF_POWER, 0],  # FL FR FC LFE BC SL SR
    8: [1, 0, _HALF_POWER, 0, _HALF_POWER, 0, _HALF_POWER, 0],  # FL FR FC LFE BL BR SL SR
}
_RIGHT: dict[int, list[float]] = {
    3: [0, 1, _HALF_POWER],
    4: [0, 1, 0, _HALF_POWER],
    5: [0, 1, _HALF_POWER, 0, _HALF_POWER],
    6: [0, 1, _HALF_POWER, 0, 0, _HALF_POWER],
    7: [0, 1, _HALF_POWER, 0, _HALF_POWER / 2, 0, _HALF_POWER],
    8: [0, 1, _HALF_POWER, 0, 0, _HALF_POWER, 0, _HALF_POWER],
}


def mix_channels(block: FloatBlock, channels: int) -> FloatBlock:
    """`block` [C, n] with `channels` channels instead of C; never louder than its loudest channel.

    The same number: unchanged. To mono: the mean. From mono: copies. To stereo from 3 to 8
    channels: the usual surround layouts of WAV, centre and rear at -3 dB, LFE dropped, scaled so
    that it cannot clip. To stereo from more than 8: even channels left, odd ones right, each the
    mean.

    Raises:
        AudioError: any other pair, say from stereo to 6 channels.
    """
    given = block.shape[0]
    if given == channels:
        return block
    if channels == 1:
        mono: FloatBlock = block.mean(axis=0, keepdims=True, dtype=np.float32)
        return mono
    if given == 1:
        return np.repeat(block, channels, axis=0)
    if channels != 2:
        raise AudioError(f"cannot mix {given} channels to {channels}; mix them to 1 or 2 first")
    if given in _LEFT:
        weights = np.array([_LEFT[given], _RIGHT[given]], np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        stereo: FloatBlock = weights @ block
        return stereo
    return np.stack([block[0::2].mean(axis=0), block[1::2].mean(axis=0)])


def match_channels(block: FloatBlock, channels: int) -> FloatBlock:
    """`block` [C, n] with any number of `channels`: mixed, or with silent channels added.

    Where `mix_channels` has no answer, say from stereo to 6 channels, the block is mixed to stereo
    and becomes the front pair of a surround layout.
    """
    given = block.shape[0]
    if given == channels or given == 1 or channels <= 2:
        return mix_channels(block, channels)
    wide = np.zeros((channels, block.shape[1]), np.float32)
    wide[:2] = mix_channels(block, 2)
    return wide
