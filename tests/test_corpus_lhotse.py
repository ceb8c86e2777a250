"""Lists of lhotse's: recordings, supervisions, cuts; what is read here and what lhotse makes."""

import gzip
import json
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import soundfile
from cli_samples import write_audio
from corpus_samples import bad_items, good_items, items_of

from encodec_cli.corpus import AudioFile, BadCorpusItem, CorpusItem
from encodec_cli.corpus.lhotse_audio import LhotseAudio
from encodec_cli.errors import EncodecCliError

SOURCE = {"type": "file", "channels": [0, 1], "source": "call.wav"}
RECORDING: dict[str, Any] = {
    "id": "rec.1",
    "sources": [SOURCE],
    "sampling_rate": 8000,
    "num_samples": 80_000,
    "duration": 10.0,
    "channel_ids": [0, 1],
}
SUPERVISION: dict[str, Any] = {
    "id": "s1",
    "recording_id": "rec.1",
    "start": 2.5,
    "duration": 4.0,
    "channel": 1,
    "text": "ja",
    "speaker": "anna",
    "custom": {"snr": 12.5, "codes": {"array": {"storage_type": "numpy_files"}}},
}
CUT: dict[str, Any] = {
    "id": "c1",
    "start": 1.0,
    "duration": 3.0,
    "channel": 0,
    "recording": RECORDING,
    "supervisions": [SUPERVISION | {"start": 0.0, "duration": 3.0}],
    "custom": {"topic": "food"},
    "type": "MonoCut",
}


def write_list(path: Path, rows: list[Any]) -> Path:
    data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def only(row: Any, folder: Path) -> CorpusItem | BadCorpusItem:
    [item] = items_of(manifests=(write_list(folder / "x.jsonl", [row]),))
    return item


def test_recordings_are_items(tmp_path: Path) -> None:
    item = only(RECORDING, tmp_path)
    assert item == CorpusItem(
        key="rec_1",
        audio=AudioFile(tmp_path / "call.wav"),
        source="call.wav",
        columns={"id": "rec.1", "sampling_rate": 8000, "num_samples": 80_000, "duration": 10.0},
        seconds=10.0,
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_supervisions_are_parts_of_the_recordings_beside_them(
    order: tuple[int, int], tmp_path: Path
) -> None:
    supervisions = write_list(tmp_path / "x_supervisions_dev.jsonl.gz", [SUPERVISION])
    recordings = write_list(tmp_path / "x_recordings_dev.jsonl.gz", [RECORDING])
    [item] = good_items(items_of(manifests=(supervisions,)))
    assert (item.key, item.offset, item.duration, item.channels) == ("s1", 2.5, 4.0, (1,))
    assert item.audio == AudioFile(tmp_path / "call.wav")
    assert item.columns == {
        "id": "s1",
        "recording_id": "rec.1",
        "start": 2.5,
        "duration": 4.0,
        "channel": 1,
        "text": "ja",
        "speaker": "anna",
        "snr": 12.5,
    }
    both = [supervisions, recordings]
    assert items_of(manifests=tuple(both[i] for i in order)) == [item]


def test_supervisions_without_their_recording_fail(tmp_path: Path) -> None:
    item = only(SUPERVISION, tmp_path)
    assert isinstance(item, BadCorpusItem)
    assert item.key == "s1"
    assert "no recording 'rec.1'; give the list of recordings" in item.reason


def test_a_damaged_list_of_recordings_is_a_failure_and_what_it_has_is_used(tmp_path: Path) -> None:
    supervisions = write_list(tmp_path / "supervisions.jsonl", [SUPERVISION])
    write_list(tmp_path / "recordings.jsonl", ["nonsense", RECORDING])
    found = items_of(manifests=(supervisions,))
    assert [type(item) for item in found] == [BadCorpusItem, CorpusItem]
    assert "recordings.jsonl, line 1" in bad_items(found)[0].source


def test_cuts_say_what_their_supervision_says(tmp_path: Path) -> None:
    item = only(CUT, tmp_path)
    assert isinstance(item, CorpusItem)
    assert (item.key, item.offset, item.duration, item.channels) == ("c1", 1.0, 3.0, (0,))
    columns = dict(item.columns)
    assert (columns["text"], columns["speaker"], columns["snr"]) == ("ja", "anna", 12.5)
    assert (columns["id"], columns["topic"], columns["start"]) == ("c1", "food", 1.0)


def test_texts_of_several_supervisions_are_one(tmp_path: Path) -> None:
    more = [SUPERVISION, SUPERVISION | {"id": "s2", "text": "so", "speaker": "bo"}]
    item = only(CUT | {"supervisions": more}, tmp_path)
    assert isinstance(item, CorpusItem)
    assert item.columns["text"] == "ja so"
    assert "speaker" not in item.columns


@pytest.mark.parametrize(
    ("sources", "channel", "expected"),
    [
        ([("a.wav", [0])], 0, ("a.wav", None)),
        ([("a.wav", [3])], 3, ("a.wav", None)),
        ([("a.wav", [0]), ("b.wav", [1])], 1, ("b.wav", None)),
        ([("a.wav", [0, 1]), ("b.wav", [4, 5])], 5, ("b.wav", (1,))),
        ([("a.wav", [0, 1])], [1, 0], ("a.wav", (1, 0))),
        ([("a.wav", [0, 1])], [0, 1], ("a.wav", None)),
        ([("a.wav", [0]), ("b.wav", [1])], [0, 1], None),
        ([("a.wav", [0])], 7, None),
    ],
)
def test_the_file_and_channel_of_a_cut(
    sources: list[tuple[str, list[int]]], channel: Any, expected: Any, tmp_path: Path
) -> None:
    files = [{"type": "file", "channels": c, "source": name} for name, c in sources]
    item = only(CUT | {"channel": channel, "recording": RECORDING | {"sources": files}}, tmp_path)
    if expected is None:
        assert isinstance(item, BadCorpusItem)
        assert "no file of the recording has channels" in item.reason
    else:
        assert isinstance(item, CorpusItem)
        assert item.audio == AudioFile(tmp_path / expected[0])
        assert item.channels == expected[1]


@pytest.mark.parametrize("kind", ["command", "url", "memory", "shar", None, 3])
@pytest.mark.parametrize("place", ["recording", "cut", "mixed", "transformed"])
def test_sources_that_are_no_files_are_refused_and_never_run(
    kind: Any, place: str, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    source = {"type": kind, "channels": [0, 1], "source": f"touch {trap}"}
    recording = RECORDING | {"sources": [source]}
    row = {
        "recording": recording,
        "cut": CUT | {"recording": recording},
        "mixed": {"id": "m", "tracks": [{"cut": CUT | {"recording": recording}, "offset": 0}]},
        "transformed": CUT
        | {"recording": RECORDING | {"transforms": [{"name": "Reverb", "kwargs": recording}]}},
    }[place]
    item = only(row, tmp_path)
    assert isinstance(item, BadCorpusItem)
    assert "only files are read" in item.reason
    assert not trap.exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (CUT | {"duration": 0}, "duration: 0"),
        (CUT | {"duration": None}, "duration: None"),
        (CUT | {"start": -1}, "start: -1"),
        (CUT | {"id": None}, "id: missing"),
        ({"id": "c", "supervisions": [], "start": 0, "duration": 1}, "a cut without a recording"),
        (RECORDING | {"sources": []}, "a recording without sources"),
        (RECORDING | {"sources": [3]}, "only files are read"),
        (RECORDING | {"duration": "x"}, "duration: 'x'"),
        ({"id": "m", "tracks": []}, "a recording without sources"),
        ({"id": "m", "tracks": [3]}, "a recording without sources"),
        ({"id": "m", "tracks": {"cut": 3}}, "a recording without sources"),
        (CUT | {"recording": {"x": RECORDING}}, "a recording without sources"),
        (CUT | {"recording": RECORDING | {"sources": SOURCE}}, "a recording without sources"),
        (CUT | {"recording": RECORDING | {"sources": [SOURCE | {"channels": [[]]}]}}, "channels:"),
        (CUT | {"recording": RECORDING | {"sources": [SOURCE | {"channels": 0}]}}, "channels:"),
        (CUT | {"channel": {"x": 0}}, "channels:"),
        (CUT | {"supervisions": [[]]}, None),
        (CUT | {"custom": [1]}, None),
    ],
)
def test_rows_of_any_shape_are_items_or_failures(
    row: Any, words: str | None, tmp_path: Path
) -> None:
    item = only(row, tmp_path)
    if words is None:
        assert isinstance(item, CorpusItem)
    else:
        assert isinstance(item, BadCorpusItem)
        assert words in item.reason


