"""Rows of lhotse's lists: recordings, supervisions (parts of recordings), cuts.

    {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "r.flac"}], ...}
    {"id": "s", "recording_id": "r", "start": 2.5, "duration": 4.0, "channel": 0, "text": ...}
    {"id": "c", "start": 2.5, "duration": 4.0, "recording": {...}, "supervisions": [...], ...}

What is one part of one file is read here. Mixed, padded and transformed cuts are read by lhotse,
where it is installed. Sources that are commands or addresses are not read.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from encodec_cli.corpus.item import CorpusItem
from encodec_cli.corpus.keys import key_of_name
from encodec_cli.corpus.lhotse_audio import check_sources, lhotse_audio
from encodec_cli.corpus.rows import Places, path_in, seconds_in
from encodec_cli.errors import ContainerError
from encodec_cli.io.audio_data import AudioData, AudioFile
from encodec_cli.io.columns import plain_columns
from encodec_cli.io.text import printable, shown

__all__ = ["Recordings", "lhotse_item", "lhotse_kind"]

_SHARED = ("text", "speaker", "language", "gender")


class Recordings:
    """Recordings by their id, for supervisions."""

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}  # as text, a fifth of what objects take

    def add(self, row: Mapping[str, Any]) -> None:
        """Know the recording of a row."""
        self._rows[str(row["id"])] = json.dumps(row)

    def find(self, name: Any) -> Mapping[str, Any]:
        """The row of the recording called `name`.

        Raises:
            ContainerError: there is none.
        """
        text = self._rows.get(str(name))
        if text is None:
            raise ContainerError(
                f"recording_id: no recording {shown(name)}; give the list of recordings as well"
            )
        row: Mapping[str, Any] = json.loads(text)
        return row


def lhotse_kind(row: Mapping[str, Any]) -> Literal["recording", "supervision", "cut"] | None:
    """What lhotse's row `row` is; None if it is no row of lhotse's."""
    if isinstance(row.get("sources"), list) and "id" in row:
        return "recording"
    if "tracks" in row or isinstance(row.get("recording"), Mapping) or "supervisions" in row:
        return "cut"
    return "supervision" if "recording_id" in row and "start" in row else None


def lhotse_item(row: Mapping[str, Any], places: Places, recordings: Recordings) -> CorpusItem:
    """The item of a row of lhotse's.

    Raises:
        ContainerError: it is none that can be read, or its recording is not known.
    """
    kind = lhotse_kind(row)
    if kind == "recording":
        return _recording_item(row, places)
    if kind == "supervision":
        return _part_item(row, recordings.find(row["recording_id"]), _flat(row), places)
    columns = _cut_columns(row)
    recording = row.get("recording")
    if "tracks" in row or not isinstance(recording, Mapping):
        if "tracks" not in row:
            raise ContainerError("a cut without a recording")
        return _mixed_item(row, columns, places)
    return _part_item(row, recording, columns, places)


def _recording_item(row: Mapping[str, Any], places: Places) -> CorpusItem:
    audio, channels = _audio(row, row.get("channel_ids"), places)
    duration = row.get("duration")
    columns = {n: v for n, v in row.items() if n not in ("sources", "transforms", "channel_ids")}
    return CorpusItem(
        key=key_of_name(str(row["id"])),
        audio=audio,
        source=_source(row),
        channels=channels,
        columns=plain_columns(columns),
        seconds=None if duration is None else seconds_in(duration, "duration"),
    )


def _part_item(
    row: Mapping[str, Any],
    recording: Mapping[str, Any],
    columns: Mapping[str, Any],
    places: Places,
) -> CorpusItem:
    """The item of a supervision or cut, a part of one recording."""
    duration = seconds_in(row.get("duration"), "duration")
    if duration == 0:
        raise ContainerError("duration: 0; nothing to code")
    if recording.get("transforms"):
        return _mixed_item(_as_cut(row, recording), columns, places)
    audio, channels = _audio(recording, row.get("channel"), places)
    return CorpusItem(
        key=_key(row),
        audio=audio,
        source=_source(recording),
        offset=seconds_in(row.get("start", 0.0), "start"),
        duration=duration,
        channels=channels,
        columns=plain_columns(columns),
        seconds=duration,
    )


def _as_cut(row: Mapping[str, Any], recording: Mapping[str, Any]) -> dict[str, Any]:
    """A supervision or cut of a recording, as a cut."""
    channel = row.get("channel", 0)
    kind = "MultiCut" if isinstance(channel, list) else "MonoCut"
    kept = {name: row.get(name) for name in ("id", "start", "duration")}
    return {**kept, "channel": channel, "recording": recording, "supervisions": [], "type": kind}


def _mixed_item(row: Mapping[str, Any], columns: Mapping[str, Any], places: Places) -> CorpusItem:
    seconds = row.get("duration")
    return CorpusItem(
        key=_key(row),
        audio=lhotse_audio(row, places),
        source=_key(row),
        columns=plain_columns(columns),
        seconds=None if seconds is None else seconds_in(seconds, "duration"),
    )


def _key(row: Mapping[str, Any]) -> str:
    name = row.get("id")
    if not isinstance(name, str | int):
        raise ContainerError("id: missing")
    return key_of_name(str(name))


def _source(recording: Mapping[str, Any]) -> str:
    return printable(str(_maps(recording.get("sources"))[0].get("source")))


def _audio(
    recording: Mapping[str, Any], wanted: Any, places: Places
) -> tuple[AudioData, tuple[int, ...] | None]:
    """The file that has the channels `wanted` of a recording, and which of its own they are."""
    check_sources(recording)
    if recording.get("transforms"):
        return lhotse_audio(recording, places), None
    sources = [(source, _numbers(source.get("channels"))) for source in _sources(recording)]
    channels = [channel for _, own in sources for channel in own]
    if wanted is not None:
        channels = _numbers([wanted] if isinstance(wanted, int) else wanted)
    for source, own in sources:
        if set(channels) <= set(own):
            file = AudioFile(places.file(path_in(source.get("source"), "source")))
            picked = tuple(own.index(channel) for channel in channels)
            return file, None if picked == tuple(range(len(own))) else picked
    raise ContainerError(f"channel: no file of the recording has channels {shown(channels, 30)}")


def _sources(recording: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = _maps(recording.get("sources"))
    if not found:
        raise ContainerError("a recording without sources")
    return found


def _maps(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list of JSON; none where there is no list."""
    return [x for x in value if isinstance(x, Mapping)] if isinstance(value, list) else []


