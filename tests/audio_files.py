"""Audio files of every kind, made with PyAV for the tests."""

import io
from collections.abc import Mapping

import av
import numpy as np
import numpy.typing as npt

from encodec_cli.audio import FloatBlock

__all__ = ["LAYOUTS", "music", "write_audio"]

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def music(samples: int, channels: int = 2, rate: int = 44_100, seed: int = 0) -> FloatBlock:
    """Sweeps and a little noise [C, n]: no two moments are alike, so a shift shows."""
    generator = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    sweep = [np.sin(2 * np.pi * (200 + 40 * c + 150 * time) * time) for c in range(channels)]
    noise = generator.uniform(-0.02, 0.02, (channels, samples))
    return (0.3 * np.stack(sweep) + noise).astype(np.float32)


def write_audio(
    block: FloatBlock,
    form: str,
    codec: str,
    rate: int = 44_100,
    *,
    sample_format: str | None = None,
    bit_rate: int | None = None,
    options: Mapping[str, str] | None = None,
    codec_options: Mapping[str, str] | None = None,
) -> bytes:
    """`block` [C, n] as a file of FFmpeg's container `form` with its encoder `codec`."""
    layout = LAYOUTS[block.shape[0]]
    target = io.BytesIO()
    with av.open(target, "w", format=form, options=dict(options or {})) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        context = stream.codec_context
        if bit_rate is not None:
            context.bit_rate = bit_rate
        if sample_format is not None:
            context.format = av.AudioFormat(sample_format)
        context.options = {"strict": "-2", **(codec_options or {})}
        context.open()
        for frame in _frames(block, context, rate):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target.getvalue()


def _frames(block: FloatBlock, context: av.AudioCodecContext, rate: int) -> list[av.AudioFrame]:
    """`block` in the sample format of an encoder, in frames of its size, timed in samples."""
    size = context.frame_size or 1024
    converter = av.AudioResampler(format=context.format, layout=context.layout, rate=rate)
    frames = []
    for start in range(0, block.shape[1], size):
        samples: npt.NDArray[np.float32] = np.ascontiguousarray(block[:, start : start + size])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=context.layout.name)
        frame.sample_rate = rate
        frame.pts = start
        frames += converter.resample(frame)
    return frames
