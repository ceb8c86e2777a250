"""Which decoder reads a file: decided here, by its first bytes, and nowhere else.

    WAV of PCM               -> WavSource, in the reader, since pipes are decoded as they arrive
    MP3, ADTS                -> their frames, counted, then FFmpeg's decoders frame by frame
    MP3 in free format       -> their frames, counted, then libsndfile
    Ogg Vorbis, Opus         -> libsndfile if it is one plain stream, else FFmpeg link by link
    FLAC, AIFF, AU, CAF ...  -> libsndfile, where it can; chained FLAC goes to FFmpeg link by link
    all else                 -> FFmpeg

A file is only given to libsndfile if its first bytes are those of a format in which it reads all
there is. FFmpeg means PyAV, which is imported when the first file needs it.
"""

from typing import BinaryIO

from encodec_cli.audio.ac3 import AC3
from encodec_cli.audio.adts import ADTS
from encodec_cli.audio.av_source import find_container
from encodec_cli.audio.caf import is_caf_alac
from encodec_cli.audio.declared_size import check_declared_size
from encodec_cli.audio.flac_links import flac_links, open_flac_chain
from encodec_cli.audio.frame_links import check_last_frame, open_frames
from encodec_cli.audio.frame_walk import FrameFormat, FrameWalker
from encodec_cli.audio.free_format import open_free_format
from encodec_cli.audio.mpeg import MPEG_AUDIO
from encodec_cli.audio.ogg_pages import OggLink, read_links
from encodec_cli.audio.ogg_source import is_plain, open_chain
from encodec_cli.audio.sndfile_source import SndfileSource, UnreadableError
from encodec_cli.audio.source import SampleSource
from encodec_cli.audio.tags import skip_front_tags
from encodec_cli.audio.wav_header import WavHeader
from encodec_cli.audio.window import file_size, open_window, read_at
from encodec_cli.errors import AudioError

__all__ = ["choose_source"]

_FORMATS = "WAV, FLAC, Ogg, MP3, AAC, M4A, AIFF ..."
_WAV_MPEG = (0x0050, 0x0055)  # layers I and II, layer III
_SNDFILE_MAGICS = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"FFIR", b".snd", b"dns.", b"fLaC", b"caff"),
    *(b"riff", b"Creative Voice File", b" paf", b"fap ", b"NIST_1A", b"2BIT", b"\x64\xa3"),
    *(b"\0\0\xa3", b"\0\1\xa3", b"MATLAB 5.0", b"PVF1", b"Extended Instrument"),
    b"ALawSoundFile",
)
_LONGEST_JUNK = 1 << 20
_WALKED = ("mp3", "aac")  # FFmpeg's names of what is walked here, if it has junk in front


def choose_source(file: BinaryIO, name: str, wav: WavHeader | None) -> SampleSource:
    """The decoder of a seekable `file`, whose header is `wav` if it is a WAV file.

    Raises:
        AudioError: not audio, an unknown codec, damaged, or shorter than it says.
    """
    size = file_size(file)
    if wav is not None and wav.codec in _WAV_MPEG:
        end = size if wav.data_bytes is None else min(size, wav.data_start + wav.data_bytes)
        return open_frames(file, name, MPEG_AUDIO, wav.data_start, end)
    start = skip_front_tags(file)
    head = read_at(file, start, 64)
    if head.startswith(b"OggS"):
        links = read_links(file, name)
        _check_beginnings(links, name)
        if not is_plain(links, size):
            return open_chain(file, name, links)
        return SndfileSource(file, name, forgets=not _uses_silk(links[0]))
    if head.startswith(b"fLaC"):
        flacs = flac_links(file, start)
        if len(flacs) > 1 or not flacs[0].is_plain:
            return open_flac_chain(file, name, flacs)
    check_declared_size(file, name, start)
    if head.startswith(_SNDFILE_MAGICS) and not is_caf_alac(head):
        try:
            return SndfileSource(file, name)
        except UnreadableError:
            found = find_container(file, name, start)
            if found is None:
                raise
            return found.source()
    for form in (MPEG_AUDIO, ADTS):
        if _begins(file, name, form, start, junk=0, run=3):
            return open_frames(file, name, form, start, size)
    return open_free_format(file, name, start) or _search(file, name, start)


def _check_beginnings(links: list[OggLink], name: str) -> None:
    """Refuse links that begin before zero: decoders play what is before it, and lose their end."""
    if any(link.sound is not None and link.sound.begins_before_zero for link in links):
        raise AudioError(
            f"{name}: its Ogg pages begin before zero, as some editors leave them, which decoders "
            "here would play with a wrong end; write it anew with another program (oggdec) first"
        )


def _uses_silk(link: OggLink) -> bool:
    return link.sound is not None and link.sound.uses_silk


def _search(file: BinaryIO, name: str, start: int) -> SampleSource:
    """A decoder for what does not show at its first byte what it is."""
    found = find_container(file, name, start)
    if found is not None and found.format not in _WALKED:
        if found.format in ("ac3", "eac3"):
            check_last_frame(file, name, AC3, start)
        return found.source()
    if found is not None:
        found.close()
    for form in (MPEG_AUDIO, ADTS):
        if _begins(file, name, form, start, junk=_LONGEST_JUNK, run=8):
            return open_frames(file, name, form, start, file_size(file))
    if read_at(file, start, 4) == b"ECDC":
        raise AudioError(f"{name}: is coded already (.ecdc); `decode` makes audio of it")
    raise AudioError(
        f"{name}: not audio in a format this program reads ({_FORMATS}); "
        "convert it first, e.g. with ffmpeg"
    )


def _begins(
    file: BinaryIO, name: str, form: FrameFormat, start: int, *, junk: int, run: int
) -> bool:
    walker = FrameWalker(open_window(file, start), form, name)
    return walker.find(junk=junk, run=run) is not None