def _numbers(value: Any) -> list[int]:
    """The channels that JSON lists.

    Raises:
        ContainerError: it lists none.
    """
    if not isinstance(value, list) or not value or not all(type(x) is int for x in value):
        raise ContainerError(f"channels: {shown(value, 30)}; give a list of numbers")
    return value


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row, those of `custom` among them; arrays that lie elsewhere left out."""
    custom = row.get("custom")
    rest = {n: v for n, v in row.items() if n not in ("custom", "alignment", "recording")}
    kept = custom.items() if isinstance(custom, Mapping) else ()
    return {n: v for n, v in kept if not _is_array(v)} | rest


def _cut_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a cut, with what its supervisions say of it."""
    left_out = ("supervisions", "features", "tracks", "type", "transforms")
    columns = {n: v for n, v in _flat(row).items() if n not in left_out}
    found = _maps(row.get("supervisions"))
    for cut in _maps([track.get("cut") for track in _maps(row.get("tracks"))]):
        found += _maps(cut.get("supervisions"))
    said = [_flat(each) for each in found]
    if len(said) == 1:
        own = ("id", "recording_id", "start", "duration", "channel")
        columns = {n: v for n, v in said[0].items() if n not in own} | columns
    for name in _SHARED if len(said) > 1 else ():
        values = [each[name] for each in said if isinstance(each.get(name), str)]
        if name == "text" and values:
            columns.setdefault(name, " ".join(values))
        elif values and len(set(values)) == 1:
            columns.setdefault(name, values[0])
    return columns


def _is_array(value: Any) -> bool:
    return isinstance(value, Mapping) and ("storage_type" in value or "array" in value)
