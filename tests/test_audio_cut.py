"""Files cut short: an error, or all the samples of what is left; never fewer without a word."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from audio_files import decode_all, music, read_bytes, write_audio
from cases import mostly_slow

from encodec_cli.errors import AudioError

SAMPLES = 60_003
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}
# Container, codec, rate, options of the muxer: every cut of these is found out.
FOUND_OUT: list[tuple[str, str, int, dict[str, str]]] = [
    ("mp3", "libmp3lame", 44_100, {}),
    ("mp4", "aac", 44_100, {}),
    ("mp4", "aac", 44_100, {"movflags": "faststart"}),
    ("ipod", "alac", 44_100, {}),
    ("3gp", "libopencore_amrnb", 8_000, {}),
    ("matroska", "aac", 44_100, {}),
    ("matroska", "flac", 44_100, {}),
    ("webm", "libopus", 48_000, {}),
    ("asf", "wmav2", 44_100, {}),
    ("caf", "alac", 44_100, {}),
    ("ogg", "flac", 44_100, {}),
    ("wv", "wavpack", 44_100, {}),
    ("wav", "pcm_s64le", 44_100, {}),
    ("wav", "libmp3lame", 44_100, {}),
    ("wav", "adpcm_ms", 16_000, {}),
    ("avi", "libmp3lame", 44_100, {}),
    ("flac", "flac", 44_100, {}),
    ("aiff", "pcm_s16be", 44_100, {}),
    ("sox", "pcm_s32le", 44_100, {}),
]
# A cut between two frames, packets or pages of these leaves a file that is whole by all it says.
BY_FRAMES: list[tuple[str, str, int, dict[str, str]]] = [
    ("mp3", "libmp3lame", 44_100, {"write_xing": "0", "id3v2_version": "0"}),
    ("mp2", "mp2", 44_100, {}),
    ("adts", "aac", 44_100, {}),
    ("latm", "aac", 44_100, {}),
    ("ac3", "ac3", 48_000, {}),
    ("eac3", "eac3", 48_000, {}),
    ("amr", "libopencore_amrnb", 8_000, {}),
    ("mp4", "aac", 44_100, FRAGMENTS),
    ("webm", "libopus", 48_000, {"live": "1"}),
    ("flv", "aac", 44_100, {}),
    ("mpegts", "aac", 44_100, {}),
    ("mpeg", "mp2", 44_100, {}),
    ("tta", "tta", 44_100, {}),
    ("nut", "flac", 44_100, {}),
    ("voc", "pcm_u8", 44_100, {}),
    ("rm", "ac3", 44_100, {}),
]


def encoded(form: str, codec: str, rate: int, options: dict[str, str]) -> bytes:
    block = music(SAMPLES, 1 if "amr" in codec else 2, rate)
    bit_rate = 96_000 if codec.startswith("wma") else None
    return write_audio(block, form, codec, rate, options=options, bit_rate=bit_rate)


def name(case: tuple[str, str, int, dict[str, str]]) -> str:
    return "-".join(str(part) for part in case if part)


def cuts(data: bytes) -> list[int]:
    """Lengths to cut `data` to: near both ends and all over it, always the same."""
    anywhere = np.random.default_rng(len(data)).integers(1, len(data) - 1, 14).tolist()
    return sorted({1, 40, 700, *anywhere, *(len(data) - lost for lost in (700, 100, 24))})


@pytest.mark.parametrize("case", mostly_slow(FOUND_OUT, 8, unpack=False), ids=name)
def test_a_cut_is_found_out(tmp_path: Path, case: tuple[str, str, int, dict[str, str]]) -> None:
    data = encoded(*case)
    for length in cuts(data):
        with pytest.raises(AudioError, match="audio: ") as caught:
            read_bytes(tmp_path, data[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("links", [1, 2])
def test_a_cut_in_a_page_of_ogg_is_found_out(tmp_path: Path, codec: str, links: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, music(SAMPLES, 2, 48_000).T, 48_000, format="OGG", subtype=codec)
    link = file.getvalue()
    for length in cuts(link):
        with pytest.raises(AudioError, match="audio: "):
            read_bytes(tmp_path, link * (links - 1) + link[:length])


@pytest.mark.parametrize("case", mostly_slow(BY_FRAMES, 5, unpack=False), ids=name)
def test_a_cut_costs_nothing_that_is_left(
    tmp_path: Path, case: tuple[str, str, int, dict[str, str]]
) -> None:
    data = encoded(*case)
    found_out = 0
    for length in cuts(data):
        try:
            _, read = read_bytes(tmp_path, data[:length])
        except AudioError:
            found_out += 1
            continue
        # FFmpeg's containers of AAC deliver up to a frame more than their tables say.
        slack = 1024 if "movflags" in case[3] else 0
        assert read.shape[1] >= decode_all(data[:length]).shape[1] - slack
    assert found_out >= 3


@pytest.mark.parametrize("case", BY_FRAMES[:3], ids=name)
def test_a_cut_between_frames_leaves_whole_frames(
    tmp_path: Path, case: tuple[str, str, int, dict[str, str]]
) -> None:
    data = encoded(*case)
    with av.open(io.BytesIO(data)) as container:
        packets = [packet.size for packet in container.demux() if packet.size]
    length = sum(packets[:20])
    _, read = read_bytes(tmp_path, data[:length])
    assert read.shape[1] == 20 * (1024 if case[1] == "aac" else 1152)
    with pytest.raises(AudioError, match=r"ends early: its last (MP3|AAC) frame has \d+ bytes, 9 "):
        read_bytes(tmp_path, data[: length + 9])


def test_a_tag_behind_shows_that_the_end_is_there(tmp_path: Path) -> None:
    """Some encoders leave part of a frame in front of the tag: the file is whole all the same."""
    data = write_audio(music(SAMPLES), "mp3", "libmp3lame", options=BY_FRAMES[0][3])
    _, read = read_bytes(tmp_path, data[:-100] + b"TAG" + bytes(125))
    assert read.shape[1] == 62_208 - 1152
