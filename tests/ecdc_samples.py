"""Small `.ecdc` files for the container tests."""

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.container import (
    CodeChunk,
    DamagedChunk,
    Ecdc,
    EcdcReader,
    EcdcWriter,
    Header,
    v0_header,
    write_ecdc,
)
from encodec_cli.container.gain import nearest_scale
from encodec_cli.errors import ContainerError


class Pipe(io.RawIOBase):
    """A readable and writable stand-in for a pipe: no seeking, one byte per call if `dribble`."""

    def __init__(self, data: bytes = b"", *, dribble: bool = False) -> None:
        self.written = bytearray()
        self.asked = 0
        self._data = io.BytesIO(data)
        self._dribble = dribble

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1, /) -> bytes:
        block = self._data.read(1 if self._dribble else size)
        self.asked += len(block)
        return block

    def write(self, data: Any, /) -> int:
        part = bytes(data)[: 1 if self._dribble else None]
        self.written += part
        return len(part)


class RepeatCoder:
    """A code model for tests: a bit says whether a code is that of the frame before.

    0 is "the same", so zeros behind a run change nothing, and any bytes give some codes.
    """

    def __init__(self, codebooks: int = 16, bits: int = 10, sha256: str = "c0de" * 16) -> None:
        self.codebooks, self.bits, self.bins, self.sha256 = codebooks, bits, 1 << bits, sha256
        self.calls: list[int] = []
        """Chunks in each call."""

    def encode_chunks(self, chunks: Sequence[NDArray[np.uint16]]) -> list[bytes]:
        self.calls.append(len(chunks))
        return [self._encode(codes) for codes in chunks]

    def decode_chunks(self, runs: Sequence[tuple[bytes, int, int]]) -> list[NDArray[np.uint16]]:
        self.calls.append(len(runs))
        return [self._decode(*run) for run in runs]

    def _encode(self, codes: NDArray[np.uint16]) -> bytes:
        bits, before = [], [0] * codes.shape[0]
        for frame in codes.T.tolist():
            for k, code in enumerate(frame):
                bits.append(code != before[k])
                if bits[-1]:
                    bits += [code >> bit & 1 for bit in range(self.bits)]
            before = frame
        return np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes().rstrip(b"\0")

    def _decode(self, run: bytes, codebooks: int, frames: int) -> NDArray[np.uint16]:
        bits = iter(np.unpackbits(np.frombuffer(run, np.uint8), bitorder="little").tolist())
        codes, before = np.zeros((codebooks, frames), np.uint16), [0] * codebooks
        for frame in range(frames):
            for k in range(codebooks):
                if next(bits, 0):
                    before[k] = sum(next(bits, 0) << bit for bit in range(self.bits))
            codes[:, frame] = before
        return codes


CODER = RepeatCoder()


def v2_header(*, coded: bool = True, **changes: Any) -> Header:
    """`small_header` in format 2, with `CODER` as its code model if `coded`."""
    code_model = CODER.sha256[:16] if coded else None
    return small_header(**({"version": 2, "code_model": code_model} | changes))


def small_header(**changes: Any) -> Header:
    """Format 1, whole signal, 2 codebooks of 10 bits, 8 frames a chunk."""
    base: dict[str, Any] = {
        "version": 1,
        "model": "tiny",
        "sample_rate": 24000,
        "channels": 1,
        "hop": 320,
        "codebooks": 2,
        "bits": 10,
        "chunk_frames": 8,
    }
    return Header(**(base | changes))


def segment_header(**changes: Any) -> Header:
    """Format 1 with the geometry of EnCodec 48 kHz."""
    base = v0_header("encodec_48khz", codebooks=2)
    return replace(base, **({"version": 1} | changes))


