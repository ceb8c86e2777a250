"""One recording of a corpus, as data that any thread, process or machine can take."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from encodec_cli.io.files import open_input

__all__ = ["AudioData", "AudioFile", "CorpusItem"]


class AudioData(Protocol):
    """The bytes of a recording, wherever they lie. Can be pickled."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """A seekable file of the bytes.

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

    def open(self) -> AbstractContextManager[BinaryIO]:
        return open_input(self.path)


@dataclass(frozen=True, kw_only=True)
class CorpusItem:
    """A recording, or a part of one, and what the corpus says of it. Can be pickled.

    Attributes:
        key: names the item in the outputs; no other of the corpus has it.
        audio: the bytes of the recording.
        source: its name in the corpus, printable: what `TokenInfo.source` says.
        offset: where the part begins, in seconds.
        duration: of the part, in seconds; None: to the end.
        columns: what else the corpus has (`text`, `speaker` ...): values as JSON has them.
        seconds: how long the corpus says it is; None if it does not say.
    """

    key: str
    audio: AudioData
    source: str
    offset: float = 0.0
    duration: float | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
