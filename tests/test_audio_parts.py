"""Parts of recordings: the samples that a whole decoding has there, and no others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import music, write_audio

from encodec_cli.audio import FloatBlock, Part, open_audio
from encodec_cli.audio.av_decoding import SampleTaker
from encodec_cli.audio.frame_source import FrameSource
from encodec_cli.audio.sndfile_source import SndfileSource
from encodec_cli.audio.wav_source import WavSource
from encodec_cli.errors import AudioError
from encodec_cli.io.audio_data import AudioBytes, AudioMember

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "audio"
RATE = 22_050
SECONDS = 6.0
SNDFILE: dict[str, dict[str, Any]] = {
    "a.wav": {"subtype": "PCM_16"},
    "float.wav": {"subtype": "FLOAT"},
    "ulaw.wav": {"subtype": "ULAW"},
    "adpcm.wav": {"subtype": "IMA_ADPCM"},
    "a.flac": {},
    "a.aiff": {"subtype": "PCM_24"},
    "a.au": {"subtype": "PCM_16"},
    "a.caf": {"subtype": "ALAW"},
    "a.ogg": {"subtype": "VORBIS"},
}
AV = {
    "a.mp3": ("mp3", "libmp3lame", 128_000),
    "low.mp3": ("mp3", "libmp3lame", 16_000),
    "a.aac": ("adts", "aac", 96_000),
    "a.m4a": ("ipod", "aac", 96_000),
    "a.mka": ("matroska", "aac", 96_000),
    "alac.m4a": ("ipod", "alac", 0),
    "flac.mp4": ("mp4", "flac", 0),
    "pcm.mov": ("mov", "pcm_s16le", 0),
    "mp3.mp4": ("mp4", "libmp3lame", 128_000),
    "low.mp4": ("mp4", "libmp3lame", 16_000),
    "opus.mp4": ("mp4", "libopus", 64_000),
    "a.wv": ("wv", "wavpack", 0),
    "a.tta": ("tta", "tta", 0),
    "opus.webm": ("webm", "libopus", 64_000),
    "flac.mka": ("matroska", "flac", 0),
}
SOUGHT = ("alac.m4a", "flac.mp4", "pcm.mov", "mp3.mp4", "low.mp4", "a.wv", "a.tta")
"""Of those, where FFmpeg begins to decode shortly before a part."""


def samples_of(source: Any, part: Part | None = None, size: int = 1000) -> FloatBlock:
    with open_audio(source, part) as reader:
        blocks = np.concatenate(list(reader.blocks(size)), axis=1)
        assert reader.num_frames in (None, blocks.shape[1])
        assert reader.frames_read == blocks.shape[1]
    return blocks


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of stereo in each format."""
    folder = tmp_path_factory.mktemp("parts")
    wave = music(round(SECONDS * RATE), rate=RATE)
    for name, options in SNDFILE.items():
        soundfile.write(folder / name, wave.T, RATE, **options)
    for name, (form, codec, bits) in AV.items():
        rate = 48_000 if codec == "libopus" else RATE
        longer = music(round(SECONDS * rate), rate=rate)
        data = write_audio(longer, form, codec, rate, bit_rate=bits or None)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", [*SNDFILE, *AV])
def test_a_part_is_what_the_whole_has_there(name: str, files: Path) -> None:
    whole = samples_of(files / name)
    rate = 48_000 if name.startswith("opus") else RATE
    assert whole.shape[1] >= round(SECONDS * rate)
    for start, seconds in [(0.0, 0.5), (0.1, 0.2), (1.7, 0.3), (3.9, 1.5), (4.25, None)]:
        first = round(start * rate)
        last = None if seconds is None else first + round(seconds * rate)
        part = samples_of(files / name, Part(start, seconds))
        np.testing.assert_array_equal(part, whole[:, first:last])


@pytest.mark.parametrize("name", [*SNDFILE, *AV])
def test_every_data_that_can_be_opened_has_parts(name: str, files: Path) -> None:
    data = (files / name).read_bytes()
    archive = files / "archive"
    archive.write_bytes(b"before" + data + b"behind")
    part = Part(1.0, 0.25)
    expected = samples_of(files / name, part)
    member = AudioMember(archive, name, len(b"before"), len(data))
    for source in (AudioBytes(name, data), member):
        np.testing.assert_array_equal(samples_of(source, part), expected)


