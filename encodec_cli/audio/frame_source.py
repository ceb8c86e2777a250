"""Pieces of decoded audio of any length, handed out as samples of one rate and channel count."""

from collections.abc import Callable, Iterator

import numpy as np

from encodec_cli.audio.av_decoding import Piece
from encodec_cli.audio.channels import match_channels
from encodec_cli.audio.resample import Resampler
from encodec_cli.audio.samples import FloatBlock
from encodec_cli.audio.source import check_layout, read_over
from encodec_cli.errors import AudioError

__all__ = ["FrameSource", "exactly"]


class FrameSource:
    """Samples of a decoder that delivers pieces; see `SampleSource`.

    The first piece sets rate and channels. Pieces of another rate are resampled to it, those with
    other channels are mixed, as in a chain of recordings that were made differently.

    Args:
        pieces: what the decoder delivers, in order; it raises AudioError where the data are bad.
        name: of the file, for messages.
        num_frames: samples per channel that `pieces` will deliver, None if only the end will tell.
        seek: makes pieces that begin later, after so many samples per channel; None where only
            decoding leads there. Pieces of other rates must not be among them.

    Raises:
        AudioError: `pieces` does, or its first rate or channel count is absurd.
    """

    def __init__(
        self,
        pieces: Iterator[Piece],
        name: str,
        num_frames: int | None,
        *,
        seek: Callable[[int], Iterator[Piece]] | None = None,
    ) -> None:
        self._pieces = pieces
        self.seek = seek
        self._position = 0
        self._name = name
        self._resampler: tuple[int, Resampler] | None = None
        self._ready: list[FloatBlock] = []
        self.num_frames = num_frames
        first = next(pieces, None)
        while first is not None and first.samples.shape[1] == 0:
            first = next(pieces, None)
        if first is None:
            raise AudioError(f"{name}: holds no samples; nothing to encode")
        self.sample_rate = first.rate
        self.channels = first.samples.shape[0]
        check_layout(name, self.sample_rate, self.channels)
        self._push(first)

    def read(self, frames: int) -> FloatBlock:
        """The next `frames` frames [n, C]; fewer only at the end.

        Raises:
            AudioError: the data are damaged, or end before the length the file promises.
        """
        taken = 0
        blocks: list[FloatBlock] = []
        while taken < frames:
            if not self._ready and not self._refill():
                break
            block = self._ready.pop(0)
            if block.shape[1] > frames - taken:
                self._ready.insert(0, block[:, frames - taken :])
                block = block[:, : frames - taken]
            blocks.append(block)
            taken += block.shape[1]
        self._position += taken
        if not blocks:
            return np.zeros((0, self.channels), np.float32)
        joined: FloatBlock = np.concatenate(blocks, axis=1).T
        return joined

    def skip(self, frames: int) -> int:
        """Pass over the next `frames` frames, which may be decoded; how many there were."""
        if self.seek is None or self.num_frames is None or frames < self.sample_rate:
            return read_over(self, frames)
        frames = min(frames, self.num_frames - self._position)
        self.close()
        self._position += frames
        self._pieces, self._ready = self.seek(self._position), []
        return frames

    def close(self) -> None:
        """Let the decoder go."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _refill(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            return self._end_other_rate()
        self._push(piece)
        return True

    def _push(self, piece: Piece) -> None:
        check_layout(self._name, piece.rate, piece.samples.shape[0])
        samples = match_channels(piece.samples, self.channels)
        if self._resampler is not None and self._resampler[0] != piece.rate:
            self._end_other_rate()
        if piece.rate != self.sample_rate:
            if self._resampler is None:
                resampler = Resampler(piece.rate, self.sample_rate, self.channels)
                self._resampler = (piece.rate, resampler)
            samples = self._resampler[1].push(samples)
        self._ready.append(samples)

    def _end_other_rate(self) -> bool:
        """Take what the resampler of a link still holds; whether there was one."""
        if self._resampler is None:
            return False
        self._ready.append(self._resampler[1].finish())
        self._resampler = None
        return True


def exactly(
    pieces: Iterator[Piece],
    name: str,
    *,
    skip: int = 0,
    samples: int | None = None,
    least: int = 0,
    slack: int = 0,
) -> Iterator[Piece]:
    """`pieces` without the first `skip` samples, and no more than `samples`, if that is a number.

    Raises:
        AudioError: fewer than `samples` less `slack`, or than `least`, are there.
    """
    left = samples
    done = 0
    for rate, block in pieces:
        dropped = min(skip, block.shape[1])
        skip -= dropped
        block = block[:, dropped:]
        if left is not None:
            block = block[:, :left]
            left -= block.shape[1]
        if block.shape[1] > 0:
            done += block.shape[1]
            yield Piece(rate, block)
    promised = max(least, samples or 0)
    if done < promised - slack:
        raise AudioError(
            f"{name}: ends early: its header promises {promised} samples, {done} are there; "
            "it was cut short, get it again"
        )
