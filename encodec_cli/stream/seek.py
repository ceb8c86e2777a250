"""Decoding that begins in the middle: where to start reading, and the decoder's warm-up.

    chunks       |----|----|----|----|----|----|
    wanted                          [======...        from sample `first`
    warm-up               <-------->                  decoded, thrown away

A convolution forgets what lies further back than its history, `decoder_history`, so a decoder that
starts that much earlier, on the same grid of blocks, gives the same samples. An LSTM forgets more
slowly, how slowly depends on its weights and on the sound. So it is asked: two decoders warm up,
one twice as long as the other, until they agree at the cut. Segments know nothing of each other;
the two before are decoded for the overlap, whose weights are those of a full segment.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.timing import decoder_history
from encodec_cli.container import DamagedChunk, Header
from encodec_cli.container.codes import CodeChunk
from encodec_cli.model.codec import Codec
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.gain import gain_history
from encodec_cli.stream.protocols import Samples, StreamDecoder

__all__ = ["AGREEMENT_DB", "LONGEST_WARM_UP_S", "Chunk", "DecodedFrom", "first_chunk_for"]

Chunk = CodeChunk | DamagedChunk

AGREEMENT_DB = -80.0
"""How close two warm-ups must come, 20 dB below what is promised of the cut."""
LONGEST_WARM_UP_S = 64.0
"""Seconds that a decoder with an LSTM warms up at most."""
_FIRST_WARM_UP_S = 1.0
_COMPARED_S = 0.25
_FLOOR_RMS = 1e-3  # agreement in near silence is held against -60 dBFS


def first_chunk_for(config: CodecConfig, header: Header, first: int) -> int:
    """The chunk to start reading with, for samples from `first` (at the model's rate) on."""
    if header.stride is not None:
        return max(0, first // header.stride - 2)
    return _warm_up_frames(config, header, first)[0] // header.chunk_frames


class DecodedFrom:
    """Blocks `[C, n]` at the model's rate from sample `first` on, to less than a hop past the end.

    Attributes:
        notes: what to know of the result, a line each, once the first block is there: that the
            decoder still remembers what came before the longest warm-up.
    """

    def __init__(self, codec: Codec, header: Header, chunks: Iterable[Chunk], first: int) -> None:
        """`chunks` are those from number `first_chunk_for(...)` on; damaged ones are near silence.

        Iterating raises what `StreamDecoder.push` raises.
        """
        self.notes: list[str] = []
        self._codec, self._header, self._chunks, self._first = codec, header, chunks, first

    def __iter__(self) -> Iterator[Samples]:
        header, pieces = self._header, iter(self._chunks)
        number = first_chunk_for(self._codec.config, header, self._first)
        if header.stride is not None:
            decoder, position = stream_decoder(self._codec), number * header.stride
        else:
            begin, target = _warm_up_frames(self._codec.config, header, self._first)
            _, pieces = _take(pieces, begin - number * header.chunk_frames)
            past, pieces = _take(pieces, target - begin)
            decoder, position = self._warmed_up(past, begin)
        end = _finish(decoder, header.end_padding)
        for block in chain(map(partial(_push, decoder), pieces), end):
            drop = min(max(0, self._first - position), block.shape[1])
            position += block.shape[1]
            if drop < block.shape[1]:
                yield block[:, drop:]

    def _warmed_up(self, past: list[Chunk], begin: int) -> tuple[StreamDecoder, int]:
        """A decoder after the frames of `past`, which start at `begin`, and its next sample."""
        codec, header = self._codec, self._header
        config, most = codec.config, sum(piece.frames for piece in past)
        block, back = _block_frames(config, header), most
        if config.decoder.lstm:
            least = decoder_history(config.decoder)
            least += math.ceil(_FIRST_WARM_UP_S * config.frame_rate)
            back = min(most, -(-least // block) * block)
        compared = math.ceil(_COMPARED_S * config.sample_rate)
        before: Samples | None = None
        while True:
            decoder = stream_decoder(codec, block_frames=header.chunk_frames)
            audio = [_push(decoder, piece) for piece in _take(iter(past), most - back)[1]]
            position = (begin + most - back) * header.hop + sum(part.shape[1] for part in audio)
            if back == most and (begin == 0 or not config.decoder.lstm):
                return decoder, position
            end = np.concatenate(audio, axis=1)[:, -compared:]
            if before is not None and _difference_db(before, end) < AGREEMENT_DB:
                return decoder, position
            if back == most:
                self.notes.append(
                    f"this model remembers more than {LONGEST_WARM_UP_S:g} s: the beginning "
                    "differs slightly from that of a decoding from the start"
                )
                return decoder, position
            before, back = end, min(most, 2 * back)


def _warm_up_frames(config: CodecConfig, header: Header, first: int) -> tuple[int, int]:
    """Frames that warm a decoder of whole signals up for sample `first`: from, to.

    Both are on the grid of blocks that a decoder from the start runs on.
    """
    block = _block_frames(config, header)
    frame = first // header.hop
    target = frame // block * block
    begin = frame - decoder_history(config.decoder)
    if header.has_scale:
        chunk = header.chunk_frames
        gliding = gain_history(config.sample_rate, chunk * header.hop)
        begin = min(begin, (frame // chunk - gliding) * chunk)
    if config.decoder.lstm:
        begin = min(begin, target - round(LONGEST_WARM_UP_S * config.frame_rate))
    return max(0, begin // block * block), target


def _block_frames(config: CodecConfig, header: Header) -> int:
    return min(header.chunk_frames, config.chunk_frames)


def _difference_db(a: Samples, b: Samples) -> float:
    level = max(float(np.sqrt(np.mean(np.square(b)))), _FLOOR_RMS)
    error = float(np.sqrt(np.mean(np.square(a - b))))
    return 20 * math.log10(max(error, 1e-12) / level)


def _push(decoder: StreamDecoder, piece: Chunk) -> Samples:
    if isinstance(piece, DamagedChunk):
        return decoder.push_lost(piece.frames)
    return decoder.push(piece.codes, piece.scale)


def _finish(decoder: StreamDecoder, end_padding: int) -> Iterator[Samples]:
    """The samples still to come, but the padding, which lies in what the decoder looks ahead."""
    block = decoder.finish()
    yield block[:, : max(0, block.shape[1] - end_padding)]


def _take(pieces: Iterator[Chunk], frames: int) -> tuple[list[Chunk], Iterator[Chunk]]:
    """The first `frames` frames of `pieces`, or as many as there are, and the rest."""
    taken: list[Chunk] = []
    while frames > 0 and (piece := next(pieces, None)) is not None:
        if piece.frames > frames:
            pieces = chain([_part(piece, frames, piece.frames)], pieces)
            piece = _part(piece, 0, frames)
        taken.append(piece)
        frames -= piece.frames
    return taken, pieces


def _part(piece: Chunk, start: int, stop: int) -> Chunk:
    if isinstance(piece, DamagedChunk):
        return replace(piece, frames=stop - start)
    return replace(piece, codes=piece.codes[:, start:stop])