@pytest.mark.parametrize("size", [1, 77, 100_000])
def test_the_size_of_blocks_changes_nothing(size: int, files: Path) -> None:
    part = Part(0.5, 0.05)
    np.testing.assert_array_equal(
        samples_of(files / "a.flac", part, size), samples_of(files / "a.flac", part)
    )


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.mp3"])
def test_what_is_before_a_part_is_not_decoded(
    name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    for kind in (WavSource, SndfileSource, FrameSource):
        original = kind.read

        def counted(self: Any, frames: int, original: Any = original) -> Any:
            read.append(frames)
            return original(self, frames)

        monkeypatch.setattr(kind, "read", counted)
    samples_of(files / name, Part(4.0, 0.1))
    assert sum(read) <= RATE * 1.5


@pytest.mark.parametrize("bit_rate", [12_000, 24_000, 64_000])
def test_parts_of_opus_at_every_rate(bit_rate: int, tmp_path: Path) -> None:
    """At low rates it has comfort noise, which depends on all that was decoded before."""
    wave = music(10 * 48_000, channels=1, rate=48_000)
    path = tmp_path / "a.opus"
    options = {"application": "voip"}
    path.write_bytes(
        write_audio(wave, "ogg", "libopus", 48_000, bit_rate=bit_rate, codec_options=options)
    )
    whole = samples_of(path)
    for first in (65_000, 190_001, 333_333):
        part = samples_of(path, Part(first / 48_000, 0.5))
        np.testing.assert_array_equal(part, whole[:, first : first + 24_000])


@pytest.mark.parametrize("name", SOUGHT)
def test_ffmpeg_begins_shortly_before_a_part(
    name: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    original = SampleTaker.take

    def counted(self: SampleTaker, frame: Any) -> Any:
        decoded.append(frame.samples)
        return original(self, frame)

    monkeypatch.setattr(SampleTaker, "take", counted)
    samples_of(files / name, Part(5.0, 0.1))
    assert sum(decoded) < 2.5 * RATE  # two frames of a second at most, or as much lead


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "alac.m4a"])
def test_parts_beyond_the_end_say_so(name: str, files: Path) -> None:
    length = samples_of(files / name).shape[1] / RATE
    end = rf"the recording ends at {length:.3f} s; correct its offset"
    for start in (length, 100.0):
        with pytest.raises(AudioError, match=end):
            samples_of(files / name, Part(start))
    end = rf"ends at 9\.000 s, but the recording at {length:.3f} s; correct its duration"
    with pytest.raises(AudioError, match=end):
        samples_of(files / name, Part(1.0, 8.0))


def test_an_end_that_is_rounded_is_the_end(files: Path) -> None:
    whole = samples_of(files / "a.wav")
    part = samples_of(files / "a.wav", Part(1.0, SECONDS - 1.0 + 0.2))
    np.testing.assert_array_equal(part, whole[:, RATE:])


@pytest.mark.parametrize("channels", [(0,), (1,), (1, 0), (0, 1)])
def test_channels_are_picked(channels: tuple[int, ...], files: Path) -> None:
    whole = samples_of(files / "a.flac")
    part = samples_of(files / "a.flac", Part(channels=channels))
    np.testing.assert_array_equal(part, whole[list(channels)])


@pytest.mark.parametrize("channels", [(2,), (0, 5), (-1,), ()])
def test_channels_that_are_not_there_say_so(channels: tuple[int, ...], files: Path) -> None:
    with pytest.raises(AudioError, match="has channels 0 to 1"):
        open_audio(files / "a.flac", Part(channels=channels))


def test_the_time_of_a_bad_sample_is_that_in_the_recording(tmp_path: Path) -> None:
    wave = np.zeros(3000, np.float32)
    wave[2500] = np.nan
    soundfile.write(tmp_path / "x.wav", wave, 1000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"the sample at 2\.500 s is NaN"):
        samples_of(tmp_path / "x.wav", Part(2.0, 1.0))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/audio is not there")
def test_parts_of_real_recordings_in_opus() -> None:
    files = sorted((SHARED / "train").rglob("*.opus"))[::200]
    assert len(files) > 10
    for path in files:
        with open_audio(path) as reader:
            rate = reader.sample_rate
        whole = samples_of(path)
        for first in (whole.shape[1] // 3, whole.shape[1] * 3 // 4):
            part = samples_of(path, Part(first / rate, 0.2))
            np.testing.assert_array_equal(part, whole[:, first : first + round(0.2 * rate)])
