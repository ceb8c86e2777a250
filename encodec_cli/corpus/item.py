"""One recording of a corpus, as data that any thread, process or machine can take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from encodec_cli.io.audio_data import AudioData, AudioFile

__all__ = ["AudioData", "AudioFile", "BadCorpusItem", "CorpusItem"]


@dataclass(frozen=True, kw_only=True)
class CorpusItem:
    """A recording, or a part of one, and what the corpus says of it. Can be pickled.

    Attributes:
        key: names the item in the outputs; no other of the corpus has it.
        audio: the bytes of the recording.
        source: its name in the corpus, printable: what `TokenInfo.source` says.
        offset: where the part begins, in seconds.
        duration: of the part, in seconds; None: to the end.
        channels: which channels of the recording, from 0; None: all.
        columns: what else the corpus has (`text`, `speaker` ...): values as JSON has them.
        seconds: how long the corpus says it is; None if it does not say.
    """

    key: str
    audio: AudioData
    source: str
    offset: float = 0.0
    duration: float | None = None
    channels: tuple[int, ...] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class BadCorpusItem:
    """Stands where the corpus has an item that cannot be taken, or is cut short.

    Attributes:
        key: as that of a `CorpusItem`.
        source: the place in the corpus: a file, or a line or member of one.
        reason: what is wrong with it; one line.
    """

    key: str
    source: str
    reason: str
