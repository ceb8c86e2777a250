"""Columns of a corpus beside codes: names, kinds, and values that no format could have."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_samples import (
    FORMATS,
    assert_same,
    files_of,
    imported,
    make_item,
    others_warn,
    write,
)

from encodec_cli.errors import ContainerError
from encodec_cli.tokens import SHARD_FORMATS, Arrangement, TokenItem, column_kinds, read_items
from encodec_cli.tokens.columns import plain_name, written_columns
from encodec_cli.tokens.item import ITEM_NAMES


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], "int"),
        ([1, 2.5], "float"),
        ([True, False], "bool"),
        (["a", None], "text"),
        (["a", 1], "text"),
        ([True, 1], "text"),
        ([None], "text"),
        ([math.nan], "text"),
        ([[1], []], "list<int>"),
        ([[1], [2.5, None]], "list<float>"),
        ([["a"], [1]], "list<text>"),
        ([[]], "list<text>"),
        ([[[1]]], "json"),
        ([[{}]], "json"),
        ([{"a": 1}], "json"),
        ([{"a": 1}, "text", 3], "json"),
        ([[1], "a"], "json"),
        ([1, 1 << 70], "text"),
        ([-(1 << 63), (1 << 63) - 1], "int"),
    ],
)
def test_the_kind_is_the_narrowest_that_all_have(values: list[Any], kind: str) -> None:
    for rows in (values, values[::-1]):
        assert column_kinds({"x": value} for value in rows) == {"x": kind}


def test_rows_that_cannot_be_written_have_no_kinds() -> None:
    assert column_kinds([{"x": 1}, {"x": "a" * (5 << 20)}, {"": 1}]) == {"x": "int"}


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["a", 1, True, None, 2.5], ["a", "1", "true", None, "2.5"]),
        ([1, 2.5], [1.0, 2.5]),
        ([{"a": [1]}, "x", None], ['{"a": [1]}', '"x"', None]),
        ([["a", 1, None], None], [["a", "1", None], None]),
        ([1 << 70, 3], [str(1 << 70), "3"]),
        ([math.inf, 1.5], [None, 1.5]),
    ],
)
def test_values_of_many_kinds_in_one_column_of_parquet(
    values: list[Any], read: list[Any], tmp_path: Path
) -> None:
    import pyarrow.parquet

    items = [make_item(str(number), x=value) for number, value in enumerate(values)]
    kinds = column_kinds(item.columns for item in items)
    for given in (kinds, None):
        path = write(tmp_path, "parquet", items, kinds=given)
        assert pyarrow.parquet.read_table(path).column("x").to_pylist() == read


def test_a_row_of_another_kind_than_the_corpus_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    with (tmp_path / "a.parquet").open("wb") as file:
        shard = SHARD_FORMATS["parquet"].open([file], Arrangement(), {"n": "int"})
        shard.add(make_item("a", n=1))
        for columns in ({"n": "x"}, {"m": 1}, {"n": 1.5}):
            with pytest.raises(ContainerError, match=r"column '[nm]': "):
                shard.add(make_item("b", **columns))
        shard.add(make_item("c"))
        shard.finish()
    assert [item.key for item in read_items(tmp_path / "a.parquet")] == ["a", "c"]


def test_names_that_are_ours_are_prefixed() -> None:
    columns = dict.fromkeys(ITEM_NAMES, "x") | {"text": "y"}
    written = written_columns(columns)
    assert written == {f"corpus_{name}": "x" for name in ITEM_NAMES} | {"text": "y"}
    both = written_columns({"key": 1, "corpus_key": 2})
    assert both == {"corpus_corpus_key": 1, "corpus_key": 2}


@pytest.mark.parametrize("to", FORMATS)
def test_no_column_takes_the_place_of_what_is_ours(to: str, tmp_path: Path) -> None:
    """A corpus whose columns are called like ours, with values that would break reading."""
    columns: dict[str, Any] = dict.fromkeys(sorted(ITEM_NAMES), "nonsense")
    item = make_item("a", scales=True)
    item = TokenItem(item.key, item.codes, item.scales, item.info, columns=columns)
    [got] = read_items(write(tmp_path, to, [item]))
    assert_same(got, item)


ODD: dict[str, Any] = {
    "half a character": "\ud800!",
    "nul": "a\0b",
    "control": "\x1b[2J\r\n",
    "nan": math.nan,
    "huge": 1 << 80,
    "deep": [[[[[]]]]],
    "../../escape": "x",
    "/etc/passwd": "x",
    "a\\b": "x",
    ".hidden": 1,
    "fine_prompt": "not Bark's",
    "tokens": "not codes",
    "id": "not the key",
    "duration": 7,
    "start": -1,
    "supervisions": "none",
    "recording": {"id": "x", "sources": [], "sampling_rate": 5},
    "features": {"num_features": 3},
    "width": {"width": 5},
    "array": {"array": {}},
    "text": 5,
    "lists": [None, 1, "a"],
}


@pytest.mark.parametrize("to", FORMATS)
def test_odd_columns_harm_nothing(to: str, tmp_path: Path) -> None:
    item = make_item(**ODD)
    [got] = read_items(write(tmp_path, to, [item]))
    assert_same(got, item)
    for path in files_of(tmp_path, to):
        assert b"\xed\xa0\x80" not in path.read_bytes()


def test_names_inside_archives_lead_nowhere(tmp_path: Path) -> None:
    with np.load(write(tmp_path, "npz", [make_item(**ODD)]), allow_pickle=False) as arrays:
        names = arrays.files
        assert all(arrays[name].dtype.kind in "iufbU" for name in names)
    assert not any("/" in name or "\\" in name or name.startswith(".") for name in names)
    assert len(set(names)) == len(names)
    assert plain_name("a/b", {"a_b"}) == "a_b_"


@pytest.mark.slow
def test_lhotse_takes_odd_columns(tmp_path: Path) -> None:
    lhotse = imported("lhotse")
    write(tmp_path, "shar", [make_item("a", **ODD), make_item("b", text="x")])
    with others_warn():
        cuts = list(lhotse.CutSet.from_shar(in_dir=tmp_path / "shar"))
        np.testing.assert_array_equal(cuts[0].load_codes().T, make_item().codes)
    assert [cut.id for cut in cuts] == ["a", "b"]
    assert json.loads(cuts[0].custom["recording"]) == ODD["recording"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"": 1}, "a column named ''; give it a short plain name"),
        ({"x" * 300: 1}, "a column named 'xxx"),
        ({"x": "a" * (5 << 20)}, "columns of more than 4194304 bytes"),
        ({f"c{i}": 1 for i in range(1001)}, "1001 columns; at most 1000"),
    ],
)
@pytest.mark.parametrize("to", FORMATS)
def test_what_cannot_be_written_is_one_line(
    columns: dict[str, Any], message: str, to: str, tmp_path: Path
) -> None:
    with pytest.raises(ContainerError, match=message):
        write(tmp_path, to, [make_item(**columns)])


@pytest.mark.slow
def test_values_of_any_depth_are_refused_at_little_cost() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ContainerError, match="values in more than 16 levels"):
        written_columns({"x": value})


@pytest.mark.parametrize("to", FORMATS)
def test_long_columns_are_read_back(to: str, tmp_path: Path) -> None:
    """The transcript of a day."""
    item = make_item(text="wörter " * 400_000)
    [got] = read_items(write(tmp_path, to, [item]))
    assert_same(got, item)
