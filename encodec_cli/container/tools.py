"""What can be done to an `.ecdc` file without a model: peel, summarise, verify."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from encodec_cli.container.coders import find_coder
from encodec_cli.container.codes import CodeChunk
from encodec_cli.container.header import Header
from encodec_cli.container.payload import ChunkCoder, StoredChunk
from encodec_cli.container.reader import EcdcReader
from encodec_cli.container.records import KIND_CODED
from encodec_cli.container.types import Chunk, DamagedChunk
from encodec_cli.container.writer import EcdcWriter
from encodec_cli.errors import ContainerError, UsageError

__all__ = ["Summary", "peel", "problems_in", "summarize", "verify"]


@dataclass(frozen=True)
class Summary:
    """What `info` shows of a file.

    Attributes:
        header: with the sample counts filled in from the end mark.
        file_bytes: size of the whole file.
        chunks: number of chunks, damaged ones included.
        frames: their frames.
        coded: of the chunks, those that a code model made smaller.
        payload_bytes: of intact chunks, the bytes of codes and scales; 0 in format 0.
        damaged: the chunks that cannot be read.
        problems: as from `verify`; empty if all is well.
        warnings: oddities that are no damage.
    """

    header: Header
    file_bytes: int
    chunks: int
    frames: int
    coded: int
    payload_bytes: int
    damaged: tuple[DamagedChunk, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds; of a truncated file, as far as its frames reach."""
        known = self.header.duration
        if known is not None and not self.problems:
            return known
        reach = self.header.chunk_seconds(self.chunks)
        if self.header.segment is None:
            samples = self.frames * self.header.hop - self.header.end_padding
            reach = max(0, samples) / self.header.sample_rate
        return reach if known is None else min(known, reach)

    @property
    def kbps(self) -> float:
        """Real rate in kb/s: all bytes of the file over its duration; 0 if nothing plays."""
        return self.file_bytes * 8 / self.duration / 1000 if self.duration else 0.0

    @property
    def payload_kbps(self) -> float:
        """kb/s that codes and scales take in the file; 0 in format 0."""
        return self.payload_bytes * 8 / self.duration / 1000 if self.duration else 0.0


def peel(reader: EcdcReader, target: BinaryIO, codebooks: int) -> Header:
    """Lower the bandwidth: copy what `reader` has opened with only its coarsest `codebooks`.

    The result is the file an encoder with that many codebooks would have written, in the same
    format version. Works on pipes and in constant memory. Chunks that a code model made smaller
    are decoded, and coded again.

    Returns:
        The header written.

    Raises:
        UsageError: `codebooks` is not between 1 and what the file has.
        ContainerError: codes are missing or damaged, or compressed with a language model, or the
            code model is missing. What `target` got until then is useless.
    """
    if reader.header.lm:
        raise ContainerError(
            "the codes are compressed with a language model, whose probabilities depend on the "
            "number of codebooks; decode the file and encode it anew at the lower bandwidth"
        )
    if not 1 <= codebooks <= reader.header.codebooks:
        raise UsageError(f"cannot keep {codebooks} of {reader.header.codebooks} codebooks")
    header = replace(reader.header, codebooks=codebooks)
    live = not (reader.seekable and target.seekable())
    writer = EcdcWriter(target, header, coder=reader.require_coder(), live=live)
    for chunk in reader:
        if isinstance(chunk, DamagedChunk):
            raise ContainerError(f"cannot copy damage: {reader.problems[-1]}")
        writer.write(CodeChunk(chunk.codes[:codebooks], chunk.scale))
    if reader.num_samples is None:
        raise ContainerError("the source does not say how many samples it has")
    writer.finish(reader.num_samples, reader.source_num_samples)
    return header


def summarize(file: BinaryIO) -> Summary:
    """Read a whole file and describe it, damage included. Needs no code model.

    Raises:
        ContainerError: not an `.ecdc` file, or its header is damaged.
    """
    reader = EcdcReader(file)
    return _summarize_size(reader) if reader.header.lm else _summarize(reader, reader.stored())


def _summarize(reader: EcdcReader, stored: Iterator[Chunk | StoredChunk]) -> Summary:
    """Count what comes of `stored`, an iteration over `reader`."""
    chunks = frames = coded = payload_bytes = 0
    damaged: list[DamagedChunk] = []
    fatal: list[str] = []
    try:
        for chunk in stored:
            chunks += 1
            frames += chunk.frames
            if isinstance(chunk, DamagedChunk):
                damaged.append(chunk)
            elif isinstance(chunk, StoredChunk):
                coded += chunk.kind == KIND_CODED
                payload_bytes += len(chunk.payload)
    except ContainerError as error:
        fatal.append(str(error))
    return Summary(
        header=replace(
            reader.header,
            num_samples=reader.num_samples,
            source_num_samples=reader.source_num_samples,
        ),
        file_bytes=reader.file_bytes(),
        chunks=chunks,
        frames=frames,
        coded=coded,
        payload_bytes=payload_bytes,
        damaged=tuple(damaged),
        problems=(*reader.problems, *fatal),
        warnings=reader.warnings,
    )


def _summarize_size(reader: EcdcReader) -> Summary:
    """What can be said of language-model codes that nobody decodes."""
    header = reader.header
    samples = header.num_samples or 0
    chunks = header.chunk_count(samples)
    return Summary(
        header=header,
        chunks=chunks,
        frames=header.frames_before(chunks, samples),
        coded=0,
        payload_bytes=0,
        damaged=(),
        problems=tuple(reader.check_size()),
        warnings=reader.warnings,
        file_bytes=reader.file_bytes(),
    )


def verify(
    file: BinaryIO,
    *,
    coder: ChunkCoder | None = None,
    code_models: Sequence[Path] = (),
    quick: bool = False,
) -> list[str]:
    """Everything that is wrong with a file, one line each; empty if it is intact.

    In formats 1 and 2 checksums cover every byte. What a code model made smaller is decoded and
    coded again as well, if the code model is there and not `quick`; `coder` and `code_models` are
    those of `EcdcReader`. Format 0 has no checksums, so only its structure is checked, and of
    language-model codes only whether their size is possible.
    """
    try:
        return problems_in(file, coder=coder, code_models=code_models, quick=quick)
    except ContainerError as error:
        return [str(error)]


def problems_in(
    file: BinaryIO,
    *,
    coder: ChunkCoder | None = None,
    code_models: Sequence[Path] = (),
    quick: bool = False,
) -> list[str]:
    """As `verify`, of what is an `.ecdc` file.

    Raises:
        ContainerError: not an `.ecdc` file, or its header is damaged.
    """
    reader = EcdcReader(file, coder=coder, code_models=code_models, prove=True)
    if reader.header.lm:
        return list(_summarize_size(reader).problems)
    decodes = not quick and (
        coder is not None or find_coder(reader.header, code_models) is not None
    )
    return list(_summarize(reader, reader if decodes else reader.stored()).problems)
