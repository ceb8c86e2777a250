"""Recordings that lhotse makes of several, or changes: mixed, padded, faster, louder."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from encodec_cli.corpus.rows import Places, path_in
from encodec_cli.errors import ContainerError, EncodecCliError
from encodec_cli.io.text import shown

__all__ = ["LhotseAudio", "check_sources", "lhotse_audio"]

_MOST_SOURCES = 10_000
_MOST_SAMPLES = 1 << 28


@dataclass(frozen=True)
class LhotseAudio:
    """What lhotse makes of a row of its own, a cut or a recording, given as JSON."""

    name: str
    row: str = field(repr=False)

    @property
    def size(self) -> int | None:
        return None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "cut.wav")
            self._save(path)
            with path.open("rb") as file:
                yield file

    def _save(self, path: Path) -> None:
        """Have lhotse write it to a file, as float samples.

        Raises:
            EncodecCliError: lhotse is missing, or cannot.
        """
        try:
            from lhotse import Recording
            from lhotse.serialization import deserialize_item
        except ImportError as error:
            raise EncodecCliError(
                f"{self.name}: is mixed or transformed by lhotse, which is not installed; run: "
                "pip install lhotse"
            ) from error
        try:
            made = deserialize_item(json.loads(self.row))
            cut = made.to_cut() if isinstance(made, Recording) else made
            if cut.num_samples is None or cut.num_samples > _MOST_SAMPLES:
                raise EncodecCliError(f"{self.name}: too long to be made in memory; save it")
            cut.save_audio(str(path), format="wav", encoding="FLOAT")
        except EncodecCliError:
            raise
        except Exception as error:  # lhotse raises whatever comes to it
            line = " ".join(str(error).split())[:200]
            raise EncodecCliError(f"{self.name}: lhotse cannot make it: {line}") from error


def lhotse_audio(row: Mapping[str, Any], places: Places) -> LhotseAudio:
    """What lhotse makes of `row`, whose files lie in `places`.

    Raises:
        ContainerError: see `check_sources`.
    """
    check_sources(row)
    return LhotseAudio(str(row.get("id")), json.dumps(_placed(row, places)))


def _placed(value: Any, places: Places) -> Any:
    """`value` with the names of all sources as they lead from the working folder."""
    if isinstance(value, list):
        return [_placed(each, places) for each in value]
    if not isinstance(value, Mapping):
        return value
    placed = {name: _placed(each, places) for name, each in value.items()}
    if "source" in placed and "type" in placed:
        placed["source"] = str(places.file(path_in(placed["source"], "source")))
    return placed


def check_sources(row: Mapping[str, Any]) -> None:
    """Refuse a row of lhotse's unless all that it is made of are files.

    lhotse runs sources that are commands, and fetches addresses.

    Raises:
        ContainerError: there is another source, or none.
    """
    sources = list(_sources(row))
    if not sources:
        raise ContainerError("a recording without sources")
    for source in sources:
        kind = source.get("type") if isinstance(source, Mapping) else None
        if kind != "file":
            raise ContainerError(
                f"sources: of type {shown(kind, 20)}; only files are read: save it as one"
            )


def _sources(value: Any) -> Iterator[Any]:
    """All sources that a row has at any depth."""
    todo: list[Any] = [value]
    for _ in range(_MOST_SOURCES):
        if not todo:
            return
        each = todo.pop()
        if isinstance(each, Mapping):
            found = each.get("sources")
            yield from found if isinstance(found, list) else ()
            # A source is known by these two, wherever it stands.
            if "source" in each and "type" in each:
                yield each
            todo += each.values()
        elif isinstance(each, list):
            todo += each
    raise ContainerError("made of too many parts")
