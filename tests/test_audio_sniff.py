"""Which files of a folder are taken for recordings."""

import io
from pathlib import Path

import pytest
import soundfile
from audio_files import music, write_audio

from encodec_cli.cli.batch import ECDC_SUFFIXES, files_in
from encodec_cli.io.recordings import AUDIO_SUFFIXES, is_recording


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, music(500).T, 44_100, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("w64", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("adts", "aac"),
        ("ipod", "aac"),
        ("asf", "wmav2"),
        ("webm", "libopus"),
        ("matroska", "flac"),
        ("ogg", "vorbis"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16le"),
        ("au", "pcm_s16be"),
        ("avi", "libmp3lame"),
        ("mpegts", "mp2"),
        ("wv", "wavpack"),
        ("tta", "tta"),
    ],
)
def test_audio_is_known_whatever_its_name(tmp_path: Path, form: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else 44_100
    bit_rate = 96_000 if codec == "wmav2" else None
    path = tmp_path / "recording"
    path.write_bytes(write_audio(music(5_000, 2, rate), form, codec, rate, bit_rate=bit_rate))
    assert is_recording(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"notes of a day\n" * 30,
        b"\x89PNG\r\n\x1a\n" + bytes(400),
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(400),
        b"\xff\xfeh\0e\0l\0l\0o\0" + bytes(400),  # UTF-16
        b"RIFF\x10\0\0\0WEBPVP8 " + bytes(400),
        b"\0\0\0\x1cftypavif" + bytes(400),
        b"%PDF-1.7\n" + bytes(400),
        b"PK\x03\x04" + bytes(400),
        b"\0\0\0\x01Bud1" + bytes(400),  # .DS_Store
        b"\xff" * 400,
    ],
)
def test_what_is_no_audio_is_not_taken_for_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(data)
    assert not is_recording(path)


def test_what_macos_leaves_beside_a_file_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "._take.wav"
    path.write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(80))
    assert not is_recording(path)
    path.write_bytes(wav())  # a recording of that name is one all the same
    assert is_recording(path)


def test_a_suffix_of_audio_is_a_promise_to_look_inside(tmp_path: Path) -> None:
    """A damaged file is taken, so that the reader says what is wrong with it."""
    for suffix in AUDIO_SUFFIXES:
        path = tmp_path / f"x{suffix.upper()}"
        path.write_bytes(b"nothing of the kind")
        assert is_recording(path)


def test_folders_give_every_recording_in_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    names = ["a.wav", "b.m4a", "deep/c", "deep/d.bak", "e.WMA", "f.webm"]
    for name in names:
        (tmp_path / name).write_bytes(wav())
    (tmp_path / "._a.wav").write_bytes(b"\x00\x05\x16\x07" + bytes(80))
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\x01Bud1" + bytes(80))
    (tmp_path / "g.ecdc").write_bytes(b"ECDC" + bytes(80))
    (tmp_path / "notes.txt").write_text("of a day")
    (tmp_path / "models.npz").write_bytes(b"PK\x03\x04" + bytes(80))
    found = files_in(tmp_path, AUDIO_SUFFIXES, recursive=True)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(names)
    only = files_in(tmp_path, ECDC_SUFFIXES, recursive=True)
    assert [path.name for path in only] == ["g.ecdc"]
