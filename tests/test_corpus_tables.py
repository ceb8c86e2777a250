"""Parquet and saved data sets: what Hugging Face writes, and what hostile files claim."""

import json
import pickle
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_samples import audio_bytes, bad_items, good_items, items_of

from encodec_cli.corpus import AudioFile, BadCorpusItem, CorpusItem
from encodec_cli.errors import EncodecCliError

ROWS = [
    {"id": 7, "audio": {"bytes": b"first", "path": "x/a.wav"}, "text": "ja"},
    {"id": 8, "audio": {"bytes": b"second", "path": None}, "text": None},
    {"id": 9, "audio": {"bytes": b"third", "path": "c.flac"}, "text": "so"},
]


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def write_dataset(folder: Path, table: pa.Table, **state: Any) -> Path:
    """A folder as `save_to_disk` leaves it, made by hand."""
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    state = {"_data_files": [{"filename": name}]} | state
    (folder / "state.json").write_text(json.dumps(state))
    return folder


@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_rows_of_hugging_face(kind: str, tmp_path: Path) -> None:
    if kind == "parquet":
        path = write_parquet(tmp_path / "p.parquet", ROWS, row_group_size=2)
    else:
        path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS))
    found = good_items(items_of(path))
    assert [(item.key, dict(item.columns)) for item in found] == [
        ("7", {"id": 7, "text": "ja"}),
        ("8", {"id": 8, "text": None}),
        ("9", {"id": 9, "text": "so"}),
    ]
    assert [audio_bytes(item) for item in found] == [b"first", b"second", b"third"]
    assert [audio_bytes(item) for item in reversed(found)] == [b"third", b"second", b"first"]
    assert found[0].source == "x/a.wav"
    assert "row 1" in found[1].source
    assert audio_bytes(pickle.loads(pickle.dumps(found[1]))) == b"second"


@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_recordings_are_listed_without_their_bytes(kind: str, tmp_path: Path) -> None:
    rows = [{"audio": {"bytes": bytes(1 << 20), "path": None}}] * 20
    if kind == "parquet":
        path = write_parquet(tmp_path / "p.parquet", rows)
    else:
        path = write_dataset(tmp_path / "d", pa.Table.from_pylist(rows))
    before = pa.total_allocated_bytes()
    found = good_items(items_of(path))
    assert len(found) == 20
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert max(len(pickle.dumps(item)) for item in found) < 1000
    assert audio_bytes(found[19]) == bytes(1 << 20)


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "p.parquet", ROWS)
    assert audio_bytes(good_items(items_of(path))[0]) == b"first"
    write_parquet(path, [{"audio": {"bytes": b"new", "path": None}}])
    assert audio_bytes(good_items(items_of(path))[0]) == b"new"


def test_bytes_alone_and_names_of_files_are_read_too(tmp_path: Path) -> None:
    plain = write_parquet(tmp_path / "b.parquet", [{"audio": b"x", "n": 1.5}])
    named = write_parquet(tmp_path / "n.parquet", [{"audio": "a.wav", "offset": 2.0}])
    pathless = write_parquet(
        tmp_path / "p.parquet", [{"audio": {"bytes": None, "path": "a.wav"}, "offset": 2.0}]
    )
    (tmp_path / "a.wav").write_bytes(b"file")
    [item] = good_items(items_of(plain))
    assert (item.key, audio_bytes(item), item.columns) == ("b-000000", b"x", {"n": 1.5})
    [item] = good_items(items_of(named))
    assert (item.key, item.audio, item.offset) == ("a-0002000", AudioFile(tmp_path / "a.wav"), 2.0)
    [item] = good_items(items_of(pathless))
    assert (item.key, audio_bytes(item), item.offset) == ("a", b"file", 0.0)


