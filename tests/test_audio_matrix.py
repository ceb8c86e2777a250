"""Codecs in containers, all that FFmpeg writes: read whole, at their place, to the sample."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import decode_all, music, read_bytes, shift, write_audio
from cases import mostly_slow

from encodec_cli.audio import FloatBlock

SAMPLES = 60_003  # of no frame size a multiple

# Container, codec, rate, options of the muxer. The file says how long it is.
EXACT: list[tuple[str, str, int, dict[str, str]]] = [
    ("mp3", "libmp3lame", 44_100, {}),
    ("mp3", "libmp3lame", 22_050, {"write_id3v1": "1", "id3v2_version": "4"}),
    ("mp3", "libmp3lame", 8_000, {"id3v2_version": "0"}),
    ("mp4", "aac", 44_100, {}),
    ("mp4", "aac", 44_100, {"movflags": "faststart"}),
    ("mp4", "aac", 22_050, {}),
    ("mov", "aac", 48_000, {}),
    ("ipod", "aac", 44_100, {}),
    ("3gp", "aac", 16_000, {}),
    ("mp4", "libmp3lame", 44_100, {}),
    ("mp4", "libopus", 48_000, {}),
    ("mp4", "flac", 44_100, {}),
    ("mp4", "alac", 44_100, {}),
    ("ipod", "alac", 44_100, {}),
    ("mov", "pcm_s16be", 44_100, {}),
    ("mov", "pcm_s24le", 96_000, {}),
    ("mov", "pcm_f32le", 11_025, {}),
    ("caf", "alac", 44_100, {}),
    ("caf", "pcm_s16le", 44_100, {}),
    ("ogg", "libopus", 48_000, {}),
    ("ogg", "flac", 44_100, {}),
    ("oga", "flac", 32_000, {}),
    ("webm", "libopus", 48_000, {}),
    ("matroska", "libopus", 48_000, {}),
    ("matroska", "flac", 44_100, {}),
    ("matroska", "libmp3lame", 44_100, {}),
    ("matroska", "alac", 44_100, {}),
    ("matroska", "pcm_s16le", 44_100, {}),
    ("matroska", "wavpack", 44_100, {}),
    ("avi", "pcm_s16le", 44_100, {}),
    ("nut", "flac", 44_100, {}),
    ("wv", "wavpack", 44_100, {}),
    ("tta", "tta", 44_100, {}),
    ("flac", "flac", 44_100, {}),
    ("flac", "flac", 12_345, {}),
    ("aiff", "pcm_s24be", 44_100, {}),
    ("au", "pcm_s16be", 44_100, {}),
    ("sox", "pcm_s32le", 44_100, {}),
    ("wav", "pcm_s64le", 44_100, {}),
    ("wav", "pcm_f64le", 192_000, {}),
    ("wav", "pcm_alaw", 8_000, {}),
]
# The file does not say what the encoder put in front and behind: FFmpeg's decoder is the measure.
WHOLE: list[tuple[str, str, int, dict[str, str]]] = [
    ("mp3", "libmp3lame", 44_100, {"write_xing": "0"}),
    ("mp3", "libmp3lame", 22_050, {"write_xing": "0", "write_id3v1": "1"}),
    ("mp3", "libmp3lame", 8_000, {"write_xing": "0", "id3v2_version": "0"}),
    ("mp2", "mp2", 44_100, {}),
    ("mp2", "mp2", 22_050, {}),
    ("adts", "aac", 44_100, {}),
    ("adts", "aac", 16_000, {"write_id3v2": "1", "write_apetag": "1"}),
    ("latm", "aac", 44_100, {}),
    ("ogg", "vorbis", 44_100, {}),
    ("matroska", "vorbis", 44_100, {}),
    ("matroska", "aac", 44_100, {}),
    ("matroska", "ac3", 48_000, {}),
    ("webm", "libopus", 48_000, {"live": "1"}),
    ("mp4", "aac", 44_100, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}),
    ("mp4", "ac3", 48_000, {}),
    ("mpegts", "aac", 44_100, {}),
    ("mpegts", "mp2", 48_000, {}),
    ("mpeg", "mp2", 44_100, {}),
    ("flv", "aac", 44_100, {}),
    ("avi", "libmp3lame", 44_100, {}),
    ("avi", "ac3", 48_000, {}),
    ("ac3", "ac3", 48_000, {}),
    ("ac3", "ac3", 32_000, {}),
    ("ac3", "ac3", 44_100, {}),
    ("eac3", "eac3", 48_000, {}),
    ("asf", "wmav1", 44_100, {}),
    ("asf", "wmav2", 44_100, {}),
    ("asf", "wmav2", 22_050, {}),
    ("wav", "libmp3lame", 44_100, {}),
    ("wav", "ac3", 48_000, {}),
    ("wav", "wmav2", 44_100, {}),
    ("rm", "ac3", 44_100, {}),
    ("spdif", "ac3", 48_000, {}),
]
MONO = [
    ("amr", "libopencore_amrnb", 8_000),
    ("3gp", "libopencore_amrnb", 8_000),
    ("wav", "g722", 16_000),
    ("wav", "adpcm_ms", 11_025),
    ("wav", "adpcm_ima_wav", 22_050),
]


def name(case: tuple[Any, ...]) -> str:
    return "-".join(str(part) for part in case if part)


def encoded(form: str, codec: str, rate: int, options: dict[str, str]) -> tuple[bytes, FloatBlock]:
    block = music(SAMPLES, 2, rate)
    bit_rate = 96_000 if codec.startswith("wma") else None
    return write_audio(block, form, codec, rate, options=options, bit_rate=bit_rate), block


def alike(one: FloatBlock, other: FloatBlock) -> float:
    """Correlation of the middle of two equally long blocks; a lossy codec keeps most of it."""
    middle = slice(one.shape[1] // 4, one.shape[1] * 3 // 4)
    return float(np.corrcoef(one[0, middle], other[0, middle])[0, 1])


@pytest.mark.parametrize("case", mostly_slow(EXACT, 20, unpack=False), ids=name)
def test_what_says_its_length_is_read_to_the_sample(
    tmp_path: Path, case: tuple[str, str, int, dict[str, str]]
) -> None:
    data, block = encoded(*case)
    rate, read = read_bytes(tmp_path, data)
    assert rate == case[2]
    assert read.shape == block.shape
    assert shift(read, block) == 0
    assert alike(read, block) > 0.98


@pytest.mark.parametrize("case", mostly_slow(WHOLE, 12, unpack=False), ids=name)
def test_the_rest_is_as_long_as_all_its_frames(
    tmp_path: Path, case: tuple[str, str, int, dict[str, str]]
) -> None:
    data, block = encoded(*case)
    rate, read = read_bytes(tmp_path, data)
    expected = decode_all(data)
    assert rate == case[2]
    assert expected.shape[1] - 1024 <= read.shape[1] <= expected.shape[1]
    if case[3].get("movflags") is None:
        assert read.shape == expected.shape
    np.testing.assert_allclose(read, expected[:, : read.shape[1]], rtol=0, atol=4e-5)
    assert read.shape[1] >= block.shape[1] - (2048 if case[1].startswith("wma") else 0)


@pytest.mark.parametrize("case", MONO, ids=name)
def test_codecs_of_telephones_are_read(tmp_path: Path, case: tuple[str, str, int]) -> None:
    form, codec, rate = case
    block = music(SAMPLES, 1, rate)
    found, read = read_bytes(tmp_path, write_audio(block, form, codec, rate))
    assert found == rate
    assert SAMPLES <= read.shape[1] < SAMPLES + 2048
    assert abs(shift(read, block)) <= 64


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("ogg", "flac"),
        ("ogg", "libopus"),
        ("matroska", "flac"),
        ("mp4", "aac"),
        ("wav", "pcm_s16le"),
        ("wv", "wavpack"),
        ("tta", "tta"),
        ("ipod", "alac"),
    ],
)
def test_every_channel_is_read(tmp_path: Path, form: str, codec: str, channels: int) -> None:
    if codec in ("aac", "alac") and channels in (4, 7, 8):
        pytest.skip("this encoder has another layout for as many channels")
    if codec == "libopus" and channels in (5, 7):
        pytest.skip("this encoder puts these channels in a wrong order")
    block = music(30_001, channels, 48_000)
    _, read = read_bytes(tmp_path, write_audio(block, form, codec, 48_000))
    assert read.shape == block.shape
    spectra = (
        np.abs(np.fft.rfft(read[:, 8_000:24_000])),
        np.abs(np.fft.rfft(block[:, 8_000:24_000])),
    )
    for channel in range(channels):
        if channel == 3 and channels >= 6 and codec in ("aac", "libopus"):
            continue  # the subwoofer keeps only what is below 120 Hz
        assert np.corrcoef(spectra[0][channel], spectra[1][channel])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("form", "codec", "sample_format", "step"),
    [
        ("wav", "pcm_u8", None, 2**-7),
        ("wav", "pcm_s16le", None, 2**-15),
        ("wav", "pcm_s24le", None, 2**-22),
        ("wav", "pcm_s32le", None, 2**-22),
        ("wav", "pcm_s64le", None, 2**-22),
        ("wav", "pcm_f32le", None, 0),
        ("wav", "pcm_f64le", None, 0),
        ("matroska", "pcm_f32le", None, 0),
        ("ogg", "flac", "s16", 2**-15),
        ("ogg", "flac", "s32", 2**-22),
        ("ipod", "alac", "s16p", 2**-15),
        ("ipod", "alac", "s32p", 2**-22),
        ("caf", "alac", "s32p", 2**-22),
        ("wv", "wavpack", "u8p", 2**-6),
        ("wv", "wavpack", "s16p", 2**-15),
        ("wv", "wavpack", "s32p", 2**-22),
        ("wv", "wavpack", "fltp", 0),
        ("tta", "tta", "u8", 2**-6),
        ("tta", "tta", "s16", 2**-15),
        ("tta", "tta", "s32", 2**-22),
    ],
)
def test_every_width_keeps_its_samples(
    tmp_path: Path, form: str, codec: str, sample_format: str | None, step: float
) -> None:
    block = music(20_001)
    data = write_audio(block, form, codec, sample_format=sample_format)
    _, read = read_bytes(tmp_path, data)
    np.testing.assert_allclose(read, block, rtol=0, atol=step)


@pytest.mark.parametrize("subtype", ["ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"])
def test_alac_of_libsndfile_is_read_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], subtype: str
) -> None:
    block = music(20_001)
    file = io.BytesIO()
    soundfile.write(file, block.T, 44_100, format="CAF", subtype=subtype)
    capfd.readouterr()
    _, read = read_bytes(tmp_path, file.getvalue())
    np.testing.assert_allclose(read, block, rtol=0, atol=2**-15)
    assert capfd.readouterr() == ("", "")


def test_the_first_sound_of_a_film_is_read(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "film.mkv"
    blocks = [music(SAMPLES, seed=1), music(SAMPLES, seed=2)]
    with av.open(str(path), "w", format="matroska") as output:
        pictures = output.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sounds = [output.add_stream("pcm_s16le", rate=44_100, layout="stereo") for _ in blocks]
        for i in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 8 * i, np.uint8))
            output.mux(pictures.encode(picture))
        for block, sound in zip(blocks, sounds, strict=True):
            samples = np.rint(block.T.reshape(1, -1) * 2**15).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 44_100, 0
            output.mux(sound.encode(frame))
        for stream in (pictures, *sounds):
            output.mux(stream.encode(None))
    _, read = read_bytes(tmp_path, path.read_bytes())
    np.testing.assert_allclose(read, blocks[0], rtol=0, atol=2**-15)
