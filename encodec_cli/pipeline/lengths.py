"""About how many bytes of codes an item will have, without decoding it.

What the corpus says is taken. Where it says nothing, the size of the audio tells: the first few
recordings of a kind are opened, and what they hold per byte is taken for all others of the kind.
The same corpus gives the same numbers, in every process.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from encodec_cli.audio import open_audio
from encodec_cli.container import EcdcReader
from encodec_cli.corpus import CorpusItem
from encodec_cli.errors import EncodecCliError

__all__ = ["Lengths"]

_PROBES = 8
_SECONDS_PER_BYTE = 1 / 16_000  # of compressed audio, where no recording of a kind can be opened
_SECONDS = 10.0  # where not even the size is known


@dataclass
class _Kind:
    """What the first recordings of a kind hold: seconds, or bytes of codes."""

    opened: int = 0
    amount: float = 0.0
    size: int = 0


@dataclass
class Lengths:
    """Estimates for the items of a corpus, asked for in its order.

    Attributes:
        open_stored: how many bytes of codes an `.ecdc` item has, see `stored_bytes`.
    """

    _kinds: dict[str, _Kind] = field(default_factory=dict)

    def seconds(self, item: CorpusItem) -> float:
        """Of audio in the item, or in its part of a recording."""
        if item.duration is not None:
            return item.duration
        whole = item.seconds
        if whole is None:
            whole = self._by_size(item, _SECONDS_PER_BYTE, _SECONDS, _audio_seconds)
        return max(0.0, whole - item.offset)

    def stored_bytes(self, item: CorpusItem) -> float:
        """Of codes, two bytes each, in an item that is an `.ecdc` file."""
        return self._by_size(item, 1.6, 0.0, _code_bytes)

    def _by_size(
        self,
        item: CorpusItem,
        usual: float,
        unknown: float,
        probe: Callable[[CorpusItem], float | None],
    ) -> float:
        size = item.audio.size
        kind = self._kinds.setdefault(PurePath(item.audio.name).suffix.lower(), _Kind())
        if kind.opened < _PROBES:
            kind.opened += 1
            amount = probe(item)
            if amount is not None:
                if size:
                    kind.amount += amount
                    kind.size += size
                return amount
        if not size:
            return unknown
        return size * (kind.amount / kind.size if kind.size else usual)


def _audio_seconds(item: CorpusItem) -> float | None:
    try:
        with open_audio(item.audio) as reader:
            return None if reader.num_frames is None else reader.num_frames / reader.sample_rate
    except (EncodecCliError, OSError):  # whoever codes it says so
        return None


def _code_bytes(item: CorpusItem) -> float | None:
    try:
        with item.audio.open() as file:
            reader = EcdcReader(file)
            header, samples = reader.header, reader.num_samples
    except (EncodecCliError, OSError):
        return None
    if samples is None:
        return None
    frames = -(-(samples + (header.end_padding or 0)) // header.hop)
    return 2.0 * header.codebooks * frames