def make_ecdc(
    header: Header, num_samples: int, *, seed: int = 0, repeated: float | None = None
) -> Ecdc:
    """Random codes (and scales) that fit `header` and `num_samples`.

    Of the codes, the share `repeated` is that of the frame before; if there is a code model, most
    are, but in every fifth chunk none.
    """
    generator = np.random.default_rng(seed)
    count = header.chunk_count(num_samples)
    frames = header.frames_before(count, num_samples)
    codes = generator.integers(0, 1 << header.bits, (header.codebooks, frames)).astype(np.uint16)
    if repeated is None and header.code_model is not None:
        repeated = 0.8
    if repeated is not None:
        again = generator.random(codes.shape) < repeated
        again[:, np.arange(frames) // header.chunk_frames % 5 == 1] = False
        for frame in range(1, frames):
            codes[:, frame] = np.where(again[:, frame], codes[:, frame - 1], codes[:, frame])
    scales = None
    if header.has_scale:
        scales = generator.uniform(0.01, 1, count).astype(np.float32)
        if header.version > 1 and header.segment is None:
            scales = np.array([nearest_scale(scale) for scale in scales.tolist()], np.float32)
    return Ecdc(replace(header, num_samples=num_samples), codes, scales)


def coder_for(header: Header) -> RepeatCoder | None:
    """`CODER`, if `header` names a code model."""
    return None if header.code_model is None else CODER


def file_bytes(ecdc: Ecdc) -> bytes:
    """The file, with the number of samples in its header."""
    file = io.BytesIO()
    write_ecdc(file, ecdc, coder=coder_for(ecdc.header))
    return file.getvalue()


def streamed_bytes(ecdc: Ecdc, source_num_samples: int | None = None) -> bytes:
    """The file as a live encoder writes it, which learns the number of samples last."""
    file = io.BytesIO()
    header = replace(ecdc.header, num_samples=None)
    writer = EcdcWriter(file, header, coder=coder_for(header))
    for chunk in chunks_of(ecdc):
        writer.write(chunk)
    assert ecdc.header.num_samples is not None
    writer.finish(ecdc.header.num_samples, source_num_samples)
    return file.getvalue()


def chunks_of(ecdc: Ecdc) -> list[CodeChunk]:
    """The chunks that `ecdc` consists of."""
    header, samples = ecdc.header, ecdc.header.num_samples
    assert samples is not None
    bounds = [header.frames_before(i, samples) for i in range(header.chunk_count(samples) + 1)]
    scales = [None] * (len(bounds) - 1) if ecdc.scales is None else ecdc.scales.tolist()
    return [
        CodeChunk(ecdc.codes[:, start:stop], scale)
        for start, stop, scale in zip(bounds[:-1], bounds[1:], scales, strict=True)
    ]


def read_all(data: bytes) -> tuple[list[CodeChunk | DamagedChunk], ContainerError | None]:
    """Everything a file gives, and the error at its end, if any."""
    reader = EcdcReader(io.BytesIO(data), coder=CODER)
    got: list[CodeChunk | DamagedChunk] = []
    try:
        for chunk in reader:
            got.append(chunk)
    except ContainerError as error:
        return got, error
    return got, None


def outline(chunks: Iterable[CodeChunk | DamagedChunk]) -> str:
    """One letter per chunk: o for codes, x for damage."""
    return "".join("x" if isinstance(chunk, DamagedChunk) else "o" for chunk in chunks)


def assert_same_chunks(
    got: Iterable[CodeChunk | DamagedChunk], expected: Iterable[CodeChunk]
) -> None:
    """Same codes and scales; damaged chunks may stand for any codes of the same length."""
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.frames == theirs.frames
        if isinstance(ours, CodeChunk):
            assert ours.scale == theirs.scale
            assert_same_codes(ours.codes, theirs.codes)


def assert_same_codes(got: NDArray[np.uint16], expected: NDArray[np.uint16]) -> None:
    """Equal values, shape and dtype."""
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def varied(data: bytes, generator: random.Random) -> bytes:
    """`data` with a few random edits."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(len(changed) + 1)
        match generator.randrange(4):
            case 0:
                changed[at : at + 1] = generator.randbytes(1)
            case 1:
                del changed[at : at + generator.randint(1, 40)]
            case 2:
                changed[at:at] = generator.randbytes(generator.randint(1, 40))
            case 3:
                start = generator.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + 60]
    return bytes(changed)
