"""What there is to do with one file whose codes other programs are to have, as data."""

from dataclasses import dataclass
from pathlib import Path

from encodec_cli.container import EcdcReader
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.files import open_input
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.encode import EncodeOptions, encoding
from encodec_cli.pipeline.reports import Progress
from encodec_cli.tokens import TokenItem, chunks_item, ecdc_item

__all__ = ["CodesJob", "StoredCodesJob"]


@dataclass(frozen=True)
class CodesJob:
    """Audio into codes; `key` and `name` are what the item and its source are called."""

    source: Path
    key: str
    name: str
    options: EncodeOptions

    def run(self, codec: Codec, *, threads: int = 1, progress: Progress | None = None) -> TokenItem:
        """Do it; see `encode_file`."""
        with encoding(
            codec, self.source, self.options, threads=threads, progress=progress
        ) as coded:
            chunks = list(coded.chunks)
            lengths = (coded.samples, coded.source_samples)
            return chunks_item(coded.header, chunks, lengths, self.key, self.name)


@dataclass(frozen=True)
class StoredCodesJob:
    """The codes of an `.ecdc` file, or its coarsest codebooks; needs no codec."""

    source: Path
    key: str
    name: str
    bandwidth: float | None = None
    n_q: int | None = None
    code_models: tuple[Path, ...] = ()

    def run(self, *, lm: CodeModel | None = None) -> TokenItem:
        """Do it.

        Raises:
            ContainerError, UsageError: see `EcdcReader`, `Header.choose_codebooks`, `ecdc_item`.
        """
        with open_input(self.source) as file:
            try:
                reader = EcdcReader(file, lm=lm, code_models=self.code_models)
                kept = reader.header.choose_codebooks(self.bandwidth, self.n_q)
                return ecdc_item(reader, self.key, self.name, kept)
            except (ContainerError, UsageError) as error:
                raise error.about(self.source) from error