def test_without_lhotse_its_mixtures_are_failures(tmp_path: Path) -> None:
    item = only({"id": "m", "tracks": [{"cut": CUT, "offset": 0.0}]}, tmp_path)
    assert isinstance(item, CorpusItem)
    with (
        mock.patch.dict(sys.modules, {"lhotse": None}),
        pytest.raises(EncodecCliError, match="pip install lhotse"),
        item.audio.open(),
    ):
        pass


@pytest.mark.slow
def test_what_lhotse_writes_and_what_it_makes(tmp_path: Path) -> None:
    pytest.importorskip("lhotse", reason="lhotse is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own
        from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet

        path = write_audio(tmp_path / "a.wav", 40_000, rate=16_000, channels=2)
        recording = Recording.from_file(path, recording_id="a")
        said = SupervisionSegment("s", "a", start=0.5, duration=1.0, channel=1, text="ja")
        recordings = RecordingSet.from_recordings([recording])
        recordings.to_file(tmp_path / "recordings.jsonl.gz")
        supervisions = SupervisionSet.from_segments([said])
        supervisions.to_file(tmp_path / "supervisions.jsonl.gz")
        [cut] = CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
        cuts = [cut, cut.append(cut), cut.perturb_speed(1.25), cut.pad(2.0)]
        CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl.gz")
        [part] = good_items(items_of(manifests=(tmp_path / "supervisions.jsonl.gz",)))
        assert (part.audio, part.offset, part.channels) == (AudioFile(path), 0.5, (1,))
        found = good_items(items_of(manifests=(tmp_path / "cuts.jsonl.gz",)))
        assert (found[0].audio, found[0].offset, found[0].channels) == (part.audio, 0.5, (1,))
        for item, made in zip(found[1:], cuts[1:], strict=True):
            assert isinstance(item.audio, LhotseAudio)
            with item.audio.open() as file:
                samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            assert rate == 16_000
            np.testing.assert_array_equal(samples.T, made.load_audio())
            assert item.columns["text"] == ("ja ja" if made is cuts[1] else "ja")


@pytest.mark.slow
def test_what_lhotse_cannot_make_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("lhotse", reason="lhotse is not installed")
    wide = CUT | {"duration": 1e8, "recording": RECORDING | {"transforms": [{"name": "None"}]}}
    for row in ({"id": "m", "tracks": [{"cut": CUT, "offset": 0.0}], "type": "MixedCut"}, wide):
        item = only(row, tmp_path)
        assert isinstance(item, CorpusItem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(EncodecCliError, match=r"lhotse cannot make it|too long") as error:
                item.audio.open().__enter__()
        assert "\n" not in str(error.value)
