"""`.ecdc` files, or codes in memory, into audio.

    chunks --DecodedFrom--> [C, n] at the model's rate --trim, resample--> AudioWriter

Either end may be "-", a pipe. Everything runs in blocks of about a second.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from encodec_cli.audio import AudioFormat, Encoding, open_audio_writer
from encodec_cli.audio.metadata import INFO_NAMES
from encodec_cli.container import ChunkSource, DamagedChunk, EcdcReader, Legacy
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, UsageError, parameter
from encodec_cli.io.files import open_input
from encodec_cli.model.codec import Codec, Model, codec_of
from encodec_cli.pipeline.output import all_but, resampled, rescaled
from encodec_cli.pipeline.prefetch import prefetched
from encodec_cli.pipeline.reports import DecodeReport, Place, Progress
from encodec_cli.stream.excerpt import Part, between, beyond_the_end, part_to_decode
from encodec_cli.stream.headers import check_same_model
from encodec_cli.stream.protocols import Samples
from encodec_cli.stream.seek import Chunk, DecodedFrom, first_chunk_for

__all__ = ["DecodeOptions", "decode_chunks", "decode_file"]


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How `decode_file` decodes and writes.

    `bandwidth` (kb/s) or `n_q` use fewer codebooks than stored. `sample_rate` in Hz, None for
    the model's, or "source" for the rate and length of what was encoded. `rescale` lowers the
    whole recording instead of clamping peaks. `conceal` puts silence in place of damage instead
    of failing. `start` and `duration`, in seconds, decode a part, see `sample_range`; only what it
    needs is read and checked, by the file's index if it has one. `legacy` names the program that
    wrote a file whose layout differs. `code_models` are files to look for a code model in, before
    those of the package. `tags` are added to those stored, or replace them, and an empty text
    removes one; None writes none. `like` is a file whose permissions the output gets, the source
    if there is one.
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
    legacy: Legacy | None = None
    code_models: tuple[Path, ...] = ()
    tags: Mapping[str, str] | None = field(default_factory=dict)
    like: Path | None = None


def decode_file(
    model: Model,
    source: Place,
    target: Place,
    options: DecodeOptions,
    *,
    lm: CodeModel | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode an `.ecdc` file into audio; `lm` is the language model for files that need one.

    With more than one thread, reading, decoding and writing go side by side, unless `source` is a
    pipe.

    Raises:
        EncodecCliError: see `EcdcReader`, `check_same_model`, `open_audio_writer`; damage, unless
            `options.conceal`.
    """
    name = "stdin" if source == "-" else str(source)
    if options.like is None and isinstance(source, Path):
        options = replace(options, like=source)
    with open_input(source) as file:
        reader = _opened(file, name, options, lm)
        return decode_chunks(
            model, reader, name, target, options, threads=threads, progress=progress
        )


def _opened(file: BinaryIO, name: str, options: DecodeOptions, lm: CodeModel | None) -> ChunkSource:
    try:
        reader = EcdcReader(file, lm=lm, legacy=options.legacy, code_models=options.code_models)
        reader.require_coder()
    except (ContainerError, UsageError) as error:
        raise error.about(name) from error
    if reader.header.lm and lm is None:
        raise UsageError(
            f"{name}: the codes are compressed with Meta's language model; name its weights with "
            f"{parameter('lm')}"
        )
    return reader


