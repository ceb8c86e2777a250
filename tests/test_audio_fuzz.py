"""Damaged and hostile recordings: samples or one line that says why not, in bounds."""

import io
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import music, write_audio

from encodec_cli.audio import open_audio
from encodec_cli.errors import AudioError

TRIES = 24
CASES: list[tuple[str, str, dict[str, str]]] = [
    ("mp3", "libmp3lame", {}),
    ("mp3", "libmp3lame", {"write_xing": "0"}),
    ("adts", "aac", {}),
    ("mp4", "aac", {}),
    ("mp4", "aac", {"movflags": "faststart"}),
    ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "300000"}),
    ("ipod", "alac", {}),
    ("caf", "alac", {}),
    ("matroska", "aac", {}),
    ("webm", "vorbis", {"live": "1"}),
    ("ogg", "flac", {}),
    ("ogg", "vorbis", {}),
    ("asf", "wmav2", {}),
    ("flv", "aac", {}),
    ("mpegts", "aac", {}),
    ("wv", "wavpack", {}),
    ("tta", "tta", {}),
    ("wav", "libmp3lame", {}),
    ("avi", "libmp3lame", {}),
    ("ac3", "ac3", {}),
    ("flac", "flac", {}),
    ("aiff", "pcm_s16be", {}),
    ("sox", "pcm_s32le", {}),
    ("voc", "pcm_u8", {}),
    ("rm", "ac3", {}),
]
Mutation = Callable[[bytearray, int, np.random.Generator], None]


def flip(data: bytearray, at: int, chance: np.random.Generator) -> None:
    data[at] ^= 1 << int(chance.integers(8))


def overwrite(data: bytearray, at: int, chance: np.random.Generator) -> None:
    numbers = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
    data[at : at + 4] = struct.pack(">I", numbers[chance.integers(len(numbers))])


def delete(data: bytearray, at: int, chance: np.random.Generator) -> None:
    del data[at : at + int(chance.integers(1, 200))]


def insert(data: bytearray, at: int, chance: np.random.Generator) -> None:
    data[at:at] = chance.bytes(int(chance.integers(1, 200)))


def repeat(data: bytearray, at: int, chance: np.random.Generator) -> None:
    other = int(chance.integers(len(data)))
    length = int(chance.integers(1, 500))
    data[at : at + length] = data[other : other + length]


MUTATIONS: list[Mutation] = [flip, overwrite, delete, insert, repeat]


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    """`data` with some damage, more of it in the first 2,000 bytes than behind."""
    damaged = bytearray(data)
    mutation = MUTATIONS[chance.integers(len(MUTATIONS))]
    for _ in range(int(chance.integers(1, 8))):
        reach = 2000 if chance.random() < 0.6 else len(damaged)
        mutation(damaged, int(chance.integers(min(reach, len(damaged)) - 500)), chance)
    return bytes(damaged)


def read(path: Path) -> int | None:
    """Samples of a file; None if it is refused, in one line that names it."""
    try:
        with open_audio(path) as reader:
            return sum(block.shape[1] for block in reader.blocks(4096))
    except AudioError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return None


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_damage_is_read_or_refused_within_bounds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], case: tuple[str, str, dict[str, str]]
) -> None:
    form, codec, options = case
    bit_rate = 96_000 if codec.startswith("wma") else None
    data = write_audio(music(20_003), form, codec, options=options, bit_rate=bit_rate)
    chance = np.random.default_rng(len(data))
    path = tmp_path / "damaged"
    path.write_bytes(data)
    assert read(path)
    before, start, results = peak_mb(), time.process_time(), []
    capfd.readouterr()
    for _ in range(TRIES):
        path.write_bytes(mutated(data, chance))
        results.append(read(path))
    assert any(result != 20_003 for result in results)  # the damage is not all harmless
    assert max(result or 0 for result in results) < 100 * 20_003
    assert peak_mb() - before < 128
    assert time.process_time() - start < TRIES
    assert capfd.readouterr() == ("", "")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4_with(table: bytes) -> bytes:
    """An MP4 file of one sound track that has only `table` in its tables of packets."""
    handler = box(b"hdlr", bytes(8) + b"soun" + bytes(13))
    scale = box(b"mdhd", bytes(12) + struct.pack(">II", 44_100, 1) + bytes(4))
    track = box(b"mdia", scale + handler + box(b"minf", box(b"stbl", table)))
    start = box(b"ftyp", b"M4A \0\0\0\0M4A ")
    return start + box(b"moov", box(b"mvhd", bytes(100)) + box(b"trak", track)) + box(b"mdat", b"")


HOSTILE: dict[str, bytes] = {
    "stsz of one size": mp4_with(box(b"stsz", struct.pack(">III", 0, 1, 150_000_000))),
    "stts of one run": mp4_with(box(b"stts", struct.pack(">IIII", 0, 1, 150_000_000, 1))),
    "trun of defaults": mp4_with(b"")
    + box(b"moof", box(b"traf", box(b"trun", struct.pack(">II", 0, 150_000_000)))),
    "boxes in boxes": b"\0\0\0\x08ftyp" + b"\0\0\xff\xffmoov\0\0\xff\xf0trak" * 3000,
    "empty boxes": b"\0\0\0\x08free" * 1_100_000,
    "id3 of 256 MB": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
    "all sync words": b"\xff" * 2_000_000,
    "heads of frames": b"\xff\xfb\x90\x64" * 500_000,
    "heads of AAC": b"\xff\xf1\x50\x80\x01\x7f\xfc" * 300_000,
    "empty pages": b"".join(
        b"OggS\0" + bytes([2 if i == 0 else 0]) + bytes(20) + b"\0" for i in range(100_000)
    ),
    "ebml of unknown sizes": b"\x1a\x45\xdf\xa3\x80"
    + b"\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff" * 100_000,
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "flac of endless length": b"fLaC\x80\0\0\x22" + bytes(10) + b"\x0a\xc4\x42\xff\xff" + bytes(20),
}


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_is_made_to_cost_is_refused_cheaply(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], hostile: str
) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[hostile])
    before, start = peak_mb(), time.process_time()
    assert read(path) is None
    assert peak_mb() - before < 128
    assert time.process_time() - start < 5
    assert capfd.readouterr() == ("", "")


def test_links_beyond_counting_are_read_in_bounds(tmp_path: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, music(500, 1, 8_000).T, 8_000, format="OGG", subtype="VORBIS")
    path = tmp_path / "chain"
    path.write_bytes(file.getvalue() * 100)
    assert read(path) == 50_000
