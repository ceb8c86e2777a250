"""Reading files: every format arrives whole, and every way to be unreadable is said clearly."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from encodec_cli.audio import FloatBlock, open_audio
from encodec_cli.errors import AudioError

RATE = 44_100


def noise(frames: int, channels: int = 2) -> FloatBlock:
    """Seeded noise [C, n] within [-0.5, 0.5]."""
    generator = np.random.default_rng(7)
    return generator.uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def tone(frames: int) -> FloatBlock:
    """A 440 Hz stereo sine [2, n], which lossy codecs keep."""
    wave = 0.4 * np.sin(2 * np.pi * 440 * np.arange(frames) / RATE)
    return np.stack([wave, -wave]).astype(np.float32)


def read_all(path: Path, size: int = 1000) -> FloatBlock:
    with open_audio(path) as reader:
        return np.concatenate(list(reader.blocks(size)), axis=1)


def wav_bytes(block: FloatBlock, **fields: int) -> bytes:
    """A canonical 44-byte-header PCM16 WAV, with header fields overwritten."""
    places = {"riff": "<I4", "codec": "<H20", "channels": "<H22", "rate": "<I24", "data": "<I40"}
    buffer = io.BytesIO()
    soundfile.write(buffer, block.T, RATE, format="WAV", subtype="PCM_16")
    wav = bytearray(buffer.getvalue())
    for field, value in fields.items():
        layout, offset = places[field][:2], int(places[field][2:])
        struct.pack_into(layout, wav, offset, value)
    return bytes(wav)


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 2**-23),
        ("WAV", "FLOAT", 0.0),
        ("WAV", "DOUBLE", 0.0),
        ("WAVEX", "PCM_24", 2**-23),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_16", 2**-15),
        ("CAF", "PCM_24", 2**-23),
        ("W64", "PCM_16", 2**-15),
        ("AU", "PCM_16", 2**-15),
    ],
)
def test_lossless_formats_give_back_the_samples(
    tmp_path: Path, container: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / "x"
    block = noise(3_517)
    soundfile.write(path, block.T, RATE, format=container, subtype=subtype)
    with open_audio(path) as reader:
        assert (reader.sample_rate, reader.channels, reader.num_frames) == (RATE, 2, 3_517)
        blocks = list(reader.blocks(1000))
        assert reader.frames_read == 3_517
    assert [b.shape for b in blocks] == [(2, 1000)] * 3 + [(2, 517)]
    assert all(b.dtype == np.float32 and b.flags.c_contiguous for b in blocks)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), block, rtol=0, atol=tolerance)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_our_wav_decoder_agrees_with_libsndfile_bit_for_bit(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(5_000, 3).T, RATE, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(read_all(path), expected.T)


@pytest.mark.parametrize(
    ("container", "subtype", "rate"),
    [
        ("OGG", "VORBIS", 44_100),
        ("OGG", "OPUS", 48_000),
        ("MP3", "MPEG_LAYER_III", 44_100),
        ("WAV", "IMA_ADPCM", 44_100),
        ("WAV", "ULAW", 44_100),
    ],
)
def test_lossy_formats_arrive_whole(
    tmp_path: Path, container: str, subtype: str, rate: int
) -> None:
    path = tmp_path / "x"
    block = tone(48_000)
    soundfile.write(path, block.T, rate, format=container, subtype=subtype)
    expected, _ = soundfile.read(path, dtype="float32")
    read = read_all(path, 777)
    # MP3 has two decoders, which round differently.
    np.testing.assert_allclose(read, expected.T, rtol=0, atol=1e-5 if container == "MP3" else 0)
    middle = slice(10_000, 40_000)
    assert np.corrcoef(read[0, middle], block[0, middle])[0, 1] > 0.99


def test_flac_of_unknown_length_is_read_to_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    block = noise(20_001)
    soundfile.write(path, block.T, RATE, subtype="PCM_24")
    flac = bytearray(path.read_bytes())
    flac[21] &= 0xF0  # the 36-bit total in STREAMINFO, as an encoder writing to a pipe leaves it
    flac[22:26] = bytes(4)
    path.write_bytes(flac)
    with open_audio(path) as reader:
        assert reader.num_frames is None
        blocks = list(reader.blocks(4_096))
        assert reader.frames_read == 20_001
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), block, rtol=0, atol=2**-23)


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_placeholder_sizes_in_a_wav_file_mean_until_the_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.wav"
    block = noise(2_000)
    path.write_bytes(wav_bytes(block, riff=size, data=size))
    with open_audio(path) as reader:
        assert reader.num_frames == 2_000
    np.testing.assert_allclose(read_all(path), block, rtol=0, atol=2**-15)


def test_bytes_after_the_samples_are_not_samples(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    block = noise(2_000)
    path.write_bytes(wav_bytes(block) + b"LIST" + struct.pack("<I", 400) + b"\x7f" * 400)
    assert read_all(path).shape == (2, 2_000)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "IMA_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("AU", "PCM_16"),
    ],
)
@pytest.mark.parametrize("lost", [9, 9_000])
def test_a_file_shorter_than_its_header_says_is_an_error(
    tmp_path: Path, container: str, subtype: str, lost: int
) -> None:
    path = tmp_path / "x.audio"
    soundfile.write(path, tone(60_000).T, RATE, format=container, subtype=subtype)
    assert read_all(path).shape[1] >= 60_000
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost])
    with pytest.raises(AudioError, match=r"x\.audio: (ends early|damaged or cut short)"):
        read_all(path)


def test_a_damaged_flac_names_the_time(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(200_000).T, RATE)
    flac = bytearray(path.read_bytes())
    flac[len(flac) // 2 : len(flac) // 2 + 2000] = b"\x55" * 2000
    path.write_bytes(flac)
    with pytest.raises(AudioError, match=r"x\.flac: damaged or cut short after [12]\.\d{3} s"):
        read_all(path)


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "Inf"), (-np.inf, "Inf"), (1e300, "Inf")]
)
@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_non_finite_samples_are_refused_with_their_time(
    tmp_path: Path, value: float, word: str, container: str
) -> None:
    path = tmp_path / "x"
    block = noise(10_000).astype(np.float64)
    block[1, 5_512] = value
    block[0, 9_000] = np.nan
    soundfile.write(path, block.T, RATE, format=container, subtype="DOUBLE")
    with pytest.raises(AudioError, match=rf"x: the sample at 0\.125 s is {word}; repair"):
        read_all(path)


_ODD_FLOATS = ["nan", "inf", "1e308", "-3e38", "1e10", "257"]


@pytest.mark.parametrize("value", [np.float64(text) for text in _ODD_FLOATS] + ["signaling"])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_no_float_of_a_file_warns_or_passes_for_sound(
    tmp_path: Path, value: np.float64 | str, bits: int, container: str
) -> None:
    """Warnings are errors here: numpy's would reach the terminal."""
    path, mark = tmp_path / "x", 0.123456789
    block = np.full((1000, 1), mark)
    subtype = {32: "FLOAT", 64: "DOUBLE"}[bits]
    soundfile.write(path, block, RATE, format=container, subtype=subtype)
    order = "<" if container == "WAV" else ">"
    good = np.array([mark], f"{order}f{bits // 8}").tobytes()
    if isinstance(value, str):
        integer = {32: 0x7F800001, 64: 0x7FF0000000000001}[bits]
        bad = integer.to_bytes(bits // 8, "little" if order == "<" else "big")
    else:
        with np.errstate(over="ignore"):
            bad = np.array([value]).astype(f"{order}f{bits // 8}").tobytes()
    before, _, after = path.read_bytes().rpartition(good)  # not in a chunk of peaks in front
    path.write_bytes(before + bad + after)
    with pytest.raises(AudioError, match=r"x: the sample at \d\.\d+ s is (NaN|Inf|\S+ times full)"):
        read_all(path)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU"])
def test_zero_samples_are_refused(tmp_path: Path, container: str) -> None:
    path = tmp_path / "x"
    soundfile.write(path, np.zeros((0, 2)), RATE, format=container)
    with pytest.raises(AudioError, match="x: holds no samples"):
        read_all(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 0}, "its header says 0 channels, allowed are 1 to 64"),
        ({"channels": 65}, "its header says 65 channels"),
        ({"rate": 0}, "its header says 0 Hz, allowed are 1000 to 768000 Hz"),
        ({"rate": 999}, "its header says 999 Hz"),
        ({"rate": 768_001}, "its header says 768001 Hz"),
        ({"rate": 0xFFFF_FFFF}, "its header says 4294967295 Hz"),
        ({"codec": 0x1234}, "cannot be decoded: its codec is not supported"),
    ],
)
def test_absurd_wav_headers_are_refused(
    tmp_path: Path, fields: dict[str, int], message: str
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(noise(100), **fields))
    with pytest.raises(AudioError, match=message):
        open_audio(path)


