"""The bytes of a recording, wherever they lie: a file of its own, or a part of another."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from encodec_cli.io.files import open_input

__all__ = ["AudioData", "AudioFile"]


class AudioData(Protocol):
    """The bytes of a recording. Can be pickled."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int | None:
        """How many there are, if that is known."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """A seekable file of the bytes, with a descriptor of its own.

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
