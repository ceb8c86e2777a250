"""Writing audio to a file, complete or not at all, or to standard output as it comes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
import soundfile

from encodec_cli.audio.formats import AudioFormat, Encoding, OutputFormat, choose_format
from encodec_cli.audio.metadata import INFO_NAMES
from encodec_cli.audio.samples import FloatBlock, first_non_finite, quantize
from encodec_cli.audio.wav_sink import WavSink
from encodec_cli.errors import AudioError, OutputError
from encodec_cli.io.files import atomic_output, standard_output

__all__ = ["AudioWriter", "open_audio_writer"]

# One long block makes the Vorbis encoder put all of it on the stack, and crash.
_SNDFILE_BLOCK_FRAMES = 8_192
# Highest rate in Hz, and most channels, by container. Checked here: libsndfile's Vorbis encoder
# refuses a rate, but crashes as it gives back what it had set up.
_LAYOUTS = {"flac": (655_350, 8), "ogg": (200_000, 255)}
_SNDFILE_TAGS = {name: "tracknumber" if name == "track" else name for name in INFO_NAMES}


class _Sink(Protocol):
    def write(self, block: FloatBlock) -> None: ...
    def close(self) -> None: ...


class AudioWriter:
    """Takes blocks [C, n]; made by `open_audio_writer`.

    Attributes:
        frames: samples per channel written so far.
        clipped: samples (of any channel) beyond [-1, 1] that had to be clamped. Always 0 for
            float encoding, which stores them as they are.
    """

    def __init__(
        self, sink: _Sink, name: str, sample_rate: int, channels: int, *, clamps: bool
    ) -> None:
        self.frames = 0
        self.clipped = 0
        self._sink = sink
        self._name = name
        self._sample_rate = sample_rate
        self._channels = channels
        self._clamps = clamps

    def write(self, block: FloatBlock) -> None:
        """Append `block` [C, n], linear range [-1, 1].

        Raises:
            ValueError: another number of channels.
            AudioError: NaN or Inf in the block.
            OutputError: the format or the disk refuses.
            BrokenPipeError: nobody reads standard output any more.
        """
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ValueError(f"{block.shape = }: expected [{self._channels}, n]")
        bad = first_non_finite(block, time_axis=1)
        if bad is not None:
            seconds = (self.frames + bad) / self._sample_rate
            raise AudioError(
                f"{self._name}: the audio to write is not finite at {seconds:.3f} s; "
                "the model or its input is broken"
            )
        if self._clamps:
            self.clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        self._sink.write(block)
        self.frames += block.shape[1]


@contextmanager
def open_audio_writer(
    target: Path | Literal["-"],
    sample_rate: int,
    channels: int,
    *,
    audio_format: AudioFormat | None = None,
    encoding: Encoding | None = None,
    force: bool = False,
    tags: Mapping[str, str] | None = None,
    like: Path | None = None,
) -> Iterator[AudioWriter]:
    """A context manager that yields an `AudioWriter` of `sample_rate` (Hz) and `channels`.

    A file appears under its name only if the block ends without an exception. Standard output
    ("-") gets a streaming WAV, flushed after every block. WAV files beyond 4 GB become RF64.
    Integer encodings round to nearest without dither.

    Args:
        target: a file, or "-".
        audio_format: wav, flac or ogg (Vorbis); None chooses by suffix.
        encoding: pcm16 (None), pcm24 or float.
        force: overwrite an existing file.
        tags: title, artist and what else `INFO_NAMES` has; others, and those of stdout, are lost.
        like: a file whose permissions the new one gets.

    Raises:
        UsageError: see `choose_format`.
        OutputError: the target exists, is a folder, a terminal, cannot be written, or the format
            does not take this rate or channel count.
    """
    chosen = choose_format(target, audio_format, encoding)
    clamps = chosen.encoding != "float"
    if target == "-":
        with standard_output() as stream:
            encoding = chosen.encoding or "pcm16"
            sink = WavSink(stream, sample_rate, channels, encoding, streaming=True)
            yield AudioWriter(sink, "stdout", sample_rate, channels, clamps=clamps)
            sink.close()
        return
    _check_layout(str(target), sample_rate, channels, chosen)
    with atomic_output(target, force=force, like=like) as file:
        file_sink = _open_sink(file, str(target), sample_rate, channels, chosen, tags or {})
        try:
            yield AudioWriter(file_sink, str(target), sample_rate, channels, clamps=clamps)
        finally:
            file_sink.close()


def _check_layout(name: str, sample_rate: int, channels: int, chosen: OutputFormat) -> None:
    most_hz, most_channels = _LAYOUTS.get(chosen.container, (sample_rate, channels))
    if sample_rate > most_hz or channels > most_channels:
        raise OutputError(
            f"{name}: {chosen.container} does not take {sample_rate} Hz with {channels} channels, "
            f"but up to {most_hz} Hz and {most_channels} channels; use WAV"
        )


def _open_sink(
    file: BinaryIO,
    name: str,
    sample_rate: int,
    channels: int,
    chosen: OutputFormat,
    tags: Mapping[str, str],
) -> _Sink:
    if chosen.container == "wav" and chosen.encoding is not None:
        return WavSink(file, sample_rate, channels, chosen.encoding, streaming=False, tags=tags)
    sink = _SndfileSink(file, name, sample_rate, channels, chosen)
    sink.put_tags(tags)
    return sink


class _SndfileSink:
    """FLAC and Ogg Vorbis through libsndfile, on the descriptor of `file`.

    The descriptor rather than the Python object: an exception in a callback of the latter (a full
    disk) would be printed and lost.
    """

    def __init__(
        self, file: BinaryIO, name: str, sample_rate: int, channels: int, chosen: OutputFormat
    ) -> None:
        self._name = name
        self._bits = {"pcm16": 16, "pcm24": 24}.get(chosen.encoding or "")
        subtype = {16: "PCM_16", 24: "PCM_24", None: "VORBIS"}[self._bits]
        try:
            self._file = soundfile.SoundFile(
                file.fileno(),
                "w",
                sample_rate,
                channels,
                format=chosen.container.upper(),
                subtype=subtype,
                closefd=False,
            )
        except soundfile.LibsndfileError as error:
            raise OutputError(
                f"{name}: {chosen.container} does not take {sample_rate} Hz with {channels} "
                "channels; use WAV"
            ) from error

    def put_tags(self, tags: Mapping[str, str]) -> None:
        """Store `tags`, before the first sample."""
        for name, text in tags.items():
            if name in _SNDFILE_TAGS:
                setattr(self._file, _SNDFILE_TAGS[name], text)

    def write(self, block: FloatBlock) -> None:
        """Append `block` [C, n]; beyond full scale is clamped."""
        for start in range(0, block.shape[1], _SNDFILE_BLOCK_FRAMES):
            frames = block[:, start : start + _SNDFILE_BLOCK_FRAMES].T
            if self._bits is None:
                samples = np.ascontiguousarray(np.clip(frames, -1.0, 1.0), np.float32)
            else:
                # libsndfile takes the top bits of an int32: the integers stay exactly ours.
                samples = np.ascontiguousarray(quantize(frames, self._bits) << (32 - self._bits))
            try:
                self._file.write(samples)
            except soundfile.LibsndfileError as error:
                raise OutputError(self._refused(error)) from error

    def close(self) -> None:
        """Write what the encoder still holds, and the final header."""
        try:
            self._file.close()
        except soundfile.LibsndfileError as error:
            raise OutputError(self._refused(error)) from error

    def _refused(self, error: "soundfile.LibsndfileError") -> str:
        return f"{self._name}: cannot write: {error.error_string.rstrip('.')}; is the disk full?"
