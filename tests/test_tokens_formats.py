"""Token files as bytes: every format gives back what it got; hostile files give one clear line."""

import io
import json
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from token_samples import FORMATS, assert_same, files_of, make_item, write

from encodec_cli.cli.batch import TOKEN_SUFFIXES
from encodec_cli.container import Header
from encodec_cli.errors import ContainerError, EncodecCliError, UsageError
from encodec_cli.tokens import (
    READ_SUFFIXES,
    SHARD_FORMATS,
    Arrangement,
    BadItem,
    TokenInfo,
    TokenItem,
    item_ecdc,
    read_items,
    undelay,
)


def test_the_command_line_knows_every_suffix() -> None:
    assert TOKEN_SUFFIXES == READ_SUFFIXES


@pytest.mark.parametrize("scales", [False, True])
@pytest.mark.parametrize("to", FORMATS)
def test_what_was_written_is_read(to: str, scales: bool, tmp_path: Path) -> None:
    item = make_item(scales=scales)
    [got] = read_items(write(tmp_path, to, [item]))
    assert_same(got, item)


@pytest.mark.parametrize("to", SHARD_FORMATS)
def test_shards_keep_order_lengths_and_long_names(to: str, tmp_path: Path) -> None:
    items = [
        make_item("talks/day 1/a"),
        make_item("é" * 90 + "/b", frames=1),
        make_item("c", scales=True, books=1),
        *(make_item(f"{i:03d}", frames=1 + i) for i in range(40)),
    ]
    path = write(tmp_path, to, items)
    got = list(read_items(path))
    assert len(got) == len(items)
    for one, expected in zip(got, items, strict=True):
        assert_same(one, expected)
    assert SHARD_FORMATS[to].keys(files_of(tmp_path, to)[0]) == [item.key for item in items]


@pytest.mark.parametrize("to", FORMATS)
def test_equal_items_give_equal_bytes(to: str, tmp_path: Path) -> None:
    written = []
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, to, [make_item(scales=True, text="hello", n=1)])
        written.append([path.read_bytes() for path in files_of(tmp_path / name, to)])
    assert written[0] == written[1]


# Damage


