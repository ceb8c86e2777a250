"""Writing: the samples that went in come out, and a target is complete or untouched."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encodec_cli.audio import (
    Encoding,
    FloatBlock,
    OutputFormat,
    choose_format,
    open_audio,
    open_audio_writer,
    wav_sink,
)
from encodec_cli.errors import AudioError, OutputError, UsageError

RATE = 24_000


def noise(frames: int, channels: int = 2) -> FloatBlock:
    generator = np.random.default_rng(11)
    return generator.uniform(-0.9, 0.9, (channels, frames)).astype(np.float32)


def save(
    path: Path, block: FloatBlock, encoding: Encoding | None = None, *, force: bool = False
) -> int:
    """Write `block` in pieces of 700; the number of clipped samples."""
    channels = block.shape[0]
    with open_audio_writer(path, RATE, channels, encoding=encoding, force=force) as writer:
        for start in range(0, block.shape[1], 700):
            writer.write(block[:, start : start + 700])
        assert writer.frames == block.shape[1]
    return writer.clipped


def load(path: Path) -> FloatBlock:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return np.ascontiguousarray(samples.T)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "encoding", "subtype", "tolerance"),
    [
        (".wav", None, "PCM_16", 2**-16),
        (".wav", "pcm24", "PCM_24", 2**-24),
        (".wav", "float", "FLOAT", 0.0),
        (".WAV", "pcm16", "PCM_16", 2**-16),
        (".flac", None, "PCM_16", 2**-16),
        (".flac", "pcm24", "PCM_24", 2**-24),
    ],
)
def test_samples_are_within_half_a_step(
    tmp_path: Path,
    channels: int,
    suffix: str,
    encoding: Encoding | None,
    subtype: str,
    tolerance: float,
) -> None:
    path = tmp_path / f"x{suffix}"
    block = noise(5_001, channels)
    assert save(path, block, encoding) == 0
    assert soundfile.info(path).subtype == subtype
    np.testing.assert_allclose(load(path), block, rtol=0, atol=tolerance)
    with open_audio(path) as reader:
        np.testing.assert_array_equal(next(reader.blocks(6_000)), load(path))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("encoding", "bits"), [("pcm16", 16), ("pcm24", 24)])
def test_integers_survive_reading_and_writing(
    tmp_path: Path, suffix: str, encoding: Encoding, bits: int
) -> None:
    integers = np.random.default_rng(1).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (1, 9_999))
    integers[0, :2] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
    path = tmp_path / f"x{suffix}"
    assert save(path, (integers / 2 ** (bits - 1)).astype(np.float32), encoding) == 0
    stored = soundfile.read(path, dtype="int32")[0] >> (32 - bits)
    np.testing.assert_array_equal(stored, integers[0])


def test_vorbis_keeps_the_sound_and_the_length(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(30_000) / RATE)).astype(np.float32)[None]
    save(path, wave)
    assert soundfile.info(path).subtype == "VORBIS"
    out = load(path)
    assert out.shape == wave.shape
    assert np.corrcoef(out[0], wave[0])[0, 1] > 0.99


def test_a_very_long_block_does_not_crash_the_vorbis_encoder(tmp_path: Path) -> None:
    path = tmp_path / "x.ogg"
    with open_audio_writer(path, RATE, 2) as writer:
        writer.write(np.zeros((2, 2_000_000), np.float32))
    assert soundfile.info(path).frames == 2_000_000


@pytest.mark.parametrize(
    ("suffix", "encoding", "clipped"),
    [(".wav", "pcm16", 3), (".wav", "pcm24", 3), (".flac", None, 3), (".wav", "float", 0)],
)
def test_clipping_is_counted_and_clamped_never_wrapped(
    tmp_path: Path, suffix: str, encoding: Encoding | None, clipped: int
) -> None:
    path = tmp_path / f"x{suffix}"
    block = np.array([[1.0, -1.0, 1.5, -1.001, 0.0], [0.5, 100.0, 0.0, 0.0, -0.5]], np.float32)
    assert save(path, block, encoding) == clipped
    expected = block if clipped == 0 else block.clip(-1, 1)
    np.testing.assert_allclose(load(path), expected, rtol=0, atol=2**-15)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_same_samples_make_the_same_file_however_cut(tmp_path: Path, suffix: str) -> None:
    block = noise(3_000)
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    save(one, block)
    with open_audio_writer(two, RATE, 2) as writer:
        writer.write(block)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("encoding", ["pcm16", "pcm24", "float"])
def test_beyond_4_gb_a_wav_becomes_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: Encoding
) -> None:
    block = noise(1_001, 1)
    small, large = tmp_path / "small.wav", tmp_path / "large.wav"
    save(small, block, encoding)
    monkeypatch.setattr(wav_sink, "_RIFF_LIMIT_BYTES", 1_000)
    save(large, block, encoding)
    assert soundfile.info(small).format == "WAV"
    assert soundfile.info(large).format == "RF64"
    np.testing.assert_array_equal(load(large), load(small))
    with open_audio(large) as reader:
        assert reader.num_frames == 1_001
        np.testing.assert_array_equal(next(reader.blocks(2_000)), load(small))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"

    def fail() -> None:
        with open_audio_writer(path, RATE, 2) as writer:
            writer.write(noise(50_000))
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"x\.wav: exists already"):
        save(path, noise(10))
    assert path.read_bytes() == b"precious"
    save(path, noise(10), force=True)
    assert load(path).shape == (2, 10)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    program = (
        "import resource, sys; from pathlib import Path; import numpy as np;"
        "from encodec_cli.audio import open_audio_writer; from encodec_cli.errors import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "noise = np.random.default_rng(0).uniform(-1, 1, (2, 100_000)).astype('float32')\n"
        "try:\n"
        "    with open_audio_writer(Path(sys.argv[1]), 24_000, 2) as writer: writer.write(noise)\n"
        "except OutputError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{path}: cannot write" in result.stdout
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "rate", "channels"), [("x.flac", RATE, 9), ("x.flac", 768_000, 1)]
)
def test_what_a_format_cannot_hold_is_refused(
    tmp_path: Path, name: str, rate: int, channels: int
) -> None:
    message = f"flac does not take {rate} Hz with {channels} channels"
    with (
        pytest.raises(OutputError, match=message),
        open_audio_writer(tmp_path / name, rate, channels) as writer,
    ):
        writer.write(noise(10, channels))
    assert list(tmp_path.iterdir()) == []


def test_blocks_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    with open_audio_writer(tmp_path / "x.wav", RATE, 2) as writer:
        with pytest.raises(ValueError, match=r"expected \[2, n\]"):
            writer.write(noise(10, 1))
        writer.write(noise(3_000))
        broken = noise(10)
        broken[1, 0] = np.nan
        with pytest.raises(AudioError, match=r"not finite at 0\.125 s"):
            writer.write(broken)


class Stdout:
    """A standard output that remembers how often it was flushed."""

    closed = False

    class Buffer(io.BytesIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation("a pipe cannot seek")

    def __init__(self) -> None:
        self.buffer = self.Buffer()

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("encoding", [None, "pcm24", "float"])
def test_stdout_is_a_stream_our_reader_and_libsndfile_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: Encoding | None
) -> None:
    stdout = Stdout()
    monkeypatch.setattr(sys, "stdout", stdout)
    block = noise(1_001, 1)
    with open_audio_writer("-", RATE, 1, encoding=encoding) as writer:
        assert stdout.buffer.getvalue()[:8] == b"RIFF\xff\xff\xff\xff"
        header = len(stdout.buffer.getvalue())
        for start in (0, 500):
            flushes = stdout.buffer.flushes
            writer.write(block[:, start : start + 500])
            assert stdout.buffer.flushes == flushes + 1
        writer.write(block[:, 1_000:])
    streamed = stdout.buffer.getvalue()
    assert struct.unpack_from("<I", streamed, header - 4) == (0xFFFF_FFFF,)
    file = tmp_path / "x.wav"
    file.write_bytes(streamed)
    np.testing.assert_allclose(load(file), block, rtol=0, atol=2**-16)
    with open_audio(file) as reader:
        np.testing.assert_array_equal(next(reader.blocks(2_000)), load(file))


def test_a_reader_that_left_is_a_broken_pipe() -> None:
    program = (
        "import sys, numpy as np; from encodec_cli.audio import open_audio_writer\n"
        "try:\n"
        "    with open_audio_writer('-', 24_000, 1) as writer:\n"
        "        while True: writer.write(np.zeros((1, 9_000), np.float32))\n"
        "except BrokenPipeError: sys.stderr.write('broken pipe'); sys.stderr.flush()\n"
        "import os; os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(4) == b"RIFF"
        process.stdout.close()
        assert process.stderr.read() == b"broken pipe"


def test_a_terminal_gets_no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout()
    monkeypatch.setattr(stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(OutputError, match="stdout: is a terminal"), open_audio_writer("-", RATE, 1):
        pass


def test_formats_are_chosen_by_option_then_suffix() -> None:
    assert choose_format(Path("a.wav"), None, None) == OutputFormat("wav", "pcm16")
    assert choose_format(Path("a.OGA"), None, None) == OutputFormat("ogg", None)
    assert choose_format(Path("a.wav"), "flac", "pcm24") == OutputFormat("flac", "pcm24")
    assert choose_format(Path("a.xyz"), "wav", "float") == OutputFormat("wav", "float")
    assert choose_format("-", None, None) == OutputFormat("wav", "pcm16")


def test_contradictions_are_usage_errors() -> None:
    with pytest.raises(UsageError, match=r"a\.mp3: unknown suffix '\.mp3'.*\.flac.*audio_format"):
        choose_format(Path("a.mp3"), None, None)
    with pytest.raises(UsageError, match="unknown suffix ''"):
        choose_format(Path("a"), None, None)
    with pytest.raises(UsageError, match="FLAC stores no float samples"):
        choose_format(Path("a.flac"), None, "float")
    with pytest.raises(UsageError, match="Ogg Vorbis has no encoding pcm16"):
        choose_format(Path("a.ogg"), None, "pcm16")
    with pytest.raises(UsageError, match="stdout carries WAV only, not flac"):
        choose_format("-", "flac", None)


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [
        ("a.ogg", 200_001, 1),
        ("a.ogg", 384_000, 2),
        ("a.ogg", 768_000, 64),
        ("a.oga", 48_000, 256),
        ("a.flac", 655_351, 1),
        ("a.flac", 768_000, 8),
        ("a.flac", 48_000, 9),
    ],
)
def test_a_layout_the_library_has_no_place_for_never_reaches_it(
    name: str, rate: int, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile's Vorbis encoder crashes after it has refused a rate."""
    monkeypatch.setattr(soundfile, "SoundFile", None)

    with (
        pytest.raises(OutputError, match=f"does not take {rate} Hz with {channels} channels"),
        open_audio_writer(tmp_path / name, rate, channels),
    ):
        pass

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "rate"), [("a.ogg", 200_000), ("a.ogg", 1000)])
def test_the_outermost_layouts_are_written(name: str, rate: int, tmp_path: Path) -> None:
    with open_audio_writer(tmp_path / name, rate, 2) as writer:
        writer.write(np.zeros((2, 3 * rate), np.float32))

    assert soundfile.info(tmp_path / name).samplerate == rate
