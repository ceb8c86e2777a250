"""About how long items are, and how many bytes of codes they will have, without decoding them.

What the corpus says is taken. Where it says nothing, the size of the audio tells: the first few
recordings of a kind are opened, and what they hold per byte is taken for all others of the kind.
The same corpus gives the same numbers, in every process.
"""

from dataclasses import dataclass
from pathlib import PurePath

from encodec_cli.audio import open_audio
from encodec_cli.container import EcdcReader
from encodec_cli.corpus import CorpusItem
from encodec_cli.errors import EncodecCliError

__all__ = ["Lengths"]

_PROBES = 8
_SECONDS_PER_BYTE = 1 / 16_000  # where no recording of a kind can be opened: compressed audio
_SECONDS = 10.0  # where not even the size is known
_NUMBER_BYTES = 2


@dataclass
class _Kind:
    """What the first recordings of a kind hold, in `size` bytes."""

    opened: int = 0
    seconds: float = 0.0
    size: int = 0
    code_rate: float | None = None


class Lengths:
    """Estimates for the items of a corpus, asked for in its order, each item once.

    `bandwidth` (kb/s) or `n_q` say how many codebooks are kept of items that are coded already.
    """

    def __init__(self, bandwidth: float | None = None, n_q: int | None = None) -> None:
        self._bandwidth, self._n_q = bandwidth, n_q
        self._kinds: dict[str, _Kind] = {}

    def of(self, item: CorpusItem, code_rate: float) -> tuple[float, float]:
        """Seconds, and bytes of codes at two bytes each; `code_rate` is bytes per second of audio.

        Items that are coded already have the rate that the first of them have.
        """
        kind = self._kinds.setdefault(PurePath(item.audio.name).suffix.lower(), _Kind())
        seconds = self._seconds(item, kind)
        return seconds, seconds * (code_rate if kind.code_rate is None else kind.code_rate)

    def _seconds(self, item: CorpusItem, kind: _Kind) -> float:
        told = item.seconds if item.duration is None else item.duration
        if told is not None:
            return told
        whole = self._opened(item, kind) if kind.opened < _PROBES else None
        if whole is None:
            size = item.audio.size
            rate = kind.seconds / kind.size if kind.size else _SECONDS_PER_BYTE
            whole = _SECONDS if size is None else size * rate
        return max(0.0, whole - item.offset)

    def _opened(self, item: CorpusItem, kind: _Kind) -> float | None:
        kind.opened += 1
        try:
            seconds = self._probe(item, kind)
        except (EncodecCliError, OSError):  # whoever codes it says so
            return None
        size = item.audio.size
        if seconds is not None and size:
            kind.seconds += seconds
            kind.size += size
        return seconds

    def _probe(self, item: CorpusItem, kind: _Kind) -> float | None:
        if not item.audio.name.lower().endswith(".ecdc"):
            with open_audio(item.audio) as audio:
                frames = audio.num_frames
                return None if frames is None else frames / audio.sample_rate
        with item.audio.open() as file:
            reader = EcdcReader(file)
            header, index = reader.header, reader.index
        books = header.choose_codebooks(self._bandwidth, self._n_q)
        kind.code_rate = _NUMBER_BYTES * books * header.sample_rate / header.hop
        samples = header.num_samples if index is None else index.num_samples
        return None if samples is None else samples / header.sample_rate