def test_columns_keep_their_types_where_json_has_them(tmp_path: Path) -> None:
    table = pa.table(
        {
            "audio": [b"x"],
            "when": pa.array([datetime(2026, 11, 29, 12)], pa.timestamp("us")),
            "ages": pa.array([1 << 62], pa.timestamp("us")),
            "price": pa.array([Decimal("1.50")], pa.decimal128(5, 2)),
            "tags": [["a", "b"]],
            "more": [{"x": 1, "y": None}],
            "kind": pa.array(["speech"]).dictionary_encode(),
            "blob": pa.array([b"\xff"], pa.binary()),
            "flag": [True],
            "nan": [float("nan")],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    [item] = good_items(items_of(tmp_path / "p.parquet"))
    columns = dict(item.columns)
    assert "2026-11-29 12:00" in columns.pop("when")
    assert isinstance(columns.pop("ages"), str)
    assert columns == {
        "price": "1.50",
        "tags": ["a", "b"],
        "more": {"x": 1, "y": None},
        "kind": "speech",
        "flag": True,
        "nan": None,
    }


def test_rows_without_audio_fail_by_themselves(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": 10, "audio": None, "text": "x"}]
    found = items_of(write_parquet(tmp_path / "p.parquet", rows))
    assert isinstance(found[3], CorpusItem)
    with pytest.raises(EncodecCliError, match=r"row 3: audio\.bytes: null; the row has no audio"):
        audio_bytes(found[3])
    found = items_of(write_dataset(tmp_path / "d", pa.Table.from_pylist(rows)))
    assert len(good_items(found[:3])) == 3
    assert "the row has no audio" in bad_items(found)[0].reason


def test_text_that_is_none_fails_its_row_alone(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"audio": [b"x", b"y"], "text": texts}), tmp_path / "p.parquet")
    found = items_of(tmp_path / "p.parquet")
    assert [type(item) for item in found] == [CorpusItem, BadCorpusItem]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": "x"}], "has no column of audio"),
        ([{"key": "a", "codes": [[1, 2]]}], "has no column of audio"),
        ([{"audio": {"array": [0.5], "rate": 3}}], "has no column of audio"),
        ([{"audio": 3}], "has no column of audio"),
    ],
)
def test_tables_without_audio_are_refused(
    rows: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    for path in (
        write_parquet(tmp_path / "p.parquet", rows),
        write_dataset(tmp_path / "d", pa.Table.from_pylist(rows)),
    ):
        [bad] = bad_items(items_of(path))
        assert words in bad.reason


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_parquet_file_is_one_failure(share: float, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "p.parquet", ROWS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    [bad] = bad_items(items_of(path))
    assert "not a readable Parquet file" in bad.reason


@pytest.mark.slow
def test_a_parquet_file_that_unpacks_to_far_more_than_it_has_is_refused(tmp_path: Path) -> None:
    rows = [{"audio": bytes(60 << 20)}] * 2
    path = write_parquet(tmp_path / "p.parquet", rows, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20
    [bad] = bad_items(items_of(path))
    assert "unpacks to" in bad.reason


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "dataset"])
def test_damaged_tables_never_crash(kind: str, tmp_path: Path) -> None:
    """One byte changed, anywhere: items, failures, or a refusal, and nothing else."""
    if kind == "parquet":
        path = target = write_parquet(tmp_path / "p.parquet", ROWS)
    else:
        path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS))
        [target] = path.glob("*.arrow")
    data = target.read_bytes()
    for place in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        target.write_bytes(damaged)
        for item in items_of(path):
            if isinstance(item, CorpusItem):
                with suppress(EncodecCliError):
                    audio_bytes(item)


# ---- saved data sets


def test_splits_begin_keys(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_dataset(tmp_path / "d" / split, pa.Table.from_pylist(ROWS))
    (tmp_path / "d/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    keys = [item.key for item in good_items(items_of(tmp_path / "d"))]
    assert keys == [f"{split}/{n}" for split in ("train", "test") for n in (7, 8, 9)]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"_data_files": [{"filename": "../x.arrow"}]}, "does not lie beside it"),
        ({"_data_files": [{"filename": "/etc/passwd"}]}, "does not lie beside it"),
        ({"_data_files": [{"filename": 3}]}, "does not lie beside it"),
        ({"_data_files": []}, "lists no data"),
        ({"_data_files": "x"}, "lists no data"),
        ({"_data_files": [{"filename": "none.arrow"}]}, "cannot read"),
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, "flatten_indices"),
    ],
)
def test_a_state_that_is_wrong_is_refused(
    state: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS), **state)
    [bad] = bad_items(items_of(path))
    assert words in bad.reason


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"[" * 100_000])
def test_a_state_that_is_no_json_is_refused(data: bytes, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS))
    (path / "state.json").write_bytes(data)
    [bad] = bad_items(items_of(path))
    assert "save the data set again" in bad.reason


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_data_set_says_so(share: float, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS))
    [arrow] = path.glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[: int(arrow.stat().st_size * share)])
    assert isinstance(items_of(path)[-1], BadCorpusItem)


def test_packed_batches_are_refused(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d", pa.Table.from_pylist(ROWS))
    [arrow] = path.glob("*.arrow")
    table = pa.Table.from_pylist(ROWS * 100)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(arrow), "wb") as file,
        pa.ipc.new_stream(file, table.schema, options=options) as out,
    ):
        out.write_table(table)
    [bad] = bad_items(items_of(path))
    assert "is packed" in bad.reason


def test_a_batch_of_more_rows_than_bytes_is_refused(tmp_path: Path) -> None:
    """Nulls take no bytes: a file of nothing may say that it has any number of rows."""
    nulls = pa.nulls(10_000_000)
    table = pa.table({"path": nulls})
    path = write_dataset(tmp_path / "d", table)
    [bad] = bad_items(items_of(path))
    assert "rows; more than it has bytes" in bad.reason


@pytest.mark.slow
def test_what_the_datasets_package_saves(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    (tmp_path / "a.wav").write_bytes(b"RIFF one")
    (tmp_path / "b.wav").write_bytes(b"RIFF two")
    files = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    plain = datasets.Dataset.from_dict({"audio": files, "text": ["x", "y"]})
    made = plain.cast_column("audio", datasets.Audio(decode=False))
    made.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "splits")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    made.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    expected = [("a", b"RIFF one", {"text": "x"}), ("b", b"RIFF two", {"text": "y"})]
    for folder in ("saved", "hub"):
        found = good_items(items_of(tmp_path / folder))
        assert [(item.key, audio_bytes(item), item.columns) for item in found] == expected
    assert [item.key for item in items_of(tmp_path / "splits")] == ["train/a", "train/b"]
