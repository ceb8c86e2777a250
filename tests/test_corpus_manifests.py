"""Manifests: which file, which part, which columns, which key; and rows that are none."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from corpus_samples import bad_items, good_items, items_of

from encodec_cli.corpus import AudioFile, BadCorpusItem, Corpus, CorpusItem, read
from encodec_cli.corpus.keys import Keys, key_of_name, key_of_path
from encodec_cli.errors import UsageError

NEMO = [
    {"audio_filepath": "a/one.wav", "offset": 1.5, "duration": 2.25, "text": "ja, gut"},
    {"audio_filepath": "a/two.v2.flac", "duration": 3, "text": "hé", "lang": "fr"},
]


def write_rows(path: Path, rows: list[Any], *, end: str = "\n") -> Path:
    path.write_bytes("".join(f"{json.dumps(row)}{end}" for row in rows).encode())
    return path


def only(row: Any, folder: Path) -> CorpusItem | BadCorpusItem:
    """What becomes of a manifest with this row, as JSON or as it stands."""
    path = folder / "list.jsonl"
    path.write_text(row if isinstance(row, str) else json.dumps(row))
    [item] = items_of(manifests=(path,))
    return item


def test_rows_of_nemo_say_which_part_and_keep_their_columns(tmp_path: Path) -> None:
    one, two = good_items(items_of(manifests=(write_rows(tmp_path / "m.json", NEMO),)))
    assert one == CorpusItem(
        key="a/one-0001500",
        audio=AudioFile(tmp_path / "a/one.wav"),
        source="a/one.wav",
        offset=1.5,
        duration=2.25,
        columns={"offset": 1.5, "duration": 2.25, "text": "ja, gut"},
        seconds=2.25,
    )
    assert (two.key, two.offset, two.duration) == ("a/two_v2", 0.0, 3.0)
    assert two.columns == {"duration": 3, "text": "hé", "lang": "fr"}


@pytest.mark.parametrize("column", ["audio_path", "file_name", "path", "wav"])
def test_rows_of_others_name_their_file_and_themselves(column: str, tmp_path: Path) -> None:
    item = only({"id": "x.1", column: "b/c.mp3", "speaker": "anna"}, tmp_path)
    assert isinstance(item, CorpusItem)
    assert (item.key, item.source) == ("x_1", "b/c.mp3")
    assert item.columns == {"id": "x.1", "speaker": "anna"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_ends_of_lines_marks_and_gzip_change_nothing(
    end: str, mark: bytes, packed: bool, tmp_path: Path
) -> None:
    plain = good_items(items_of(manifests=(write_rows(tmp_path / "m.jsonl", NEMO),)))
    data = mark + write_rows(tmp_path / "n.jsonl", NEMO, end=end).read_bytes()
    path = tmp_path / "n.jsonl"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert items_of(manifests=(path,)) == plain


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"path": "a.wav"}\n{"path": "b.wav"}')
    assert [item.key for item in items_of(manifests=(path,))] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", 'path,text,offset\na.wav,"ja, ""gut""\nso",0.5\nb.wav,,\n'),
        ("m.tsv", 'path\ttext\toffset\na.wav\tja, "gut"\\nso\t0.5\nb.wav\t\t\n'),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
def test_tables_have_their_columns_as_text(name: str, text: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(mark + text, newline="")
    a, b = good_items(items_of(manifests=(path,)))
    said = 'ja, "gut"\nso' if name == "m.csv" else 'ja, "gut"\\nso'
    assert (a.key, a.offset, a.columns) == ("a-0000500", 0.5, {"text": said, "offset": "0.5"})
    assert (b.key, b.offset, b.columns) == ("b", 0.0, {"text": "", "offset": ""})


def test_relative_names_lead_beside_the_manifest_else_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists, here, root = (tmp_path / name for name in ("lists", "here", "root"))
    for folder in (lists, here, root):
        folder.mkdir()
    (lists / "a.wav").touch()
    (here / "a.wav").touch()
    (here / "b.wav").touch()
    rows = [{"path": name} for name in ("a.wav", "b.wav", "none.wav", str(here / "a.wav"))]
    path = write_rows(lists / "m.jsonl", rows)
    monkeypatch.chdir(here)

    def places(root: Path | None) -> list[Path]:
        found = good_items(items_of(manifests=(path,), audio_root=root))
        return [item.audio.path for item in found if isinstance(item.audio, AudioFile)]

    assert places(None) == [lists / "a.wav", Path("b.wav"), lists / "none.wav", here / "a.wav"]
    assert places(root) == [*(root / f"{name}.wav" for name in ("a", "b", "none")), here / "a.wav"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"path": "a.wav"', "not JSON"),
        ("[1, 2]", "JSON array"),
        ("{}", "names no audio file"),
        ({"text": "x"}, "names no audio file"),
        ({"path": 3}, "not the path of a file"),
        ({"path": "a\0b"}, "not the path of a file"),
        ({"path": "x" * 5000}, "not the path of a file"),
        ({"path": "https://x.org/a.wav"}, "is an address"),
        ({"path": "a.wav", "offset": -0.1}, "offset: -0.1"),
        ('{"path": "a.wav", "offset": NaN}', "offset: nan"),
        ('{"path": "a.wav", "offset": 1e999}', "offset: inf"),
        ({"path": "a.wav", "offset": "soon"}, "offset: 'soon'"),
        ({"path": "a.wav", "offset": True}, "offset: True"),
        ({"path": "a.wav", "duration": 0}, "duration: 0"),
        ({"path": "a.wav", "duration": -3}, "duration: -3"),
        ({"path": "a.wav", "duration": [1]}, "duration: [1]"),
        ({"path": "a.wav", "": 1}, "a column named ''"),
        ({"path": "a.wav"} | {f"c{i}": 1 for i in range(1001)}, "1001 columns"),
        ('{"path": "a.wav", "x": ' + "[" * 40 + "]" * 40 + "}", "levels"),
        ('{"path": "a.wav", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "not JSON"),
        ('{"path": "a.wav", "x": ' + "1" * 5000 + "}", "not JSON"),
    ],
)
def test_a_row_that_is_none_is_one_failure_that_says_why(
    row: Any, words: str, tmp_path: Path
) -> None:
    item = only(row, tmp_path)
    assert isinstance(item, BadCorpusItem)
    assert words in item.reason
    assert "\n" not in item.reason
    assert len(item.reason) < 300
    assert "list.jsonl" in item.source


def test_what_json_has_not_becomes_what_it_has(tmp_path: Path) -> None:
    values = '"snr": NaN, "n": 99999999999999999999, "t": "\\ud800", "l": [Infinity]'
    row = f'{{"path": "a.wav", {values}}}'
    item = only(row, tmp_path)
    assert isinstance(item, CorpusItem)
    columns = dict(item.columns)
    assert columns["n"] == "99999999999999999999"
    assert columns | {"n": 0} == {"snr": None, "n": 0, "t": "\\ud800", "l": [None]}
    json.dumps(columns, allow_nan=False).encode()


def test_bad_rows_do_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"path": "a.wav"}\nnope\n\xff\xfe\xfd{}\n{"path": "b.wav"}\n')
    found = items_of(manifests=(path,))
    assert [item.key for item in found] == ["a", "m-line-2", "m-line-3", "b"]
    assert [item.source for item in bad_items(found)] == [f"{path}, line {n}" for n in (2, 3)]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_rows_of_a_table_with_other_columns_than_its_first_line_fail(
    separator: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.txt"
    rows = [["path", "text"], ["a.wav"], ["b.wav", "x"], ["c.wav", "x", "y"]]
    path.write_text("\n".join(separator.join(row) for row in rows))
    found = items_of(manifests=(path,))
    assert [item.key for item in found] == ["m-line-2", "b", "m-line-4"]
    assert "1 columns, but the first line has 2" in bad_items(found)[0].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "lists no recordings"),
        (b"\n \r\n", "lists no recordings"),
        (b'[{"path": "a.wav"}]', "one JSON array"),
        ("path,text\na.wav,x\n".encode("utf-16"), "UTF-16"),
        (b"path,path\na.wav,b.wav\n", "two columns named path"),
        (gzip.compress(b'{"path": "a.wav"}\n', mtime=0)[:-9], "damaged gzip"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_failure(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "m.list"
    path.write_bytes(data)
    item = items_of(manifests=(path,))[-1]
    assert isinstance(item, BadCorpusItem)
    assert item.source == str(path)
    assert words in item.reason
    assert str(path) not in item.reason


def test_a_manifest_that_is_missing_is_one_failure(tmp_path: Path) -> None:
    good = write_rows(tmp_path / "m.jsonl", NEMO[:1])
    found = items_of(manifests=(tmp_path / "none.jsonl", tmp_path, good))
    assert [type(item) for item in found] == [BadCorpusItem, BadCorpusItem, CorpusItem]
    assert "no such file" in bad_items(found)[0].reason
    assert "is a folder" in bad_items(found)[1].reason


def peak_of_reading(path: Path) -> tuple[list[CorpusItem | BadCorpusItem], int]:
    tracemalloc.start()
    try:
        found = items_of(manifests=(path,))
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_line_takes_bounded_memory_and_the_next_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with path.open("wb") as file:
        file.write(b'{"path": "a.wav"}\n{"path": "')
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"path": "b.wav"}\n')
    found, peak = peak_of_reading(path)
    assert [item.key for item in found] == ["a", "m-line-2", "b"]
    assert "longer than" in bad_items(found)[0].reason
    assert peak < 24 << 20


@pytest.mark.slow
def test_a_gzip_bomb_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"path": "a.wav"}\n')
        for _ in range(300):
            file.write(bytes(1 << 20))
    found, peak = peak_of_reading(path)
    assert [item.key for item in found] == ["a", "m_jsonl"]
    assert "unpacks to more than 200 times its size" in bad_items(found)[0].reason
    assert peak < 24 << 20


@pytest.mark.slow
def test_a_long_manifest_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    row = json.dumps({"path": "a.wav", "id": 0, "text": "x" * 20_000})
    path.write_text(f"{row}\n" * 2000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(Corpus(manifests=(path,)))) == 2000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20 < path.stat().st_size


# ---- keys


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a.wav", "a"),
        ("a.v2.wav", "a_v2"),
        ("x/y z/ä.mp3", "x/y z/ä"),
        ("/abs/a.wav", "abs/a"),
        ("../../a.wav", "a"),
        ("./a.wav", "a"),
        ("C:/a.wav", "a"),
        ("c:\\x\\a.wav", "c:_x_a"),
        (".hidden", "_hidden"),
        ("a\nb.wav", "a_nb"),
        ("..", "item"),
    ],
)
def test_keys_are_plain_relative_paths(path: str, key: str) -> None:
    assert key_of_path(path) == key


def test_long_names_keep_apart() -> None:
    first, second = (key_of_name("ä" * 300 + end) for end in "xy")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= 200


def test_equal_keys_are_told_apart_by_their_order() -> None:
    keys = Keys()
    wished = ["a", "b", "a", "a-2", "a", "a-2"]
    assert [keys.unique(key) for key in wished] == ["a", "b", "a-2", "a-2-2", "a-3", "a-2-3"]


def test_a_hundred_thousand_equal_keys_take_no_longer_each() -> None:
    keys = Keys()
    assert [keys.unique("a") for _ in range(100_000)][-1] == "a-100000"


def test_rows_with_one_key_are_all_taken_and_the_same_each_time(tmp_path: Path) -> None:
    rows = [{"id": "x", "path": "a.wav"}, {"id": "x"}, {"id": "x", "path": "b.wav"}]
    path = write_rows(tmp_path / "m.jsonl", rows)
    first = items_of(manifests=(path,))
    assert [item.key for item in first] == ["x", "x-2", "x-3"]
    assert isinstance(first[1], BadCorpusItem)
    assert items_of(manifests=(path,)) == first


# ---- folders and files


def test_folders_and_files_have_the_keys_of_where_they_lie(tmp_path: Path) -> None:
    for name in ("b.wav", "sub/a.flac", "sub/a.mp3", "x.ecdc", "notes.txt", "y.raw"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = items_of(tmp_path, recursive=True)
    assert [(item.key, item.source) for item in found if isinstance(item, CorpusItem)] == [
        ("b", "b.wav"),
        ("sub/a", "sub/a.flac"),
        ("sub/a-2", "sub/a.mp3"),
        ("x", "x.ecdc"),
    ]
    [raw] = bad_items(found)
    assert "no header" in raw.reason
    kept = items_of(tmp_path, recursive=True, keep_suffix=True)
    assert [item.key for item in kept][1:3] == ["sub/a_flac", "sub/a_mp3"]


def test_a_file_that_two_inputs_name_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").touch()
    found = items_of(tmp_path / "b.wav", tmp_path, tmp_path / "b.wav", recursive=True)
    assert [item.key for item in found] == ["b", "a"]


def test_a_folder_needs_recursive_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="add --recursive"):
        read(Corpus(inputs=(str(tmp_path),)))


def test_nothing_at_all_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recordings found"):
        items_of(tmp_path, recursive=True)
