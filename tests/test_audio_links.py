"""Recordings one after the other in one file, and what stands between them."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import decode_all, music, read_bytes, shift, write_audio
from cases import mostly_slow

from encodec_cli.audio import FloatBlock, Resampler, match_channels, open_audio
from encodec_cli.audio.mpeg import MPEG_AUDIO
from encodec_cli.errors import AudioError

SAMPLES = 60_003
Wrap = Callable[[bytes], bytes]


def id3v2(size: int = 300, *, footer: bool = False) -> bytes:
    """A tag with a frame that looks like MP3 inside."""
    body = (b"\xff\xfb\x90\x64" * size)[:size]
    length = bytes([0, 0, size >> 7, size & 127])
    head = b"ID3\x04\x00" + (b"\x10" if footer else b"\0") + length
    return head + body + (b"3DI" + head[3:] if footer else b"")


ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")


def apev2(*, header: bool = True) -> bytes:
    item = struct.pack("<II", 4, 0) + b"Artist\0Anon"
    fields = struct.pack("<III", 2000, len(item) + 32, 1)
    has_header = 0x8000_0000 if header else 0
    footer = b"APETAGEX" + fields + struct.pack("<I8x", has_header)
    front = b"APETAGEX" + fields + struct.pack("<I8x", has_header | 0x2000_0000)
    return (front if header else b"") + item + footer


def lyrics() -> bytes:
    body = b"LYRICSBEGININD0000200"
    return body + f"{len(body):06}LYRICS200".encode()


WRAPS: dict[str, Wrap] = {
    "bare": lambda data: data,
    "id3v2": lambda data: id3v2() + data,
    "two id3v2": lambda data: id3v2() + id3v2(40, footer=True) + data,
    "id3v1": lambda data: data + ID3V1,
    "ape": lambda data: data + apev2(),
    "ape without header": lambda data: data + apev2(header=False),
    "ape in front": lambda data: apev2() + data,
    "lyrics": lambda data: data + lyrics() + ID3V1,
    "all": lambda data: id3v2(90) + data + apev2() + lyrics() + ID3V1,
    "zeros in front": lambda data: bytes(3000) + data,
    "junk in front": lambda data: np.random.default_rng(5).bytes(700) + data,
    "zeros behind": lambda data: data + bytes(5000),
    "junk behind": lambda data: data + np.random.default_rng(6).bytes(700),
    "part of a frame in front": lambda data: b"\xff\xfb\x90" + data[500:800] + data,
}


@pytest.fixture(scope="module")
def block() -> FloatBlock:
    return music(SAMPLES)


@pytest.mark.parametrize("wrap", mostly_slow(WRAPS, 4))
@pytest.mark.parametrize("xing", ["0", "1"])
def test_mp3_is_whole_whatever_surrounds_it(
    tmp_path: Path, block: FloatBlock, wrap: str, xing: str
) -> None:
    options = {"write_xing": xing, "id3v2_version": "0"}
    data = write_audio(block, "mp3", "libmp3lame", options=options)
    expected = decode_all(data)
    assert expected.shape[1] == (SAMPLES if xing == "1" else 62_208)
    _, read = read_bytes(tmp_path, WRAPS[wrap](data))
    assert read.shape == expected.shape
    np.testing.assert_allclose(read, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("wrap", ["bare", "id3v2", "all", "junk in front", "junk behind"])
def test_aac_is_whole_whatever_surrounds_it(tmp_path: Path, block: FloatBlock, wrap: str) -> None:
    data = write_audio(block, "adts", "aac")
    _, read = read_bytes(tmp_path, WRAPS[wrap](data))
    np.testing.assert_array_equal(read, decode_all(data))


@pytest.mark.parametrize("quality", ["0", "9"])
def test_variable_bitrate_without_a_header_is_whole(
    tmp_path: Path, block: FloatBlock, quality: str
) -> None:
    uneven = block.copy()
    uneven[:, : SAMPLES // 2] *= 1e-4  # few bits in front, many behind
    options = {"write_xing": "0", "id3v2_version": "0"}
    codec_options = {"compression_level": "7", "global_quality": quality, "flags": "+qscale"}
    data = write_audio(uneven, "mp3", "libmp3lame", options=options, codec_options=codec_options)
    _, read = read_bytes(tmp_path, data)
    assert read.shape[1] == 62_208


def in_free_format(data: bytes) -> bytes:
    """MP3 of a constant bitrate whose frames no longer say which."""
    out, position = bytearray(data), 0
    while position < len(out):
        head = MPEG_AUDIO.parse(data[position : position + 4])
        assert head is not None
        out[position + 2] &= 0x0F
        position += head.size
    return bytes(out)


@pytest.mark.parametrize("wrap", mostly_slow(["bare", "all", "id3v2", "id3v1", "ape"]))
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (22_050, 2), (16_000, 1)])
def test_free_format_is_whole(tmp_path: Path, rate: int, channels: int, wrap: str) -> None:
    """FFmpeg does not read it; at 44.1 and 22.05 kHz some frames are padded."""
    options = {"write_xing": "0", "id3v2_version": "0"}
    block = music(2 * rate, channels, rate)
    data = write_audio(block, "mp3", "libmp3lame", rate, bit_rate=64_000, options=options)
    found, read = read_bytes(tmp_path, WRAPS[wrap](in_free_format(data)))
    assert found == rate
    expected = decode_all(data)
    assert read.shape == expected.shape
    np.testing.assert_allclose(read, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("left", [0.3, 0.999])
def test_free_format_that_was_cut_is_refused(tmp_path: Path, left: float) -> None:
    options = {"write_xing": "0", "id3v2_version": "0"}
    block = music(96_000, 1, 48_000)
    data = write_audio(block, "mp3", "libmp3lame", 48_000, bit_rate=64_000, options=options)
    free = in_free_format(data)
    with pytest.raises(AudioError, match="ends early: its last MP3 frame has 192 bytes"):
        read_bytes(tmp_path, free[: int(left * len(free))])


@pytest.mark.parametrize("between", [b"", ID3V1 + id3v2(200), b"\0" * 1000, b"junk" * 99])
def test_mp3s_one_after_the_other_are_each_read_to_the_sample(
    tmp_path: Path, block: FloatBlock, between: bytes
) -> None:
    data = write_audio(block, "mp3", "libmp3lame", options={"id3v2_version": "0"})
    expected = decode_all(data)
    _, read = read_bytes(tmp_path, data + between + data)
    assert read.shape[1] == 2 * SAMPLES
    for half in (read[:, :SAMPLES], read[:, SAMPLES:]):
        np.testing.assert_allclose(half, expected, rtol=0, atol=2e-5)


def test_mp3s_of_other_rates_and_channels_join_the_first(tmp_path: Path) -> None:
    one = write_audio(music(SAMPLES), "mp3", "libmp3lame", options={"id3v2_version": "0"})
    mono = music(SAMPLES, 1, 22_050)
    other = write_audio(mono, "mp3", "libmp3lame", 22_050, options={"id3v2_version": "0"})
    rate, read = read_bytes(tmp_path, one + other)
    assert rate == 44_100
    assert read.shape == (2, 3 * SAMPLES)
    joined = Resampler(22_050, 44_100, 2)
    wide = match_channels(decode_all(other), 2)
    expected = np.concatenate([joined.push(wide), joined.finish()], axis=1)
    np.testing.assert_allclose(read[:, SAMPLES:], expected, rtol=0, atol=1e-3)


def test_a_vbri_header_counts_frames_and_is_no_sound(tmp_path: Path, block: FloatBlock) -> None:
    options = {"write_xing": "0", "id3v2_version": "0"}
    data = write_audio(block, "mp3", "libmp3lame", options=options)
    size = 144 * 128_000 // 44_100
    vbri = bytearray(data[:4] + bytes(size + 1))[: size + (data[2] >> 1 & 1)]
    vbri[36:] = (b"VBRI" + bytes(10) + struct.pack(">I", 54) + bytes(400))[: len(vbri) - 36]
    _, read = read_bytes(tmp_path, bytes(vbri) + data)
    assert read.shape[1] == 62_208
    vbri[50:54] = struct.pack(">I", 60)
    with pytest.raises(AudioError, match="its header promises 60 MP3 frames, 54 are there"):
        read_bytes(tmp_path, bytes(vbri) + data)


def test_mp3_in_wav_is_read_like_mp3(tmp_path: Path, block: FloatBlock) -> None:
    data = write_audio(block, "wav", "libmp3lame")
    start = data.index(b"data") + 8
    inner = data[start : start + struct.unpack_from("<I", data, start - 4)[0]]
    _, read = read_bytes(tmp_path, data)
    np.testing.assert_allclose(read, decode_all(inner, "mp3"), rtol=0, atol=2e-5)


def ogg(block: FloatBlock, codec: str, rate: int) -> bytes:
    """One link; by libsndfile, whose Vorbis says how long it is to the sample."""
    if codec == "flac":
        return write_audio(block, "ogg", "flac", rate)
    file = io.BytesIO()
    soundfile.write(file, block.T, rate, format="OGG", subtype=codec.upper())
    return file.getvalue()


@pytest.mark.parametrize("codec", ["vorbis", "opus", "flac"])
@pytest.mark.parametrize("links", [2, 5])
def test_every_link_of_a_chain_is_read(tmp_path: Path, codec: str, links: int) -> None:
    blocks = [music(20_003 + 7 * i, 2, 48_000, seed=i) for i in range(links)]
    _, read = read_bytes(tmp_path, b"".join(ogg(block, codec, 48_000) for block in blocks))
    assert read.shape[1] == sum(block.shape[1] for block in blocks)
    end = 0
    for block in blocks:
        link = read[:, end : end + block.shape[1]]
        end += block.shape[1]
        assert shift(link, block) == 0
        assert np.corrcoef(link[0, 4000:16_000], block[0, 4000:16_000])[0, 1] > 0.98


def test_links_of_other_codecs_rates_and_channels_join_the_first(tmp_path: Path) -> None:
    parts = [
        ogg(music(30_000, 1, 24_000), "vorbis", 24_000),
        ogg(music(48_000, 2, 48_000), "opus", 48_000),
        ogg(music(44_100, 2, 44_100), "flac", 44_100),
        ogg(music(24_000, 1, 24_000), "vorbis", 24_000),
    ]
    rate, read = read_bytes(tmp_path, b"".join(parts))
    assert rate == 24_000
    assert read.shape == (1, 30_000 + 24_000 + 24_000 + 24_000)
    assert shift(read[:, -24_000:], music(24_000, 1, 24_000)) == 0
    assert shift(read[:, :30_000], music(30_000, 1, 24_000)) == 0
    # Stereo becomes the mean of its channels.
    middle = music(48_000, 2, 48_000).mean(axis=0, keepdims=True)[:, ::2]
    assert abs(shift(read[:, 30_000:54_000], middle)) <= 1


@pytest.mark.parametrize("wrap", ["junk in front", "zeros behind", "junk behind"])
def test_a_chain_may_have_junk_around_it(tmp_path: Path, wrap: str) -> None:
    data = ogg(music(20_003, 2, 48_000), "vorbis", 48_000)
    if wrap == "junk in front":
        data += bytes(500) + data
        assert read_bytes(tmp_path, data)[1].shape[1] == 2 * 20_003
    else:
        assert read_bytes(tmp_path, WRAPS[wrap](data))[1].shape[1] == 20_003


def pages_of(data: bytes) -> list[bytes]:
    pages = []
    while data:
        lacing = data[27 : 27 + data[26]]
        size = 27 + len(lacing) + sum(lacing)
        pages.append(data[:size])
        data = data[size:]
    return pages


def moved(page: bytes, granule: int) -> bytes:
    """A page at another granule position, with the checksum of RFC 3533, section 6."""
    page = page[:6] + struct.pack("<q", granule) + page[14:22] + bytes(4) + page[26:]
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C1_1DB7 if crc >> 31 else 0)) & 0xFFFF_FFFF
    return page[:22] + struct.pack("<I", crc) + page[26:]


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_pages_that_begin_before_zero_are_refused(tmp_path: Path, codec: str) -> None:
    """libsndfile plays what was cut off, and as much less at the end; FFmpeg opens few of them."""
    pages = pages_of(ogg(music(60_000, 1, 48_000), codec, 48_000))
    at = [int.from_bytes(page[6:14], "little") for page in pages]
    earlier = min(granule for granule in at if granule) + 104
    data = b"".join(
        moved(page, granule - earlier) if granule else page
        for page, granule in zip(pages, at, strict=True)
    )
    with pytest.raises(AudioError, match="its Ogg pages begin before zero"):
        read_bytes(tmp_path, data)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "heads"), [("vorbis", 2), ("opus", 2)])
def test_a_broadcast_that_was_tuned_into_is_read_from_there(
    tmp_path: Path, codec: str, heads: int
) -> None:
    block = music(700_000, 1, 48_000)
    pages = pages_of(ogg(block, codec, 48_000))
    half = len(pages) // 2
    granule = int.from_bytes(pages[half - 1][6:14], "little")
    data = b"".join(pages[:heads] + pages[half:])
    _, read = read_bytes(tmp_path, data)
    # The first packet of Vorbis gives no sound: it overlaps with one that is not there.
    assert 0 <= 700_000 - granule - read.shape[1] <= 2048
    assert shift(read, block[:, -read.shape[1] :]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["vorbis", "opus"])
@pytest.mark.parametrize("chained", [False, True])
def test_pages_that_are_missing_are_an_error(tmp_path: Path, codec: str, chained: bool) -> None:
    data = ogg(music(700_000, 1, 48_000), codec, 48_000)
    pages = pages_of(data)
    half = len(pages) // 2
    broken = b"".join(pages[:half] + pages[half + 2 :])
    with pytest.raises(AudioError, match=r"ends early|damaged"):
        read_bytes(tmp_path, broken + data if chained else broken)


def test_flac_streams_one_after_the_other_are_all_read(tmp_path: Path) -> None:
    blocks = [music(SAMPLES), music(30_000, 1, 22_050)]
    parts = [write_audio(blocks[0], "flac", "flac"), write_audio(blocks[1], "flac", "flac", 22_050)]
    rate, read = read_bytes(tmp_path, b"".join(parts))
    assert rate == 44_100
    assert read.shape == (2, SAMPLES + 60_000)
    np.testing.assert_allclose(read[:, :SAMPLES], blocks[0], rtol=0, atol=2**-15)


def test_a_flac_whose_header_promises_too_little_is_read_to_its_end(tmp_path: Path) -> None:
    block = music(SAMPLES)
    for data in (write_audio(block, "flac", "flac"), id3v2() + write_audio(block, "flac", "flac")):
        start = data.index(b"fLaC")
        short = bytearray(data)
        short[start + 22 : start + 26] = struct.pack(">I", 20_000)
        _, read = read_bytes(tmp_path, bytes(short))
        np.testing.assert_allclose(read, block, rtol=0, atol=2**-15)


@pytest.mark.parametrize("form", ["AIFF", "AU"])
def test_a_placeholder_for_the_size_means_until_the_end(tmp_path: Path, form: str) -> None:
    """As sox and ffmpeg write it into a pipe."""
    block = music(SAMPLES)
    file = io.BytesIO()
    soundfile.write(file, block.T, 44_100, format=form, subtype="PCM_16")
    data = bytearray(file.getvalue())
    at = data.index(b"SSND") + 4 if form == "AIFF" else 8
    data[at : at + 4] = b"\xff\xff\xff\xff" if form == "AU" else b"\x7f\x00\x00\x08"
    _, read = read_bytes(tmp_path, bytes(data))
    assert read.shape[1] == SAMPLES


def test_itunes_says_what_its_encoder_added(tmp_path: Path) -> None:
    """Without an edit list, as iTunes writes it: 1,024 samples in front are told by a tag only."""
    block = music(SAMPLES)
    data = write_audio(block, "ipod", "aac", options={"use_editlist": "0"})
    tag = f" 00000000 00000400 00000155 {SAMPLES:016X} 00000000 00000000"
    marked = with_itunes_tag(data, tag.encode())
    _, read = read_bytes(tmp_path, marked)
    assert read.shape == block.shape
    assert shift(read, block) == 0
    _, bare = read_bytes(tmp_path, data)
    assert shift(bare, block) == 1024


def with_itunes_tag(data: bytes, text: bytes) -> bytes:
    """An MP4 file, whose `moov` is last, with an iTunSMPB tag in it instead of other tags."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    item = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"iTunSMPB")
    item += box(b"data", bytes([0, 0, 0, 1, 0, 0, 0, 0]) + text)
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = box(b"meta", bytes(4) + handler + box(b"ilst", box(b"----", item)))
    moov = data.index(b"moov") - 4
    old = data.index(b"udta", moov) - 4
    body = data[moov + 8 : old] + box(b"udta", meta)
    return data[:moov] + box(b"moov", body)


def test_only_what_needs_it_imports_av(tmp_path: Path) -> None:
    """WAV, FLAC and plain Ogg start as fast as before."""
    import subprocess
    import sys

    paths = []
    for form, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AIFF", None)):
        paths.append(tmp_path / f"x.{form.lower()}")
        soundfile.write(paths[-1], music(5000).T, 44_100, format=form, subtype=subtype)
    program = """
import sys
from pathlib import Path
from encodec_cli.audio import open_audio
for path in sys.argv[1:]:
    with open_audio(Path(path)) as reader:
        assert sum(block.shape[1] for block in reader.blocks(1000)) == 5000
print("av" in sys.modules)
"""
    command = [sys.executable, "-c", program, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_without_av_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    path = tmp_path / "x.m4a"
    path.write_bytes(write_audio(music(5000), "ipod", "aac"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r"x\.m4a: needs PyAV.*pip install av"):
        open_audio(path)
