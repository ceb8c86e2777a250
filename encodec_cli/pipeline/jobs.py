"""What there is to do with one file, as data that any thread or process can take."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from encodec_cli.entropy import CodeModel
from encodec_cli.io.files import make_folder
from encodec_cli.model.codec import Codec
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file
from encodec_cli.pipeline.reports import DecodeReport, EncodeReport, Place, Progress
from encodec_cli.pipeline.source import SourceFile, check_coded, check_decoded

__all__ = ["DecodeJob", "EncodeJob"]

_Options = TypeVar("_Options", EncodeOptions, DecodeOptions)
_Report = TypeVar("_Report", EncodeReport, DecodeReport)


@dataclass(frozen=True)
class _FileJob(ABC, Generic[_Options, _Report]):
    """A file from another, in a folder that is made if `makes_folder`.

    The file keeps the source's time of modification. With `deletes_source` it is read back and
    checked, and then the source is removed.
    """

    source: Place
    target: Place
    options: _Options
    makes_folder: bool = False
    deletes_source: bool = False

    def run(
        self,
        codec: Codec,
        *,
        lm: CodeModel | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> _Report:
        """Do it."""
        if self.makes_folder and isinstance(self.target, Path):
            make_folder(self.target.parent)
        source = SourceFile(self.source)
        report = self._make(codec, lm, threads, progress)
        source.give_time(self.target)
        if not self.deletes_source or not isinstance(self.target, Path):
            return report
        self._check(self.target, report)
        source.delete(self.target)
        return replace(report, source_deleted=True)

    @abstractmethod
    def _make(
        self, codec: Codec, lm: CodeModel | None, threads: int, progress: Progress | None
    ) -> _Report: ...

    @abstractmethod
    def _check(self, target: Path, report: _Report) -> None: ...


class EncodeJob(_FileJob[EncodeOptions, EncodeReport]):
    """Audio into an `.ecdc` file; see `encode_file`, `check_coded`."""

    def _make(
        self, codec: Codec, lm: CodeModel | None, threads: int, progress: Progress | None
    ) -> EncodeReport:
        where = (self.source, self.target)
        return encode_file(codec, *where, self.options, lm=lm, threads=threads, progress=progress)

    def _check(self, target: Path, report: EncodeReport) -> None:
        check_coded(target, report, self.options.code_models)


class DecodeJob(_FileJob[DecodeOptions, DecodeReport]):
    """An `.ecdc` file into audio; see `decode_file`, `check_decoded`."""

    def _make(
        self, codec: Codec, lm: CodeModel | None, threads: int, progress: Progress | None
    ) -> DecodeReport:
        where = (self.source, self.target)
        return decode_file(codec, *where, self.options, lm=lm, threads=threads, progress=progress)

    def _check(self, target: Path, report: DecodeReport) -> None:
        check_decoded(target, report)
