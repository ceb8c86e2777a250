"""Ogg files beyond one plain stream of Vorbis or Opus: chains, FLAC, Speex, films."""

from collections.abc import Iterator
from typing import BinaryIO

from encodec_cli.audio.av_decoding import Piece, open_container
from encodec_cli.audio.frame_source import FrameSource, exactly
from encodec_cli.audio.ogg_pages import OggLink
from encodec_cli.audio.resample import resampled_length
from encodec_cli.audio.window import open_window
from encodec_cli.errors import AudioError

__all__ = ["is_plain", "open_chain"]


def is_plain(links: list[OggLink], size: int) -> bool:
    """Whether libsndfile reads all of an Ogg file of `size` bytes that has these links."""
    if len(links) != 1 or links[0].start != 0 or links[0].end != size:
        return False
    sound = links[0].sound
    return (
        len(links[0].streams) == 1
        and sound is not None
        and sound.codec in ("vorbis", "opus")
        # libsndfile leaves surround channels in the order of Vorbis, which is not that of WAV.
        and sound.channels <= 2
        and not sound.is_late
    )


def open_chain(file: BinaryIO, name: str, links: list[OggLink]) -> FrameSource:
    """Samples of all `links`, those of another rate or channel count as the first.

    Raises:
        AudioError: no link has sound, one cannot be decoded, or is shorter than its last page says.
    """
    with_sound = [link for link in links if link.sound is not None]
    if not with_sound:
        raise AudioError(f"{name}: holds no sound that can be decoded; name another file")
    source = FrameSource(_decode(file, name, with_sound), name, None)
    lengths = [_length(link, source.sample_rate) for link in with_sound]
    known = [length for length in lengths if length is not None]
    source.num_frames = sum(known) if len(known) == len(lengths) else None
    return source


def _decode(file: BinaryIO, name: str, links: list[OggLink]) -> Iterator[Piece]:
    for number, link in enumerate(links, 1):
        sound = link.sound
        container = open_container(open_window(file, link.start, link.end), name, "ogg")
        if container is None or sound is None:
            raise AudioError(
                f"{name}: damaged: part {number} of this chain, from byte {link.start}, cannot be "
                "opened; get it again"
            )
        if sound.codec == "speex":  # its granules count samples that no decoder delivers
            yield from container.pieces()
        elif sound.is_late:
            yield from exactly(container.pieces(), name, least=sound.samples)
        else:
            yield from exactly(container.pieces(), name, samples=sound.samples)


def _length(link: OggLink, rate: int) -> int | None:
    """Samples of `link` at `rate` Hz, None if only decoding will tell."""
    sound = link.sound
    if sound is None or sound.is_late or sound.rate is None:
        return None
    return resampled_length(sound.samples, sound.rate, rate)
