"""From an open file to blocks a model accepts."""

from collections.abc import Iterator

from encodec_cli.audio.channels import mix_channels
from encodec_cli.audio.mixing import MixMeter
from encodec_cli.audio.reader import AudioReader
from encodec_cli.audio.resample import Resampler
from encodec_cli.audio.samples import FloatBlock

__all__ = ["prepare_blocks"]


def prepare_blocks(
    reader: AudioReader,
    sample_rate: int,
    channels: int,
    block: int,
    *,
    meter: MixMeter | None = None,
) -> Iterator[FloatBlock]:
    """Non-empty blocks [channels, m] at `sample_rate` (Hz), mixed and resampled from `reader`.

    Args:
        reader: just opened. When the iterator is exhausted, `reader.frames_read` is the length of
            the source in frames at its own rate, and the blocks hold
            `resampled_length(reader.frames_read, reader.sample_rate, sample_rate)` frames.
        sample_rate: Hz of the model.
        channels: channels of the model.
        block: frames to read at a time, at the rate of the source; sets the latency, and changes
            no sample.
        meter: is told of every mix to fewer channels.

    Raises:
        AudioError: see `AudioReader.blocks` and `mix_channels`.
    """
    resampler = Resampler(reader.sample_rate, sample_rate, channels)
    for frames in reader.blocks(block):
        mixed = mix_channels(frames, channels)
        if meter is not None and len(frames) > channels:
            meter.add(frames, mixed)
        ready = resampler.push(mixed)
        if ready.shape[1] > 0:
            yield ready
    rest = resampler.finish()
    if rest.shape[1] > 0:
        yield rest
