"""Audio files of every kind, made with PyAV for the tests."""

import io
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from encodec_cli.audio import FloatBlock, open_audio

__all__ = ["LAYOUTS", "decode_all", "music", "read_bytes", "shift", "write_audio"]

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


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
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "audio"  # a real file: moving the tables of MP4 in front needs one
        with av.open(str(target), "w", format=form, options=dict(options or {})) as output:
            stream = output.add_stream(codec, rate=rate, layout=LAYOUTS[block.shape[0]])
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
        return target.read_bytes()


def _frames(block: FloatBlock, context: av.AudioCodecContext, rate: int) -> list[av.AudioFrame]:
    """`block` in the sample format of an encoder, in frames of its size, timed in samples."""
    size = context.frame_size or 1024
    converter = av.AudioResampler(format=context.format, layout=context.layout, rate=rate)
    frames = []
    for start in range(0, block.shape[1], size):
        # Interleaved: PyAV cannot make frames of eight planes.
        samples = np.ascontiguousarray(block[:, start : start + size].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=context.layout.name)
        frame.sample_rate = rate
        frame.pts = start
        frames += converter.resample(frame)
    return frames


def read_bytes(folder: Path, data: bytes, size: int = 4096) -> tuple[int, FloatBlock]:
    """Rate in Hz and samples [C, n] that our reader finds in a file of these bytes.

    The length it announces, if any, is what it delivers.
    """
    path = folder / "audio"
    path.write_bytes(data)
    with open_audio(path) as reader:
        blocks = list(reader.blocks(size))
        assert reader.num_frames in (None, reader.frames_read)
        return reader.sample_rate, np.concatenate(blocks, axis=1)


def decode_all(data: bytes, form: str | None = None) -> FloatBlock:
    """All samples [C, n] of a file, as FFmpeg gives them; what it refuses to decode is left out."""
    frames = []
    with av.open(io.BytesIO(data), format=form) as container:
        for packet in container.demux(container.streams.audio[0]):
            with suppress(av.FFmpegError):
                frames += [_floats(frame) for frame in packet.decode()]
    return np.concatenate(frames, axis=1)


def _floats(frame: av.AudioFrame) -> FloatBlock:
    converter = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
    channels = len(frame.layout.channels)
    parts = [each.to_ndarray().reshape(-1, channels).T for each in converter.resample(frame)]
    return np.concatenate(parts, axis=1)


def shift(block: FloatBlock, reference: FloatBlock) -> int:
    """By how many samples the sound of `block` comes later than that of `reference`, up to 3000."""
    middle = reference.shape[1] // 2
    piece = reference[0, middle : middle + 4096]
    around = block[0, middle - 3000 : middle + 4096 + 3000]
    energy = np.convolve(around.astype(np.float64) ** 2, np.ones(4096), "valid")
    match = np.correlate(around, piece, "valid") / np.sqrt(energy + 1e-9)
    return int(match.argmax()) - 3000