@pytest.mark.parametrize("to", FORMATS)
def test_every_truncation_is_noticed(to: str, tmp_path: Path) -> None:
    items = [make_item("a"), make_item("b")] if to in SHARD_FORMATS else [make_item("a")]
    codes = write(tmp_path, to, items)
    for path in files_of(tmp_path, to):
        data = path.read_bytes()
        whole = len(data.rstrip(b"\0")) if path.suffix == ".tar" else len(data)
        for size in sorted({*range(0, whole, 1 + whole // 60), whole - 1}):
            if to == "jsonl" and data[:size].endswith(b"}\n"):
                continue  # a line less is no damage that anybody could see
            path.write_bytes(data[:size])
            if to == "jsonl":
                assert size in (0, whole - 1) or isinstance([*read_items(codes)][-1], BadItem)
                continue
            with pytest.raises(ContainerError, match=f"{codes.name}: ") as raised:
                list(read_items(codes))
            assert "\n" not in str(raised.value)
        path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_flipped_bytes_never_escape_as_other_errors(to: str, tmp_path: Path) -> None:
    codes = write(tmp_path, to, [make_item("a", scales=True)], Arrangement(layout="TK"))
    generator = random.Random(5)
    refused, lines = 0, list[str]()
    for path in files_of(tmp_path, to):
        data = path.read_bytes()
        for _ in range(250):
            spoilt = bytearray(data)
            for _ in range(generator.choice((1, 1, 4))):
                spoilt[generator.randrange(len(spoilt))] = generator.randrange(256)
            path.write_bytes(spoilt)
            try:
                refused += any(isinstance(item, BadItem) for item in read_items(codes))
            except EncodecCliError as error:
                lines.append(str(error))
        path.write_bytes(data)
    assert refused + len(lines) > 20
    assert not any("\n" in line for line in lines)


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npy_header(text: str) -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def write_npz(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


class Exploit:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (Path("pwned"),))


CODES = np.zeros((2, 3), np.uint16)
HUGE = "{'descr': '<u2', 'fortran_order': False, 'shape': (4, 1000000000000)}\n"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}\n"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "holds no array named codes"),
        ({"codes": b""}, "codes: not a plain .npy array"),
        ({"codes": npy_header(HUGE)}, "codes of shape"),
        ({"codes": npy_header(HUGE.replace("4, 1000000000000", "2, 9"))}, "codes: truncated"),
        ({"codes": npy_header(OBJECTS) + pickle.dumps([Exploit()])}, "codes: object of shape"),
        ({"codes": npy_header("(" * 3000)}, "codes: not a plain .npy array"),
        ({"codes": npy_header("{" + "'a': 1, " * 5000 + "}\n")}, "codes: not a plain .npy array"),
        ({"codes": npy(CODES + 0.5)}, "codes: float64 numbers that are not whole"),
        ({"codes": npy(np.stack([CODES, CODES]))}, r"codes of shape \[2, 2, 3\]"),
        ({"codes": npy(CODES[:, :0])}, r"codes of shape \[2, 0\]"),
        ({"codes": npy(np.zeros((129, 129), np.uint16))}, r"codes of shape \[129, 129\]"),
        ({"codes": npy(CODES) + b"more"}, "codes: truncated, or longer"),
        ({"codes": npy(CODES), "n_q": npy(np.array(3))}, "n_q says 3"),
        ({"codes": npy(CODES), "hop": npy(np.array(0))}, "hop: not a whole number from 1"),
        ({"codes": npy(CODES), "hop": npy(np.array(1.5))}, "hop: not a whole number"),
        ({"codes": npy(CODES), "hop": npy(np.array("x"))}, "hop: 'x' is not a whole number"),
        ({"codes": npy(CODES), "model": npy(np.array("a\x1b[2J"))}, "model: not a line of print"),
        ({"codes": npy(CODES), "model": npy(np.array("m" * 20_000))}, "model: <U20000 of shape"),
        ({"codes": npy(CODES), "scales": npy(np.array(["x"]))}, "scales: <U1 of shape"),
    ],
)
def test_hostile_npz(
    entries: dict[str, bytes], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_npz(tmp_path / "a.npz", **entries)
    with pytest.raises(ContainerError, match=words) as raised:
        list(read_items(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.slow
def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Declares a few codes, unpacks to 200 MB."""
    path = write_npz(tmp_path / "a.npz", codes=npy(CODES) + bytes(200_000_000))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ContainerError, match="unpacks to 200000140 bytes, from"):
            list(read_items(path))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a readable safetensors file"),
        (b"\xff" * 8 + b"{}", "not a readable safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "holds no tensor named codes; is it empty"),
    ],
)
def test_hostile_safetensors(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ContainerError, match=words):
        list(read_items(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "words"),
    [
        ("BOOL", [2, 3], 6, "codes: BOOL numbers, not plain ones"),
        ("U16", [2, 10**12], 12, "not a readable safetensors file"),
        ("U16", [2, 2, 3], 24, r"codes of shape \[2, 2, 3\]"),
    ],
)
def test_safetensors_of_other_codes(
    dtype: str, shape: list[int], size: int, words: str, tmp_path: Path
) -> None:
    head = json.dumps({"codes": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}})
    data = struct.pack("<Q", len(head)) + head.encode() + bytes(size)
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ContainerError, match=words):
        list(read_items(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"codes": [[[1, 2], [3]]]}, "the codebooks differ in length"),
        ({"codes": [None]}, "codes: null"),
        ({"codes": [[[1, None]]]}, "codes: null"),
        ({"codes": [[]]}, "codes:"),
        ({"codes": [[[1]]], "key": ["../up"]}, "not a plain relative path"),
        ({"codes": [[[1]]], "n_q": [2]}, "n_q says 2"),
        ({"codes": [[[1]]], "hop": [-3]}, "hop: not a whole number"),
    ],
)
def test_bad_rows_of_parquet(columns: dict[str, list[Any]], words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    [item] = read_items(path)
    assert isinstance(item, BadItem)
    assert words in item.reason


def test_parquet_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "lm.parquet"
    table = pyarrow.table({"codes": [[[1, 2], [3, 4]]], "text": ["hello"]})
    pyarrow.parquet.write_table(table, path)
    [item] = read_items(path)
    assert isinstance(item, TokenItem)
    assert (item.key, item.codes.tolist()) == ("lm-000000", [[1, 2], [3, 4]])
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), path)
    with pytest.raises(ContainerError, match="has no column named codes"):
        list(read_items(path))
    with pytest.raises(ContainerError, match="has no column named key"):
        SHARD_FORMATS["parquet"].keys(path)


# Items as .ecdc


def header(**changes: Any) -> Header:
    known = {"model": "tiny", "sample_rate": 24_000, "channels": 1, "hop": 320, "bits": 10}
    return Header(**(known | {"codebooks": 3, "chunk_frames": 80} | changes))


def test_numbers_that_do_not_fit_together_are_refused() -> None:
    codes = make_item().codes
    with pytest.raises(UsageError, match="coded by model tiny, not other; name it with model"):
        item_ecdc(make_item(), header(model="other"))
    with pytest.raises(UsageError, match="coded with segment 640, but tiny has None"):
        item_ecdc(TokenItem("a", codes, None, TokenInfo(segment=640)), header())
    with pytest.raises(ContainerError, match="tiny has no scales"):
        item_ecdc(make_item(scales=True), header())
    with pytest.raises(ContainerError, match=r"code 1024: tiny has codes of 10 bits.*delay"):
        item_ecdc(TokenItem("a", codes * 0 + 1024), header())
    with pytest.raises(ContainerError, match="code -1: tiny"):
        item_ecdc(TokenItem("a", np.array([[-1]])), header())


# The delay pattern


def test_undelay_is_the_inverse_of_delaying() -> None:
    codes = np.arange(12).reshape(3, 4)
    delayed = np.full((3, 6), 99)
    for k in range(3):
        delayed[k, k : k + 4] = codes[k]
    np.testing.assert_array_equal(undelay(delayed, 12), codes)
    start = np.full((3, 1), -1)
    np.testing.assert_array_equal(undelay(np.hstack([start, start, delayed]), 12), codes)
    np.testing.assert_array_equal(undelay(codes[:1], 12), codes[:1])


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([[1, 2, 9], [9, 9, 3]], "codebook 1, column 1 holds special token 9"),
        ([[1, 2], [5, 3]], "not a delay pattern: codebook 1, column 0 holds code 5"),
        ([[1], [9]], "1 columns of codes: a delay pattern of 2 codebooks"),
        ([[9, 9], [9, 9]], "0 columns of codes"),
    ],
)
def test_what_is_no_delay_pattern_is_refused(codes: list[list[int]], words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        undelay(np.array(codes), 9)