def test_absurd_rates_are_refused_in_other_formats_too(tmp_path: Path) -> None:
    path = tmp_path / "x.au"
    soundfile.write(path, noise(100).T, 10)
    with pytest.raises(AudioError, match=r"x\.au: its header says 10 Hz"):
        open_audio(path)


@pytest.mark.parametrize("length", [1, 4, 12, 20, 40])
def test_a_file_that_is_only_part_of_a_wav_header_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(noise(100))[:length])
    with pytest.raises(AudioError, match=r"x\.wav: (ends inside its WAV header|not audio)"):
        open_audio(path)


def test_a_wav_without_a_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"RIFF\x10\0\0\0WAVEdata\4\0\0\0\0\0\0\0")
    with pytest.raises(AudioError, match="no fmt chunk before data"):
        open_audio(path)


def test_what_is_no_audio_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, text = tmp_path / "empty.wav", tmp_path / "text.wav"
    empty.touch()
    text.write_text("not audio at all, only words\n" * 40)
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        open_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match=r"is a folder; name an audio file"):
        open_audio(tmp_path)
    with pytest.raises(AudioError, match=r"empty\.wav: is empty \(0 bytes\)"):
        open_audio(empty)
    with pytest.raises(AudioError, match=r"text\.wav: not audio in a format this program reads"):
        open_audio(text)

    def deny(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    # Tests may run as root, whom no file mode stops.
    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(AudioError, match=r"text\.wav: permission denied"):
        open_audio(text)


def test_every_message_is_one_line(tmp_path: Path) -> None:
    for name, data in {"a.wav": b"", "b.wav": b"RIFF", "c.flac": b"fLaC" + bytes(50)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AudioError, match=name) as caught:
            open_audio(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_blocks_of_no_samples_cannot_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(noise(10)))
    with open_audio(path) as reader, pytest.raises(ValueError, match="size = 0"):
        next(reader.blocks(0))
