"""The bytes of a recording, wherever they lie: a file of its own, a part of another, memory."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from encodec_cli.errors import EncodecCliError
from encodec_cli.io.files import open_input

__all__ = ["AudioBytes", "AudioData", "AudioFile", "AudioMember"]

_COPY_BYTES = 1 << 20


class AudioData(Protocol):
    """The bytes of a recording. Can be pickled."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int | None:
        """How many there are, if that is known."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """A seekable file of the bytes, with a descriptor of its own: decoders need one.

        Raises:
            EncodecCliError: it cannot be read.
        """


@dataclass(frozen=True)
class AudioFile:
    """A recording in a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def size(self) -> int | None:
        try:
            return self.path.stat().st_size
        except OSError:
            return None

    def open(self) -> AbstractContextManager[BinaryIO]:
        return open_input(self.path)


@dataclass(frozen=True)
class AudioMember:
    """A recording in an archive that does not pack: `size` bytes of `path`, from `start` on."""

    path: Path
    member: str
    start: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.path}: {self.member}"

    def open(self) -> AbstractContextManager[BinaryIO]:
        return _spooled(self.name, self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        with open_input(self.path) as archive:
            archive.seek(self.start)
            left = self.size
            while left > 0:
                data = archive.read(min(_COPY_BYTES, left))
                if not data:
                    raise EncodecCliError(f"{self.name}: the archive ends in it; get it again")
                yield data
                left -= len(data)


@dataclass(frozen=True)
class AudioBytes:
    """A recording in memory, `data`, as it comes from a pipe or a table."""

    name: str
    data: bytes = field(repr=False)

    @property
    def size(self) -> int | None:
        return len(self.data)

    def open(self) -> AbstractContextManager[BinaryIO]:
        return _spooled(self.name, [self.data])


@contextmanager
def _spooled(name: str, chunks: Iterable[bytes]) -> Iterator[BinaryIO]:
    """A file without a name that holds `chunks`, gone when it is closed.

    Raises:
        EncodecCliError: it cannot be made, or the disk is full.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            for data in chunks:
                file.write(data)
            file.seek(0)
        except OSError as error:
            raise EncodecCliError(
                f"{name}: cannot be put in a temporary file in {tempfile.gettempdir()}: "
                f"{error.strerror}"
            ) from error
        yield cast(BinaryIO, file)
