"""What becomes of a source once its output is complete: its time is kept, it may be deleted."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from encodec_cli.audio import open_audio
from encodec_cli.container import summarize, verify
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.files import open_input
from encodec_cli.pipeline.reports import DecodeReport, EncodeReport, Place

__all__ = ["SourceFile", "check_coded", "check_decoded"]

_BLOCK = 1 << 16


class SourceFile:
    """A source as it was before work on it began."""

    def __init__(self, source: Place) -> None:
        self._path = source if isinstance(source, Path) else None
        self._before: os.stat_result | None = None
        if self._path is not None:
            with suppress(OSError):  # whoever reads it says what is wrong
                self._before = self._path.stat()

    def give_time(self, target: Place) -> None:
        """The file `target` was last modified when the source was; not for pipes."""
        if self._path is None or self._before is None or not isinstance(target, Path):
            return
        if self._path.is_file() and target.is_file():
            with suppress(OSError):  # of another user, or a file system without times
                os.utime(target, ns=(self._before.st_atime_ns, self._before.st_mtime_ns))

    def delete(self, target: Place) -> None:
        """Remove the source; `target` was read back and is whole.

        Raises:
            EncodecCliError: it is a link, has another name for `target`, or was changed meanwhile.
        """
        path, before = self._path, self._before
        if path is None or before is None or not isinstance(target, Path):
            raise EncodecCliError("-: a pipe cannot be deleted")
        if path.is_symlink() or not path.is_file():
            raise EncodecCliError(
                f"{path}: kept: is a link or no ordinary file; delete it yourself"
            )
        now = path.stat()
        if os.path.samestat(now, target.stat()):
            raise EncodecCliError(f"{path}: kept: is the same file as {target}")
        if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
            raise EncodecCliError(f"{path}: kept: was changed while it was read; do it again")
        path.unlink()


def check_coded(
    target: Path, report: EncodeReport, code_models: Sequence[Path] | None = None
) -> None:
    """Read `target` back: every checksum, count and code, and the length that was coded.

    Raises:
        ContainerError: something is wrong with it; says that the source is kept.
    """
    with open_input(target) as file:
        summary = summarize(file)
    with open_input(target) as file:
        problem = next(iter(verify(file, code_models=code_models or ())), None)
    if problem is None and summary.header.duration != report.seconds:
        problem = f"holds {summary.header.duration} s, not {report.seconds} s"
    if problem is not None:
        raise ContainerError(f"{target}: read back: {problem}; {report.source} is kept")


def check_decoded(target: Path, report: DecodeReport) -> None:
    """Read `target` back: all its samples, as many as were written, of a source without damage.

    Raises:
        EncodecCliError: something is wrong with it; says that the source is kept.
    """
    if report.damage:
        raise EncodecCliError(f"{report.source}: kept, since not all of it was decoded")
    with open_audio(target) as reader:
        samples = sum(block.shape[1] for block in reader.blocks(_BLOCK))
    if samples != report.samples:
        raise EncodecCliError(
            f"{target}: read back: {samples} samples, not {report.samples}; {report.source} is kept"
        )
