"""Opening audio from a path or standard input, and checking what comes out of it."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, cast

import numpy as np

from encodec_cli.audio.part import Part, PartSource
from encodec_cli.audio.samples import FloatBlock, first_unusable
from encodec_cli.audio.source import SampleSource, check_layout
from encodec_cli.audio.wav_header import looks_like_wav, read_wav_header
from encodec_cli.audio.wav_source import WavSource, check_data_fits
from encodec_cli.errors import AudioError
from encodec_cli.io.audio_data import AudioData

__all__ = ["AudioReader", "open_audio"]

_COPY_BYTES = 1 << 18


class AudioReader:
    """Audio as blocks, from first to last sample; use as a context manager.

    Attributes:
        name: the path, or "stdin", as error messages call it.
        sample_rate: Hz.
        channels: C.
        num_frames: samples per channel, None if only the end of a stream will tell.
        frames_read: samples per channel delivered so far; all of them once `blocks` is exhausted.
    """

    def __init__(
        self, source: SampleSource, name: str, resources: ExitStack, *, start: int = 0
    ) -> None:
        """`start`: samples of the recording in front of `source`."""
        self.name = name
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self.num_frames = source.num_frames
        self.frames_read = 0
        self._source = source
        self._start = start
        self._resources = resources

    def blocks(self, size: int) -> Iterator[FloatBlock]:
        """Blocks [C, size] in linear range [-1, 1]; the last has the rest, 1 to `size` samples.

        Float files may exceed the range, up to `MOST_SAMPLE`; they are passed on as they are. From
        a pipe, a block comes as soon as its last sample has arrived.

        Raises:
            ValueError: `size` < 1.
            AudioError: NaN, Inf or a sample beyond `MOST_SAMPLE` (with the time of the first), no
                samples at all, damaged data, or an end before the length the header promises.
        """
        if size < 1:
            raise ValueError(f"{size = }: expected at least 1")
        while True:
            try:
                frames = self._source.read(size)  # [n, C]
            except OSError as error:
                raise AudioError(f"{self.name}: cannot read: {error.strerror}") from error
            bad = first_unusable(frames, time_axis=0)
            if bad is not None:
                position, what = bad
                seconds = (self._start + self.frames_read + position) / self.sample_rate
                raise AudioError(
                    f"{self.name}: the sample at {seconds:.3f} s is {what}; repair or export it "
                    "again"
                )
            self.frames_read += len(frames)
            if len(frames) > 0:
                yield np.ascontiguousarray(frames.T)
            if len(frames) < size:
                break
        if self.frames_read == 0:
            raise AudioError(_no_samples(self.name))

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_audio(source: Path | Literal["-"] | AudioData, part: Part | None = None) -> AudioReader:
    """Open any audio, or a part of it, which takes no decoding from the start on where the format
    can seek; "-" is standard input.

    A WAV stream is decoded while it arrives; other formats from a pipe (standard input or a named
    one) are first collected in an anonymous temporary file.

    Raises:
        AudioError: missing, a folder, unreadable, empty, not audio, an unknown codec, zero
            samples, shorter than its header says, or an absurd rate or channel count; no such
            part.
        EncodecCliError: see `AudioData.open`.
    """
    name = _name_of(source)
    with ExitStack() as resources:
        try:
            stream = _open_stream(source, resources)
            seekable = source != "-" and stream.seekable()
            samples = _open_source(stream, name, seekable=seekable, resources=resources)
            check_layout(name, samples.sample_rate, samples.channels)
            if samples.num_frames == 0:
                raise AudioError(_no_samples(name))
            if part is None or part.is_all:
                return AudioReader(samples, name, resources.pop_all())
            cut = PartSource(samples, name, part)
            return AudioReader(cut, name, resources.pop_all(), start=cut.start)
        except OSError as error:
            raise AudioError(f"{name}: cannot read: {error.strerror}") from error


def _name_of(source: Path | Literal["-"] | AudioData) -> str:
    if isinstance(source, Path):
        return str(source)
    return "stdin" if source == "-" else source.name


def _open_stream(source: Path | Literal["-"] | AudioData, resources: ExitStack) -> BinaryIO:
    if source == "-":
        return _stdin()
    opened = _open_file(source) if isinstance(source, Path) else source.open()
    return resources.enter_context(opened)


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise AudioError("stdin: is closed; pipe audio into it or name a file")
    if sys.stdin.isatty():
        raise AudioError("stdin: is a terminal; pipe audio into it or name a file")
    return sys.stdin.buffer


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file; check the name") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path}: is a folder; name an audio file") from error
    except PermissionError as error:
        raise AudioError(f"{path}: permission denied; make it readable for you") from error


def _open_source(
    stream: BinaryIO, name: str, *, seekable: bool, resources: ExitStack
) -> SampleSource:
    """The decoder for what `stream` holds; what it must close later goes to `resources`."""
    recorder = None if seekable else _Recorder(stream)
    head = (recorder or stream).read(12)
    if not head:
        raise AudioError(f"{name}: is empty (0 bytes); nothing to read")
    header = read_wav_header(recorder or stream, name) if looks_like_wav(head) else None
    if header is not None:
        check_layout(name, header.sample_rate, header.channels)
        if header.kind is not None:
            end = os.fstat(stream.fileno()).st_size if seekable else None
            available = None if end is None else end - header.data_start
            return WavSource(stream, name, header, available_bytes=available)
    file = stream if recorder is None else recorder.whole_stream(resources)
    if header is not None:
        check_data_fits(name, header, os.fstat(file.fileno()).st_size - header.data_start)
    # Imported for what is no plain WAV file: that starts without the readers of all the rest.
    from encodec_cli.audio.choose import choose_source

    source = choose_source(file, name, header)
    resources.callback(source.close)
    return source


class _Recorder:
    """Reads from a pipe and keeps what it read, for a decoder that must start at the first byte."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._kept = io.BytesIO()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._kept.write(data)
        return data

    def whole_stream(self, resources: ExitStack) -> BinaryIO:
        """All the pipe will ever hold, as an anonymous file on disk."""
        # Unbuffered: libsndfile moves the position of the descriptor under our feet.
        spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with the reader)
        file = resources.enter_context(spool)
        file.write(self._kept.getbuffer())
        shutil.copyfileobj(self._stream, file, _COPY_BYTES)
        return cast(BinaryIO, file)


def _no_samples(name: str) -> str:
    return f"{name}: holds no samples; nothing to encode"
