"""Which files of a folder are recordings: by suffix, and by first bytes where the suffix is silent.

A suffix of another trade (`.txt`, `.png`) does not hide a recording, and `.wav` does not make one
of what macOS leaves beside a file.
"""

from pathlib import Path

__all__ = ["AUDIO_SUFFIXES", "is_recording", "reason_not_taken"]

AUDIO_SUFFIXES = frozenset(
    {".8svx", ".aac", ".ac3", ".adts", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".awb"}
    | {".bwf", ".caf", ".dff", ".dsf", ".dts", ".ec3", ".eac3", ".flac", ".m4a", ".m4b", ".m4r"}
    | {".mka", ".mp1", ".mp2", ".mp3", ".mpa", ".mpc", ".mpga", ".oga", ".ogg", ".opus", ".ra"}
    | {".rf64", ".rm", ".snd", ".spx", ".tak", ".tta", ".voc", ".w64", ".wav", ".wave", ".weba"}
    | {".wma", ".wv"}
    # Films have sound as well.
    | {".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".ogx", ".qt", ".vob", ".webm", ".wmv"}
)
"""Lower case, of files that can be read."""

_APPLE_DOUBLE = (b"\x00\x05\x16\x07", b"\x00\x05\x16\x00")
_MAGICS = (
    *(b"fLaC", b"caff", b".snd", b"ID3", b"#!AMR", b"wvpk", b"MAC ", b"TTA1", b"tBaK", b"MPCK"),
    *(b"OggS", b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"riff\x2e\x91\xcf\x11"),
)
_IN_CHUNKS = {
    b"RIFF": (b"WAVE", b"AVI "),
    b"RIFX": (b"WAVE",),
    b"RF64": (b"WAVE",),
    b"BW64": (b"WAVE",),
    b"FORM": (b"AIFF", b"AIFC", b"8SVX"),
}
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1", b"crx ", b"jp2 ")


_HEADERLESS = frozenset(
    {".al", ".alaw", ".f32", ".f32le", ".g722", ".g723", ".g729", ".gsm", ".pcm", ".raw", ".s16"}
    | {".s16le", ".sb", ".sln", ".sw", ".u8", ".ub", ".ul", ".ulaw", ".uw", ".vox"}
)
_PROTECTED = frozenset({".aa", ".aax", ".aaxc", ".m4p"})
_DICTATED = frozenset({".ds2", ".dss", ".dvf", ".msv"})


def is_recording(path: Path) -> bool:
    """Whether the file `path` is one to read: it has a suffix of audio, or begins like audio.

    Not so: what macOS keeps beside a file on foreign disks (AppleDouble, `._x.wav`). A file that
    cannot be opened counts by its suffix, so that the reader says what is wrong.
    """
    by_suffix = path.suffix.lower() in AUDIO_SUFFIXES
    try:
        with path.open("rb") as file:
            head = file.read(400)
    except OSError:
        return by_suffix
    if head.startswith(_APPLE_DOUBLE) and path.name.startswith("._"):
        return False
    return by_suffix or _begins_like_audio(head)


def reason_not_taken(path: Path) -> str | None:
    """Why `path`, which `is_recording` does not count, may hold sound all the same; else None.

    Such files have a suffix under which samples without a header, protected or dictated recordings
    are kept. Scores (MIDI), lists of titles and project files hold no sound.
    """
    suffix = path.suffix.lower()
    if path.name.startswith("._") or suffix not in _HEADERLESS | _PROTECTED | _DICTATED:
        return None
    if suffix in _HEADERLESS:
        return "has no header to tell its rate; convert it to WAV first, e.g. with sox or ffmpeg"
    if suffix in _PROTECTED:
        return "is protected against copying; only the shop's program plays it"
    return "is a format of dictation machines; convert it to WAV with its maker's program"


def _begins_like_audio(head: bytes) -> bool:
    if head.startswith(_MAGICS) or head[8:12] in _IN_CHUNKS.get(head[:4], ()):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] not in _IMAGE_BRANDS
    is_transport_stream = head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G"
    # MP3 or ADTS: eleven bits of sync, and a layer and rate that exist.
    is_sync = head[:1] == b"\xff" and len(head) > 3 and head[1] >= 0xE0 and head[2] < 0xF0
    is_frame = is_sync and (head[1] & 6 != 0 or head[1] & 0xF6 == 0xF0) and head[1] != 0xFE
    return is_transport_stream or (is_frame and head[1] & 0x18 != 0x08)
