"""Files to files: the only module that joins audio, coder and container.

    encode_file   audio --prepare_blocks--> StreamEncoder --> EcdcWriter
    decode_file   EcdcReader --> StreamDecoder --> trim --> Resampler --> AudioWriter

Either end may be "-", a pipe. Everything runs in blocks of about a second, or of the chunks that
live encoders made shorter.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio import (
    AudioFormat,
    Encoding,
    open_audio,
    open_audio_writer,
    prepare_blocks,
)
from encodec_cli.config.timing import block_frames_for
from encodec_cli.container import DamagedChunk, EcdcReader, EcdcWriter, Header, Legacy
from encodec_cli.container.codes import CodeChunk
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.files import CountingFile, atomic_output, open_input, standard_output
from encodec_cli.model.module import CompressionModel
from encodec_cli.pipeline.output import all_but, resampled, rescaled
from encodec_cli.pipeline.prefetch import chunks_of
from encodec_cli.pipeline.reports import DecodeReport, EncodeReport
from encodec_cli.stream.coder import stream_encoder
from encodec_cli.stream.excerpt import between, beyond_the_end, part_to_decode
from encodec_cli.stream.seek import decoded_from, first_chunk_for
from encodec_cli.stream.signals import check_same_model, header_for

__all__ = [
    "DecodeOptions",
    "decode_file",
    "decode_stream",
    "encode_file",
]

Place = Path | Literal["-"]
Samples = NDArray[np.float32]
Progress = Callable[[float, float | None], None]
"""Called with the seconds of audio done, and in all if known."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How `decode_file` decodes and writes.

    `bandwidth` (kb/s) or `n_q` use fewer codebooks than stored. `sample_rate` in Hz, None for
    the model's, or "source" for the rate and length of what was encoded. `rescale` lowers the
    whole recording instead of clamping peaks. `conceal` puts silence in place of damage instead
    of failing. `start` and `duration`, in seconds, decode a part, see `sample_range`; only what it
    needs is read and checked, by the file's index if it has one. `lm` is the language model for
    files that need one; `legacy` names the program that wrote a file whose layout differs.
    """

    bandwidth: float | None = None
    n_q: int | None = None
    sample_rate: int | Literal["source"] | None = None
    audio_format: AudioFormat | None = None
    encoding: Encoding | None = None
    rescale: bool = False
    conceal: bool = False
    start: float | Fraction = 0
    duration: float | Fraction | None = None
    force: bool = False
    lm: CodeModel | None = None
    legacy: Legacy | None = None


def encode_file(
    model: CompressionModel,
    source: Place,
    target: Place,
    *,
    n_q: int,
    search: int | None = None,
    latency_ms: float | None = None,
    version: int = 1,
    keep_source: bool = False,
    lm: CodeModel | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> EncodeReport:
    """Code audio from `source` into an `.ecdc` file of `n_q` codebooks.

    `search` is that of `stream_encoder`.
    `latency_ms` makes smaller chunks that leave sooner, see `block_frames_for`; format 0 has none.
    Format 0 stores the source's rate, channels and length, and the weights' hash, only with
    `keep_source`; with `lm` its codes are compressed with that language model.

    Raises:
        EncodecCliError: see `open_audio`, `stream_encoder`, `header_for`, `atomic_output`.
    """
    started = time.monotonic()
    chunk_frames = block_frames_for(model.config, latency_ms)
    with open_audio(source) as reader:
        header = header_for(model, n_q, version=version, chunk_frames=chunk_frames)
        total = None if reader.num_frames is None else reader.num_frames / reader.sample_rate
        keeps = version > 0 or keep_source
        if version == 0:
            header = replace(header, lm=lm is not None, keep_source=keep_source)
        if keeps:
            header = replace(
                header,
                model_sha256=model.sha256,
                source_sample_rate=reader.sample_rate,
                source_channels=reader.channels,
            )
        encoder = stream_encoder(model, n_q, chunk_frames=chunk_frames, search=search)
        # Read in small parts of a block: it is to be coded when its last sample comes.
        part = max(1, chunk_frames // 8) * model.config.hop_length
        part = max(1, part * reader.sample_rate // model.sample_rate)
        output = standard_output() if target == "-" else atomic_output(target, force=force)
        with output as file:
            counter = CountingFile(file)
            writer = EcdcWriter(cast(BinaryIO, counter), header, lm=lm)
            samples = 0
            for block in prepare_blocks(reader, model.sample_rate, model.channels, part):
                for chunk in encoder.push(block):
                    writer.write(chunk)
                samples += block.shape[1]
                if progress is not None:
                    progress(samples / model.sample_rate, total)
            for chunk in encoder.finish():
                writer.write(chunk)
            writer.finish(samples, reader.frames_read if keeps else None)
    return EncodeReport(
        source=str(source),
        target=str(target),
        model=model.config.name,
        codebooks=n_q,
        seconds=samples / model.sample_rate,
        bytes=counter.bytes,
        elapsed_seconds=time.monotonic() - started,
    )


def decode_file(
    model: CompressionModel,
    source: Place,
    target: Place,
    options: DecodeOptions,
    *,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode an `.ecdc` file into audio.

    Raises:
        EncodecCliError: see `EcdcReader`, `check_same_model`, `open_audio_writer`; damage, unless
            `options.conceal`.
    """
    with open_input(source) as file:
        return decode_stream(model, file, str(source), target, options, progress=progress)


