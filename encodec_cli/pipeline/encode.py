"""Audio into `.ecdc` files, or into codes.

    audio --prepare_blocks--> [C, n] at the model's rate --ChunkEncoder--> chunks --> EcdcWriter

Either end may be "-", a pipe. Everything runs in blocks of about a second, or of the chunks that
live encoders make shorter.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from encodec_cli.audio import (
    AudioReader,
    FloatBlock,
    MixMeter,
    Part,
    Tags,
    open_audio,
    prepare_blocks,
    read_tags,
)
from encodec_cli.config.timing import block_frames_for
from encodec_cli.container import EcdcWriter, Header
from encodec_cli.container.coders import find_coder
from encodec_cli.container.codes import CodeChunk
from encodec_cli.entropy import CodeModel
from encodec_cli.io.audio_data import AudioData
from encodec_cli.io.files import atomic_output, standard_output
from encodec_cli.model.codec import Codec, Model, codec_of
from encodec_cli.pipeline.prefetch import prefetched
from encodec_cli.pipeline.reports import EncodeReport, Place, Progress, part_of
from encodec_cli.stream.encoder import ChunkEncoder, stream_encoder
from encodec_cli.stream.headers import header_for

if TYPE_CHECKING:
    from encodec_cli.pipeline.target_rate import RatePlan

__all__ = ["EncodeOptions", "Encoding", "encode_file", "encoding"]

_SURVEY_SHARE = 0.3
"""Of the time that a file with a target rate takes."""
_PARTS = 8
"""Of a chunk, each of them read by itself."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How `encode_file` codes and writes.

    `n_q` codebooks; `search`, `refine` and `fit` are those of `stream_encoder`. `latency_ms` makes
    smaller chunks that leave sooner, see `block_frames_for`; format 0 has none. Format 0 stores the
    source's rate, channels and length, tags, and the weights' hash, only with `keep_source`. Format
    2 makes codes smaller with a code model, unless `code_models` is None: from one of these files,
    or one of the package. `tags` are added to those of the source, or replace them, and an empty
    text removes one; None keeps none.

    With `target_kbps`, up to `n_q` codebooks and a search that weighs bits give the file that mean
    rate, within 2 % from 5 s of audio on; see `target_rate`. It takes a code model, and reads the
    source twice.
    """

    n_q: int
    search: int | None = None
    refine: bool = False
    fit: int = 0
    latency_ms: float | None = None
    version: int = 2
    keep_source: bool = False
    force: bool = False
    code_models: tuple[Path, ...] | None = ()
    tags: Mapping[str, str] | None = field(default_factory=dict)
    target_kbps: float | None = None

    @property
    def keeps_source(self) -> bool:
        """Whether the file tells of its source."""
        return self.version > 0 or self.keep_source


def encode_file(
    model: Model,
    source: Place,
    target: Place,
    options: EncodeOptions,
    *,
    lm: CodeModel | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> EncodeReport:
    """Code audio from `source` into an `.ecdc` file.

    With `lm` the codes of format 0 are compressed with that language model. With more than one
    thread network and search run side by side, unless `source` is a pipe, or the network takes
    all threads by itself. The file gets the
    permissions of `source`.

    Raises:
        EncodecCliError: see `open_audio`, `stream_encoder`, `header_for`, `atomic_output`.
    """
    started = time.monotonic()
    codec = codec_of(model)
    plan = None
    if options.target_kbps is not None:
        plan = _plan(codec, source, options, threads=threads, progress=progress)
        options = replace(options, n_q=plan.codebooks)
        progress = part_of(progress, _SURVEY_SHARE, 1)
    with encoding(codec, source, options, threads=threads, progress=progress) as coded:
        header = replace(coded.header, lm=lm is not None)
        like = None if source == "-" else source
        output = (
            standard_output()
            if target == "-"
            else atomic_output(target, force=options.force, like=like)
        )
        with output as file:
            live = "-" in (source, target) or options.latency_ms is not None
            coder = find_coder(header, options.code_models or ())
            writer = EcdcWriter(file, header, lm=lm, coder=coder, live=live)
            chunks = coded.chunks
            if plan is not None:
                from encodec_cli.pipeline.rate_control import chunks_at_rate

                chunks = chunks_at_rate(coded, plan, writer.cost)
            for chunk in chunks:
                writer.write(chunk)
            writer.finish(coded.samples, coded.source_samples if options.keeps_source else None)
    report = EncodeReport(
        source=str(source),
        target=str(target),
        model=codec.config.name,
        codebooks=options.n_q,
        seconds=coded.samples / codec.sample_rate,
        bytes=writer.bytes,
        elapsed_seconds=time.monotonic() - started,
        source_channels=coded.source_channels,
        channels=codec.channels,
        tags=dict(coded.header.tags),
        tags_left_out=coded.tags_left_out,
        notes=coded.notes(),
        target_kbps=options.target_kbps,
    )
    if plan is None:
        return report
    return replace(report, notes=(*report.notes, *plan.notes(report)))


class Encoding:
    """A recording on its way to codes.

    Attributes:
        header: of the file that the codes belong in; lengths unknown.
        latents: what is to be searched for codes; to be iterated over once.
        samples: per channel at the model's rate, as far as was read for `chunks`.
        source_channels: of the recording.
        tags_left_out: names of its tags that the header does not have.
    """

    def __init__(
        self,
        codec: Codec,
        reader: AudioReader,
        encoder: ChunkEncoder,
        header: Header,
        progress: Progress | None,
    ) -> None:
        self.header = header
        self.samples = 0
        self.source_channels = reader.channels
        self.tags_left_out: tuple[str, ...] = ()
        self._meter = MixMeter()
        self._codec = codec
        self._reader = reader
        self._progress = progress
        self.quantize_priced = encoder.quantize_priced
        self._encoder = encoder
        self.latents = encoder.latents(self._blocks())

    @property
    def chunks(self) -> Iterator[CodeChunk]:
        """The codes of `latents`."""
        return map(self._encoder.quantize, self.latents)

    @contextmanager
    def read_ahead(self) -> Iterator[None]:
        """Until the block ends, another thread reads what comes next. Before anything is coded."""
        with prefetched(_groups(self._blocks(), _PARTS)) as groups:
            self.latents = self._encoder.latents(chain.from_iterable(groups))
            yield

    @property
    def source_samples(self) -> int:
        """Samples per channel read from the source, at its rate."""
        return self._reader.frames_read

    def notes(self) -> tuple[str, ...]:
        """What to know of the result, once `chunks` are used up."""
        if not self._meter.cancels:
            return ()
        return (
            "channels cancel each other in the mix, which is nearly silent; encode one of them",
        )

    def _blocks(self) -> Iterator[FloatBlock]:
        reader, codec = self._reader, self._codec
        total = None if reader.num_frames is None else reader.num_frames / reader.sample_rate
        # Read in small parts of a block: it is to be coded when its last sample comes.
        part = max(1, self.header.chunk_frames // _PARTS) * codec.config.hop_length
        part = max(1, part * reader.sample_rate // codec.sample_rate)
        for block in prepare_blocks(
            reader, codec.sample_rate, codec.channels, part, meter=self._meter
        ):
            yield block
            self.samples += block.shape[1]
            if self._progress is not None:
                self._progress(self.samples / codec.sample_rate, total)


@contextmanager
def encoding(
    codec: Codec,
    source: Place | AudioData,
    options: EncodeOptions,
    *,
    part: Part | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Encoding]:
    """Open `source`, or a part of it, and code it as the chunks are asked for; see `encode_file`.

    Tags are those of files and pipes; other data have none.

    Raises:
        EncodecCliError: see `encode_file`.
    """
    chunk_frames = block_frames_for(codec.config, options.latency_ms)
    # A chunk of a pipe leaves as soon as it can.
    alone = threads < 2 or source == "-" or codec.engine.takes_all_threads
    # All streams wait while a GPU steps them: what they code next is to be there when it has done.
    ahead = alone and source != "-" and _is_fed(codec)
    if not alone:
        codec = replace(codec, engine=codec.engine.overlapped())
    with open_audio(source, part) as reader:
        encoder = stream_encoder(
            codec,
            options.n_q,
            chunk_frames=chunk_frames,
            search=options.search,
            refine=options.refine,
            fit=options.fit,
        )
        header = header_for(
            codec,
            options.n_q,
            version=options.version,
            chunk_frames=chunk_frames,
            code_models=options.code_models,
        )
        found = Tags()
        if options.tags is not None and (source == "-" or isinstance(source, Path)):
            found = read_tags(source)
        if options.keeps_source:
            header = replace(
                header,
                keep_source=options.keep_source,
                model_sha256=codec.sha256,
                source_sample_rate=reader.sample_rate,
                source_channels=reader.channels,
                tags=_merged(found.kept, options.tags),
            )
        coded = Encoding(codec, reader, encoder, header, progress)
        lost = () if options.keeps_source else tuple(_merged(found.kept, options.tags))
        coded.tags_left_out = (*lost, *found.left_out)
        with ExitStack() as stack:
            if ahead:
                stack.enter_context(coded.read_ahead())
            elif not alone:
                coded.latents = stack.enter_context(prefetched(coded.latents))
            yield coded


def _groups(blocks: Iterator[FloatBlock], size: int) -> Iterator[list[FloatBlock]]:
    while group := list(islice(blocks, size)):
        yield group


def _is_fed(codec: Codec) -> bool:
    """Whether something else than this machine's cores computes, for many streams at once."""
    return codec.engine.streams > 1 and not codec.engine.takes_all_threads


def _plan(
    codec: Codec,
    source: Place,
    options: EncodeOptions,
    *,
    threads: int,
    progress: Progress | None,
) -> "RatePlan":
    # Most recordings have no target, and start faster without.
    from encodec_cli.pipeline.target_rate import check_source, plan_rate, target_coder

    assert options.target_kbps is not None
    check_source(source)
    coder, progress = target_coder(codec, options), part_of(progress, 0, _SURVEY_SHARE)

    def coded(n_q: int) -> AbstractContextManager[Encoding]:
        greedy = replace(options, n_q=n_q, search=1)
        return encoding(codec, source, greedy, threads=threads, progress=progress)

    most = min(options.n_q, coder.codebooks)
    return plan_rate(coded, coder, codec.config, options.target_kbps, most)


def _merged(found: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """Tags of the source with those `given`; an empty text removes one."""
    return {name: text for name, text in {**found, **(given or {})}.items() if text}
