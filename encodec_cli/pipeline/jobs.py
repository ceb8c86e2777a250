"""What there is to do with one file, as data that any thread or process can take."""

from dataclasses import dataclass, replace
from pathlib import Path

from encodec_cli.container import EcdcReader
from encodec_cli.entropy import CodeModel
from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.io.files import make_folder, open_input
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file, encoding
from encodec_cli.pipeline.reports import DecodeReport, EncodeReport, Place, Progress
from encodec_cli.pipeline.source import SourceFile, check_coded, check_decoded
from encodec_cli.tokens import TokenItem, chunks_item, ecdc_item

__all__ = ["CodesJob", "DecodeJob", "EncodeJob", "StoredCodesJob"]


@dataclass(frozen=True)
class EncodeJob:
    """Audio into an `.ecdc` file, in a folder that is made if `makes_folder`.

    The file keeps the source's time of modification. With `deletes_source` it is read back and
    checked, and then the source is removed.
    """

    source: Place
    target: Place
    options: EncodeOptions
    makes_folder: bool = False
    deletes_source: bool = False

    def run(
        self,
        codec: Codec,
        *,
        lm: CodeModel | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> EncodeReport:
        """Do it; see `encode_file`, `check_coded`."""
        if self.makes_folder and isinstance(self.target, Path):
            make_folder(self.target.parent)
        source = SourceFile(self.source)
        report = encode_file(
            codec,
            self.source,
            self.target,
            self.options,
            lm=lm,
            threads=threads,
            progress=progress,
        )
        source.give_time(self.target)
        if not self.deletes_source or not isinstance(self.target, Path):
            return report
        check_coded(self.target, report, self.options.code_models)
        source.delete(self.target)
        return replace(report, source_deleted=True)


@dataclass(frozen=True)
class DecodeJob:
    """An `.ecdc` file into audio, in a folder that is made if `makes_folder`.

    The file keeps the source's time of modification. With `deletes_source` it is read back and
    checked, and then the source is removed.
    """

    source: Place
    target: Place
    options: DecodeOptions
    makes_folder: bool = False
    deletes_source: bool = False

    def run(
        self,
        codec: Codec,
        *,
        lm: CodeModel | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> DecodeReport:
        """Do it; see `decode_file`, `check_decoded`."""
        if self.makes_folder and isinstance(self.target, Path):
            make_folder(self.target.parent)
        source = SourceFile(self.source)
        report = decode_file(
            codec,
            self.source,
            self.target,
            self.options,
            lm=lm,
            threads=threads,
            progress=progress,
        )
        source.give_time(self.target)
        if not self.deletes_source or not isinstance(self.target, Path):
            return report
        check_decoded(self.target, report)
        source.delete(self.target)
        return replace(report, source_deleted=True)


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
