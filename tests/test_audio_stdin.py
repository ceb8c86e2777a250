"""Reading pipes: samples come as they arrive, whatever the header of the pipe claims."""

import io
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encodec_cli.audio import FloatBlock, open_audio
from encodec_cli.errors import AudioError

RATE = 16_000
PLACEHOLDERS = [0, 0x7FFF_0000, 0x7FFF_F024, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFC, 0xFFFF_FFFF]
Piped = Callable[[bytes], None]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BufferedWriter]:
    """The writing end of a real pipe whose reading end is standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "r") as stdin, os.fdopen(writing, "wb") as sender:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield sender


@pytest.fixture
def piped(pipe: io.BufferedWriter) -> Iterator[Piped]:
    """Sends bytes into standard input and closes it, from a thread (pipes are short)."""
    threads: list[threading.Thread] = []

    def send(data: bytes) -> None:
        def run() -> None:
            try:
                pipe.write(data)
                pipe.close()
            except BrokenPipeError:
                return

        threads.append(threading.Thread(target=run))
        threads[0].start()

    yield send
    while sys.stdin.buffer.read(65_536):
        pass
    threads[0].join()


def ramp(frames: int, channels: int = 2) -> FloatBlock:
    generator = np.random.default_rng(3)
    integers = generator.integers(-(2**15), 2**15, (channels, frames))
    return (integers / 2**15).astype(np.float32)


def chunk(tag: bytes, body: bytes, size: int | None = None) -> bytes:
    return tag + struct.pack("<I", len(body) if size is None else size) + body


def wav(
    block: FloatBlock,
    *,
    size: int | None = None,
    before: bytes = b"",
    form: bytes = b"RIFF",
    extensible: bool = False,
) -> bytes:
    """A PCM16 WAV with `size` in its length fields and chunks `before` its format."""
    channels = block.shape[0]
    layout = struct.pack("<HIIHH", channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    body = struct.pack("<H", 1) + layout
    if extensible:
        guid = bytes.fromhex("0100000000001000800000aa00389b71")
        body = struct.pack("<H", 0xFFFE) + layout + struct.pack("<HHI", 22, 16, 3) + guid
    samples = np.rint(block.T * 2**15).astype("<i2").tobytes()
    rest = before + chunk(b"fmt ", body) + chunk(b"data", samples, size)
    return form + struct.pack("<I", 4 + len(rest) if size is None else size) + b"WAVE" + rest


def read_stdin(size: int = 777) -> FloatBlock:
    with open_audio("-") as reader:
        return np.concatenate(list(reader.blocks(size)), axis=1)


def test_each_block_comes_before_the_next_is_written(pipe: io.BufferedWriter) -> None:
    block = ramp(400)
    stream = wav(block, size=0xFFFF_FFFF)
    start = len(stream) - 400 * 4
    pipe.write(stream[:start])
    pipe.flush()
    with open_audio("-") as reader:
        assert (reader.name, reader.sample_rate, reader.channels) == ("stdin", RATE, 2)
        assert reader.num_frames is None
        blocks = reader.blocks(100)
        for first in range(0, 400, 100):  # would wait for ever if it read ahead
            pipe.write(stream[start + 4 * first :][:400])
            pipe.flush()
            np.testing.assert_array_equal(next(blocks), block[:, first : first + 100])
        pipe.close()
        assert list(blocks) == []
        assert reader.frames_read == 400


@pytest.mark.parametrize("size", PLACEHOLDERS)
def test_placeholder_sizes_mean_until_the_end(piped: Piped, size: int) -> None:
    block = ramp(20_000)
    piped(wav(block, size=size))
    np.testing.assert_array_equal(read_stdin(), block)


@pytest.mark.parametrize("size", [0, 2**64 - 1, 8_000])
def test_rf64_takes_its_length_from_ds64(piped: Piped, size: int) -> None:
    block = ramp(3_000)
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 2**64 - 1, size, 0, 0))
    piped(wav(block, size=0xFFFF_FFFF, before=ds64, form=b"RF64"))
    np.testing.assert_array_equal(read_stdin(), block[:, :2_000] if size == 8_000 else block)


@pytest.mark.parametrize("extensible", [False, True])
def test_chunks_before_the_samples_are_skipped(piped: Piped, extensible: bool) -> None:
    block = ramp(1_000, 3)
    odd = chunk(b"LIST", b"INFOx\0", 5) + chunk(b"bext", bytes(100_001) + b"\0", 100_001)
    piped(wav(block, before=odd, extensible=extensible))
    np.testing.assert_array_equal(read_stdin(), block)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_width_equals_libsndfile(piped: Piped, tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, ramp(5_000).T, RATE, format="WAVEX", subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    piped(path.read_bytes())
    np.testing.assert_array_equal(read_stdin(), expected.T)


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3", "AIFF", "ULAW"])
def test_other_formats_are_collected_first(piped: Piped, tmp_path: Path, container: str) -> None:
    path = tmp_path / "x"
    form, subtype = ("WAV", "ULAW") if container == "ULAW" else (container, None)
    soundfile.write(path, ramp(30_000).T, RATE, format=form, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    piped(path.read_bytes())
    # Not bit for bit: MP3 has two decoders, which round differently.
    np.testing.assert_allclose(read_stdin(), expected.T, rtol=0, atol=1e-5)


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    block = ramp(9_000)
    thread = threading.Thread(target=lambda: path.write_bytes(wav(block, size=0)))
    thread.start()
    with open_audio(path) as reader:
        read = np.concatenate(list(reader.blocks(1_000)), axis=1)
    thread.join()
    np.testing.assert_array_equal(read, block)


def test_part_of_a_last_frame_is_dropped(piped: Piped) -> None:
    block = ramp(1_000)
    piped(wav(block, size=0xFFFF_FFFF)[:-3])
    np.testing.assert_array_equal(read_stdin(), block[:, :-1])


def test_a_pipe_that_breaks_off_before_a_true_length_is_an_error(piped: Piped) -> None:
    piped(wav(ramp(2_000))[:-400])
    with pytest.raises(AudioError, match="stdin: ends early: its header promises 2000 samples"):
        read_stdin()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"stdin: is empty \(0 bytes\)"),
        (b"RIFF\0\0\0\0WAVEfmt ", "stdin: ends inside its WAV header"),
        (b"these are words, and words only" * 9, "stdin: not audio in a format this program reads"),
        (wav(ramp(0), size=0), "stdin: holds no samples"),
        (wav(ramp(0), size=0xFFFF_FFFF), "stdin: holds no samples"),
        (wav(ramp(10, 65)), "stdin: its header says 65 channels"),
        (wav(ramp(9), before=chunk(b"LIST", b"", 2**31)), "stdin: ends inside its WAV header"),
    ],
)
def test_unusable_streams_are_refused(piped: Piped, data: bytes, message: str) -> None:
    piped(data)
    with pytest.raises(AudioError, match=message):
        read_stdin()


def test_standard_input_stays_open(piped: Piped) -> None:
    piped(wav(ramp(100)))
    read_stdin()
    assert not sys.stdin.buffer.closed


def test_no_standard_input_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AudioError, match="stdin: is closed"):
        open_audio("-")
    terminal, other_end = os.openpty()
    with os.fdopen(other_end, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(AudioError, match="stdin: is a terminal"):
            open_audio("-")
    os.close(terminal)
