"""What there is to do with one item of a corpus whose codes other programs are to have, as data."""

from dataclasses import dataclass, replace
from pathlib import Path

from encodec_cli.audio import Part
from encodec_cli.container import EcdcReader
from encodec_cli.corpus import CorpusItem
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.encode import EncodeOptions, encoding
from encodec_cli.pipeline.reports import Progress
from encodec_cli.tokens import TokenItem, chunks_item, ecdc_item

__all__ = ["CodesJob", "StoredCodesJob", "part_of"]


def part_of(item: CorpusItem) -> Part:
    """Which part of its recording `item` is."""
    return Part(item.offset, item.duration, item.channels)


@dataclass(frozen=True)
class CodesJob:
    """The audio of an item into codes."""

    item: CorpusItem
    options: EncodeOptions

    def run(self, codec: Codec, *, threads: int = 1, progress: Progress | None = None) -> TokenItem:
        """Do it.

        Raises:
            EncodecCliError: see `open_audio`, `encode_file`.
        """
        item = self.item
        with encoding(
            codec, item.audio, self.options, part=part_of(item), threads=threads, progress=progress
        ) as coded:
            chunks = list(coded.chunks)
            lengths = (coded.samples, coded.source_samples)
            tokens = chunks_item(coded.header, chunks, lengths, item.key, item.source)
        return replace(tokens, columns=item.columns)


@dataclass(frozen=True)
class StoredCodesJob:
    """The codes of an item that is an `.ecdc` file, or its coarsest codebooks; needs no codec."""

    item: CorpusItem
    bandwidth: float | None = None
    n_q: int | None = None
    code_models: tuple[Path, ...] = ()

    def run(self, *, lm: CodeModel | None = None) -> TokenItem:
        """Do it.

        Raises:
            ContainerError, UsageError: see `EcdcReader`, `Header.choose_codebooks`, `ecdc_item`;
                a part of a recording.
        """
        item = self.item
        if not part_of(item).is_all:
            raise ContainerError(
                f"{item.audio.name}: is coded already, as a whole; give its audio to code a part"
            )
        with item.audio.open() as file:
            try:
                reader = EcdcReader(file, lm=lm, code_models=self.code_models)
                kept = reader.header.choose_codebooks(self.bandwidth, self.n_q)
                tokens = ecdc_item(reader, item.key, item.source, kept)
            except (ContainerError, UsageError) as error:
                raise error.about(item.audio.name) from error
        return replace(tokens, columns=item.columns)
