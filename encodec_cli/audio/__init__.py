"""Audio in and out: any file or stream to blocks at the model's rate, and back.

Blocks are float32 arrays [C, n]: C channels, n samples per channel, linear range [-1, 1]. Nothing
here imports torch.
"""

from encodec_cli.audio.channels import mix_channels
from encodec_cli.audio.prepare import prepare_blocks
from encodec_cli.audio.reader import AudioReader, open_audio
from encodec_cli.audio.resample import Resampler, resampled_length
from encodec_cli.audio.samples import FloatBlock

__all__ = [
    "AudioReader",
    "FloatBlock",
    "Resampler",
    "mix_channels",
    "open_audio",
    "prepare_blocks",
    "resampled_length",
]