def decode_chunks(
    model: Model,
    reader: ChunkSource,
    name: str,
    target: Place,
    options: DecodeOptions,
    *,
    right: ChunkSource | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode chunks that were opened already into audio; `name` is what to call them.

    `right` are as many chunks of a second channel, if a mono model coded two by themselves.

    Raises:
        EncodecCliError: see `decode_file`.
    """
    started = time.monotonic()
    codec = codec_of(model)
    alone = threads < 2 or not reader.seekable  # what a pipe brings is heard as soon as it can be
    if not alone:
        codec = replace(codec, engine=codec.engine.overlapped())
    try:
        check_same_model(codec, reader.header)
        n_q = reader.header.choose_codebooks(options.bandwidth, options.n_q)
        codec.config.check_codebooks(n_q)
        sides = [
            _StoredCodes(source, n_q, options.conceal, ahead=threads > 1)
            for source in ([reader] if right is None else [reader, right])
        ]
        rate = _output_rate(reader, options)
        part = part_to_decode(reader, options.start, options.duration, rate)
        with ExitStack() as stack:
            chunks = [side.since(codec, part.begin, stack) for side in sides]
            decoded = _SideBySide(
                [DecodedFrom(codec, reader.header, some, part.begin) for some in chunks],
                codec.channels,
            )
            blocks = _blocks_to_write(codec, reader, decoded, part, rate, options)
            if not alone:
                blocks = stack.enter_context(prefetched(blocks))
            gain = 1.0
            tags = _tags(reader, options)
            if options.rescale:
                blocks, gain = rescaled(blocks, decoded.channels, stack)
            writer = stack.enter_context(
                open_audio_writer(
                    target,
                    rate,
                    decoded.channels,
                    audio_format=options.audio_format,
                    encoding=options.encoding,
                    force=options.force,
                    tags=tags,
                    like=options.like,
                )
            )
            for block in blocks:
                writer.write(block)
                if progress is not None:
                    progress(writer.frames / rate, part.seconds(reader, rate))
            if writer.frames == 0:
                raise _nothing(sides[0], reader, options)
    except (ContainerError, UsageError) as error:
        raise error.about(name) from error
    return DecodeReport(
        source=name,
        target=str(target),
        model=codec.config.name,
        codebooks=n_q,
        sample_rate=rate,
        samples=writer.frames,
        clipped=writer.clipped,
        gain=gain,
        damage=tuple(line for side in sides for line in side.damage()),
        notes=tuple(decoded.notes),
        elapsed_seconds=time.monotonic() - started,
        tags={name: text for name, text in tags.items() if name in INFO_NAMES and target != "-"},
        tags_left_out=tuple(name for name in tags if name not in INFO_NAMES or target == "-"),
    )


def _tags(reader: ChunkSource, options: DecodeOptions) -> dict[str, str]:
    """What the audio file is to say of the recording."""
    if options.tags is None:
        return {}
    return {k: text for k, text in {**reader.header.tags, **options.tags}.items() if text}


def _output_rate(reader: ChunkSource, options: DecodeOptions) -> int:
    if options.sample_rate == "source":
        if reader.header.source_sample_rate is None:
            raise UsageError(
                f"does not say what its source's rate was; give {parameter('sample_rate')} in Hz"
            )
        return reader.header.source_sample_rate
    return options.sample_rate or reader.play_rate


def _blocks_to_write(
    codec: Codec,
    reader: ChunkSource,
    decoded: "_SideBySide",
    part: Part,
    rate: int,
    options: DecodeOptions,
) -> Iterator[Samples]:
    """Blocks `[C, n]` at the output's rate, from the first to the last sample to write."""
    blocks = _trimmed(codec, reader, decoded, part.begin)
    if rate != reader.play_rate:
        exact = options.sample_rate == "source"
        blocks = resampled(
            blocks, reader, rate, part.origin, channels=decoded.channels, exact=exact
        )
    return between(blocks, part)


def _trimmed(
    codec: Codec, reader: ChunkSource, decoded: "_SideBySide", first: int
) -> Iterator[Samples]:
    """Blocks at the model's rate from sample `first` to the end of what was encoded."""
    # What is to be trimmed, less than a hop, may only be known after the last chunk.
    held, position = yield from all_but(codec.config.hop_length, decoded, decoded.channels)
    end = held.shape[1] if reader.num_samples is None else reader.num_samples - first - position
    if end > 0:
        yield held[:, :end]


def _nothing(codes: "_StoredCodes", reader: ChunkSource, options: DecodeOptions) -> Exception:
    """What to say if not a sample was written."""
    damage = codes.damage()
    if damage:
        return ContainerError(f"{damage[0]}; nothing of the audio is left")
    return beyond_the_end(options.start, reader.num_samples, reader.play_rate)


class _SideBySide:
    """Decoded recordings of equal length as the channels of one."""

    def __init__(self, parts: Sequence[DecodedFrom], channels: int) -> None:
        self._parts = parts
        self.channels = channels * len(parts)

    def __iter__(self) -> Iterator[Samples]:
        return map(np.concatenate, zip(*self._parts, strict=True))

    @property
    def notes(self) -> list[str]:
        """What to know of them, once each."""
        return list(dict.fromkeys(note for part in self._parts for note in part.notes))


@dataclass
class _StoredCodes:
    """The coarsest `n_q` codebooks of what `reader` holds, and what became of the damage in it."""

    reader: ChunkSource
    n_q: int
    conceal: bool
    ahead: bool  # whether there is a thread to read in
    _fatal: list[str] = field(default_factory=list)
    _ignored: int = 0  # problems that lie before what is decoded

    def since(self, codec: Codec, first: int, stack: ExitStack) -> Iterator[Chunk]:
        """Chunks from the one to start with for sample `first`; damaged ones only if concealed.

        Codes that a language model compressed are read `ahead`, while those before are decoded,
        until `stack` ends; not from pipes, which nobody could interrupt.
        """
        start = first_chunk_for(codec.config, self.reader.header, first)
        begin = 0
        if start > 0 and self.reader.index is not None:
            self.reader.seek(start)
            begin = start
        ahead = self.ahead and self.reader.header.lm and self.reader.seekable
        stored = stack.enter_context(prefetched(self.reader)) if ahead else iter(self.reader)
        return self._read(stored, begin, start)

    def damage(self) -> list[str]:
        """One line for each loss, with what became of it; empty unless concealed."""
        if not self.conceal:
            return []
        gaps = [f"{line}; silence in its place" for line in self.reader.problems[self._ignored :]]
        return [*gaps, *(f"{line}; the audio ends before it" for line in self._fatal)]

    def _read(self, stored: Iterator[Chunk], number: int, start: int) -> Iterator[Chunk]:
        """Of `stored`, the first of which has this `number`, those from number `start` on."""
        fewer = self.n_q < self.reader.header.codebooks
        try:
            for chunk in stored:
                number += 1
                if number <= start:
                    self._ignored = len(self.reader.problems)
                elif not isinstance(chunk, DamagedChunk):
                    yield replace(chunk, codes=chunk.codes[: self.n_q]) if fewer else chunk
                elif self.conceal:
                    yield chunk
                else:
                    raise ContainerError(self.reader.problems[-1])
        except ContainerError as error:
            if self.conceal:
                self._fatal.append(str(error))
            elif number > start:
                hint = f"get it again, or decode what is left with {parameter('conceal', True)}"
                raise ContainerError(f"{error.args[0]}; {hint}") from error
            else:
                raise
