"""Audio in and out: any file or stream to blocks at the model's rate, and back.

    path or "-" -> open_audio -> AudioReader.blocks -> mix_channels -> Resampler -> [C, n] blocks
    [C, n] blocks -> open_audio_writer -> AudioWriter.write -> path or "-"

Blocks are float32 arrays [C, n]: C channels, n samples per channel, linear range [-1, 1]. Nothing
here imports torch.
"""

from encodec_cli.audio.channels import match_channels, mix_channels
from encodec_cli.audio.flac import flac_bytes
from encodec_cli.audio.formats import AudioFormat, Encoding, OutputFormat, choose_format
from encodec_cli.audio.metadata import Tags, read_tags
from encodec_cli.audio.mixing import MixMeter
from encodec_cli.audio.part import Part
from encodec_cli.audio.prepare import prepare_blocks
from encodec_cli.audio.reader import AudioReader, open_audio
from encodec_cli.audio.resample import Resampler, resampled_length
from encodec_cli.audio.samples import FloatBlock, quantize
from encodec_cli.audio.whole import read_mono, read_whole
from encodec_cli.audio.writer import AudioWriter, open_audio_writer

__all__ = [
    "AudioFormat",
    "AudioReader",
    "AudioWriter",
    "Encoding",
    "FloatBlock",
    "MixMeter",
    "OutputFormat",
    "Part",
    "Resampler",
    "Tags",
    "choose_format",
    "flac_bytes",
    "match_channels",
    "mix_channels",
    "open_audio",
    "open_audio_writer",
    "prepare_blocks",
    "quantize",
    "read_mono",
    "read_tags",
    "read_whole",
    "resampled_length",
]