def decode_stream(
    model: CompressionModel,
    file: BinaryIO,
    source: str,
    target: Place,
    options: DecodeOptions,
    *,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode an open `.ecdc` file or pipe into audio; `source` is its name.

    Raises:
        EncodecCliError: see `decode_file`.
    """
    started = time.monotonic()
    name = "stdin" if source == "-" else source
    notes: list[str] = []
    losses = _Losses(conceal=options.conceal)
    try:
        reader = EcdcReader(file, lm=options.lm, legacy=options.legacy)
        check_same_model(model, reader.header)
        if reader.header.lm and options.lm is None:
            raise UsageError(
                "the codes are compressed with Meta's language model; name its weights with --lm"
            )
        n_q = _codebooks(model, reader.header, options)
        rate = _output_rate(reader, options)
        part = part_to_decode(reader, options.start, options.duration, rate)
        gain = 1.0
        with ExitStack() as stack:
            decoded = closing(_decoded(model, reader, n_q, part.begin, losses, notes))
            blocks: Iterator[Samples] = stack.enter_context(decoded)
            exact = options.sample_rate == "source"
            blocks = between(resampled(blocks, reader, rate, part.origin, exact=exact), part)
            if options.rescale:
                blocks, gain = rescaled(blocks, model.channels, stack)
            writer = stack.enter_context(
                open_audio_writer(
                    target,
                    rate,
                    model.channels,
                    audio_format=options.audio_format,
                    encoding=options.encoding,
                    force=options.force,
                )
            )
            for block in blocks:
                writer.write(block)
                if progress is not None:
                    progress(writer.frames / rate, part.seconds(reader, rate))
            damage = losses.lines(reader)
            if writer.frames == 0:
                raise (
                    ContainerError(f"{damage[0]}; nothing of the audio is left")
                    if damage
                    else beyond_the_end(options.start, reader.num_samples, reader.play_rate)
                )
    except (ContainerError, UsageError) as error:
        raise type(error)(f"{name}: {error}") from error
    return DecodeReport(
        source=source,
        target=str(target),
        model=model.config.name,
        codebooks=n_q,
        sample_rate=rate,
        samples=writer.frames,
        clipped=writer.clipped,
        gain=gain,
        damage=tuple(damage),
        notes=tuple(notes),
        elapsed_seconds=time.monotonic() - started,
    )


def _codebooks(model: CompressionModel, header: Header, options: DecodeOptions) -> int:
    """Codebooks to use: those stored, or the fewer that `options` ask for."""
    if options.n_q is None and options.bandwidth is None:
        return model.config.check_codebooks(header.codebooks)
    n_q = (
        options.n_q
        if options.n_q is not None
        else model.config.codebooks_for(options.bandwidth or 0.0)
    )
    if not 1 <= n_q <= header.codebooks:
        raise UsageError(
            f"holds {header.codebooks} codebooks ({header.bandwidth_kbps:g} kb/s), "
            f"not {n_q}; ask for at most that"
        )
    return n_q


def _output_rate(reader: EcdcReader, options: DecodeOptions) -> int:
    if options.sample_rate == "source":
        if reader.header.source_sample_rate is None:
            raise UsageError("does not say what its source's rate was; give --sample-rate in Hz")
        return reader.header.source_sample_rate
    return options.sample_rate or reader.play_rate


@dataclass
class _Losses:
    """What could not be read: concealed, or the end of it."""

    conceal: bool
    fatal: list[str] = field(default_factory=list)
    ignored: int = 0
    """Problems that lie before what is decoded."""

    def lines(self, reader: EcdcReader) -> list[str]:
        """One line for each, with what became of it; empty unless concealed."""
        if not self.conceal:
            return []
        gaps = [f"{line}; silence in its place" for line in reader.problems[self.ignored :]]
        return [*gaps, *(f"{line}; the audio ends before it" for line in self.fatal)]


def _decoded(
    model: CompressionModel,
    reader: EcdcReader,
    n_q: int,
    first: int,
    losses: _Losses,
    notes: list[str],
) -> Generator[Samples, None, None]:
    """Blocks at the model's rate from sample `first` to the end of what was encoded."""
    start = first_chunk_for(model.config, reader.header, first)
    with chunks_of(reader) as stored:
        chunks = _chunks(reader, stored, n_q, start, losses)
        pieces = decoded_from(model, reader.header, chunks, first, notes)
        # What is to be trimmed, less than a hop, may only be known after the last chunk.
        held, position = yield from all_but(model.config.hop_length, pieces, model.channels)
    end = held.shape[1] if reader.num_samples is None else reader.num_samples - first - position
    if end > 0:
        yield held[:, :end]


def _chunks(
    reader: EcdcReader,
    stored: Iterator[CodeChunk | DamagedChunk],
    n_q: int,
    start: int,
    losses: _Losses,
) -> Iterator[CodeChunk | DamagedChunk]:
    """`n_q` codebooks of `stored` from number `start` on; damaged ones only where concealed."""
    number = 0
    if start > 0 and reader.index is not None:
        reader.seek(start)
        number = start
    try:
        for chunk in stored:
            number += 1
            if number <= start:
                losses.ignored = len(reader.problems)
            elif not isinstance(chunk, DamagedChunk):
                yield replace(chunk, codes=chunk.codes[:n_q])
            elif losses.conceal:
                yield chunk
            else:
                raise ContainerError(reader.problems[-1])
    except ContainerError as error:
        if losses.conceal:
            losses.fatal.append(str(error))
        elif number > start:
            line = f"{error}; get it again, or decode what is left with --conceal"
            raise ContainerError(line) from error
        else:
            raise
