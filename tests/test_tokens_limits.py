"""Files of tokens that others made: odd types, sizes and names end in one line, at little cost."""

import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from token_samples import make_item, write

from encodec_cli.errors import ContainerError
from encodec_cli.io.parquet_footer import count_values
from encodec_cli.tokens import (
    SHARD_FORMATS,
    Arrangement,
    BadItem,
    Reading,
    TokenItem,
    arranged,
    read_items,
)

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def npy(shape: str, data: bytes = b"\0" * 6, descr: str = "'<u2'") -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def write_npz(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_a_header_that_says_too_much_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(f"(8, {1 << 24})"))
    tracemalloc.start()
    with pytest.raises(ContainerError, match="truncated"):
        list(read_items(tmp_path / "a.npy"))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("descr", ["('<u2',)", "[()]", "{}", "None", "[('a',)]", "('<u2', 3)"])
def test_types_that_are_none_are_refused(descr: str, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy("(1, 3)", descr=descr))
    with pytest.raises(ContainerError):
        list(read_items(tmp_path / "a.npy"))


def test_headers_of_python_2_are_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy("(1L, 3L)"))
    [item] = read_items(tmp_path / "a.npy")
    assert isinstance(item, TokenItem)
    assert item.codes.shape == (1, 3)


@pytest.mark.parametrize(
    "shape",
    [
        "(True, 3)",
        "(1, True)",
        "(False, 3)",
        "(-1, 3)",
        "(1, -3)",
        "(1, 3.0)",
        "('a', 3)",
        "(1, 3, True)",
        "(None, 3)",
        "3",
        "[1, 3]",
        f"(1, {10**30})",
        f"({10**30}, 1)",
    ],
)
@pytest.mark.parametrize("name", ["codes", "scales", "hop", "model"])
def test_shapes_that_are_no_numbers_are_refused(name: str, shape: str, tmp_path: Path) -> None:
    entries = {"codes": npy("(1, 3)"), name: npy(shape)}
    path = write_npz(tmp_path / "a.npz", **entries)
    with pytest.raises(ContainerError, match=rf"a\.npz: {name}"):
        list(read_items(path))


@pytest.mark.parametrize("name", ["codes", "scales", "hop", "model"])
@pytest.mark.parametrize(
    "descr",
    [
        "'|O'",
        "'|V8'",
        "'<M8[s]'",
        "'<m8'",
        "'<c16'",
        "'|b1'",
        "'<U4'",
        "'|S3'",
        "'<f8'",
        "'<f2'",
        "('<i4', (2, 3))",
        "[('a', '<i4')]",
        "'x'",
        "5",
        "'<u2,<u2'",
        "'<U999999999'",
    ],
)
def test_types_are_read_or_refused(name: str, descr: str, tmp_path: Path) -> None:
    shape = {"codes": "(1, 3)", "scales": "(3,)"}.get(name, "()")
    path = write_npz(
        tmp_path / "a.npz",
        **({"codes": npy("(1, 3)")} | {name: npy(shape, b"\xff" * 48, descr)}),
    )
    with pytest.raises(ContainerError, match=rf"a\.npz: {name}"):
        list(read_items(path))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.uint8])
def test_an_archive_unpacks_to_no_more_than_codes_do(dtype: type, tmp_path: Path) -> None:
    count = (1 << 27) // np.dtype(dtype).itemsize
    path = tmp_path / "a.npz"
    head = npy(f"(8, {count // 8})", b"", f"'{np.dtype(dtype).str}'")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", head + bytes(1 << 27))
    tracemalloc.start()
    try:
        with pytest.raises(ContainerError, match=r"codes: unpacks to \d+ bytes, from"):
            list(read_items(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("part", [b"[],", b"{},", b"[[[]]],"])
def test_a_line_of_lists_is_not_unrolled(part: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"codes": [[1]], "x": [' + part * 2_100_000 + b'[]]}\n{"codes": [[1]]}')
    tracemalloc.start()
    try:
        bad, good = read_items(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(bad, BadItem)
    assert "more than 2000000 lists" in bad.reason
    assert isinstance(good, TokenItem)
    assert peak < 4 * path.stat().st_size


@pytest.mark.slow
def test_hours_of_codes_are_a_line(tmp_path: Path) -> None:
    """Three hours of 8 codebooks, a list for each frame."""
    frames = 75 * 3600 * 3
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"codes": [' + b",".join([b"[100,2,3,4,5,6,7,80]"] * frames) + b"]}")
    [item] = read_items(path)
    assert isinstance(item, TokenItem)
    assert item.codes.shape == (frames, 8)


def test_hours_of_silence_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, codes=np.zeros((8, 75 * 3600 * 8), np.uint16))
    [item] = read_items(path)
    assert isinstance(item, TokenItem)
    assert item.codes.shape == (8, 75 * 3600 * 8)


@pytest.mark.parametrize("name", ["codes", "scales"])
@pytest.mark.parametrize(
    "dtype",
    [
        "F8_E8M0",
        "F8_E5M2",
        "F8_E4M3",
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "BF16",
        "BOOL",
        "C64",
        "F32",
        "U16",
        "U8",
        "nonsense",
    ],
)
def test_tensors_of_any_type_are_read_or_refused(name: str, dtype: str, tmp_path: Path) -> None:
    good = {"codes": "U16", "scales": "F32"}
    size = {"codes": 16, "scales": 32}
    shape = {"codes": [2, 4], "scales": [8]}
    bits = {"F4": 4, "F6": 6, "F8": 8, "U8": 8, "BO": 8, "BF": 16, "F3": 32, "C6": 64, "U1": 16}
    size[name] = 8 * bits.get(dtype[:2], 8) // 8
    head: dict[str, Any] = {}
    position = 0
    for each in ("codes", "scales"):
        kind = dtype if each == name else good[each]
        offsets = [position, position + size[each]]
        head[each] = {"dtype": kind, "shape": shape[each], "data_offsets": offsets}
        position += size[each]
    text = json.dumps(head).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(position))
    fits = {"codes": ("F32", "U16", "U8"), "scales": ("F32",)}
    if dtype in fits[name]:
        assert len(list(read_items(path))) == 1
    else:
        with pytest.raises(ContainerError, match=r"a\.safetensors: (not a readable|codes|scales)"):
            list(read_items(path))


def column(kind: Any, values: list[Any]) -> Any:
    return pyarrow.array(values, kind) if not isinstance(kind, str) else pyarrow.array(values)


def types() -> dict[str, Any]:
    pa = pyarrow
    return {
        "date32": pa.array([1 << 30], pa.date32()),
        "date64": pa.array([1 << 60], pa.date64()),
        "time32": pa.array([5], pa.time32("s")),
        "time64": pa.array([5], pa.time64("ns")),
        "timestamp": pa.array([(1 << 63) - 1], pa.timestamp("ns")),
        "duration": pa.array([1 << 62], pa.duration("ns")),
        "decimal": pa.array([5], pa.decimal128(20)),
        "binary": pa.array([b"\xff\xfe"], pa.binary()),
        "struct": pa.array([{"a": 1, "values": [1]}]),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "bool": pa.array([True]),
        "float": pa.array([1.5]),
        "lists of time64": pa.array([[5]], pa.list_(pa.time64("ns"))),
        "lists of dates": pa.array([[[1 << 30]]], pa.list_(pa.list_(pa.date32()))),
        "lists of structs": pa.array([[{"a": 1}]]),
        "deep lists": pa.array([[[[1]]]]),
    }


@pytest.mark.parametrize("name", ["key", "codes", "scales", "n_q", "hop", "source", "model_sha256"])
@pytest.mark.parametrize("kind", sorted(types()))
def test_columns_of_any_type_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    columns = {"codes": pyarrow.array([[[1, 2]]]), name: types()[kind]}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises(ContainerError, match=rf"a\.parquet: column {name}: .* do not belong there"):
        list(read_items(path))


@pytest.mark.parametrize("name", ["key", "codes", "scales", "hop", "source"])
def test_two_columns_of_one_name_are_refused(name: str, tmp_path: Path) -> None:
    good = {
        "key": pyarrow.array(["a"]),
        "codes": pyarrow.array([[[1, 2]]]),
        "scales": pyarrow.array([[0.5]]),
        "hop": pyarrow.array([320]),
        "source": pyarrow.array(["a.wav"]),
    }
    names = [*good, name]
    table = pyarrow.Table.from_arrays([good[each] for each in names], names=names)
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(ContainerError, match=f"two columns named {name}"):
        list(read_items(path))


@pytest.mark.parametrize("text", ["string", "large_string", "dictionary"])
@pytest.mark.parametrize("lists", ["list_", "large_list"])
def test_the_same_columns_in_other_widths_are_read(text: str, lists: str, tmp_path: Path) -> None:
    pa = pyarrow
    kind = pa.dictionary(pa.int8(), pa.string()) if text == "dictionary" else getattr(pa, text)()
    wide = getattr(pa, lists)
    columns = {
        "key": pa.array(["talk"]).cast(kind),
        "codes": pa.array([[[1, 2], [3, 4]]], wide(wide(pa.int64()))),
        "scales": pa.array([[0.5]], wide(pa.float64())),
        "hop": pa.array([None], pa.null()),
    }
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    [item] = read_items(path)
    assert isinstance(item, TokenItem)
    assert item.key == "talk"
    assert item.codes.tolist() == [[1, 2], [3, 4]]


def constant(path: Path, books: int, frames: int) -> Path:
    flat = pyarrow.array(np.zeros(books * frames, np.uint16))
    inner = pyarrow.ListArray.from_arrays(
        pyarrow.array(np.arange(books + 1, dtype=np.int32) * frames), flat
    )
    codes = pyarrow.ListArray.from_arrays(pyarrow.array([0, books], pyarrow.int32()), inner)
    pyarrow.parquet.write_table(pyarrow.table({"codes": codes}), path, compression="zstd")
    return path


@pytest.mark.slow
def test_runs_of_one_code_are_not_unrolled(tmp_path: Path) -> None:
    path = constant(tmp_path / "a.parquet", 8, 1 << 21)
    assert path.stat().st_size < 100_000
    with pytest.raises(ContainerError, match=r"row group 0, \d+ numbers: unpacks to"):
        list(read_items(path))


def test_values_are_counted_page_by_page(tmp_path: Path) -> None:
    path = constant(tmp_path / "a.parquet", 4, 100_000)
    with path.open("rb") as file:
        [values] = count_values(file)
    assert 400_000 <= values < 400_100


def test_damaged_parquet_headers_never_reach_pyarrow_unchecked(tmp_path: Path) -> None:
    """Asked for a column of a damaged footer, pyarrow ends the process."""
    good = constant(tmp_path / "good.parquet", 2, 100).read_bytes()
    path = tmp_path / "a.parquet"
    generator = np.random.default_rng(3)
    lines = 0
    for _ in range(400):
        data = bytearray(good)
        for _ in range(int(generator.integers(1, 4))):
            data[int(generator.integers(len(data) - 400, len(data)))] = int(generator.integers(256))
        path.write_bytes(data)
        try:
            items = list(read_items(path))
        except ContainerError:
            lines += 1
        else:
            assert all(isinstance(item, TokenItem | BadItem) for item in items)
    assert lines > 50


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"PAR1" + b"\xff" * 8 + b"PAR1", b"PAR1" + b"\x1c" * 40 + b"\x28\0\0\0PAR1"],
)
def test_what_is_no_parquet_file_is_refused(data: bytes) -> None:
    with pytest.raises(ContainerError, match="not a readable Parquet file"):
        count_values(io.BytesIO(data))


# Cuts beside codes


def shar(folder: Path) -> tuple[Path, Path]:
    """A shard of two recordings: its cuts and its codes."""
    codes = write(folder, "shar", [make_item("a"), make_item("b")])
    return codes.with_name("cuts.00000.jsonl.gz"), codes


@pytest.mark.slow
def test_cuts_that_unpack_to_no_end_are_refused(tmp_path: Path) -> None:
    cuts, codes = shar(tmp_path)
    lines = gzip.decompress(cuts.read_bytes()).splitlines()
    long = lines[0][:-1] + b', "x": "' + b" " * (9 << 20) + b'"}'
    cuts.write_bytes(gzip.compress(b"\n".join([long] * 9), 9))
    assert cuts.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ContainerError, match=r"codes\.00000\.tar: .* another cut|unpacks to"):
            list(read_items(codes))
        with pytest.raises(ContainerError, match="unpacks to more than cuts of codes do"):
            SHARD_FORMATS["shar"].keys(cuts)
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[::-1], "a: cuts.00000.jsonl.gz has another cut in its place"),
        (lambda lines: lines[:1], "b: cuts.00000.jsonl.gz has another cut in its place, or none"),
        (lambda lines: [*lines, lines[0]], "has more cuts than there are codes"),
        (lambda lines: [b"[]"], "a line that is no object"),
        (lambda lines: [b"{"], "not a readable file of cuts"),
    ],
)
def test_cuts_of_other_codes_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    cuts, codes = shar(tmp_path)
    lines = gzip.decompress(cuts.read_bytes()).splitlines()
    cuts.write_bytes(gzip.compress(b"\n".join(change(lines))))
    with pytest.raises(ContainerError, match=message):
        list(read_items(codes))


def test_codes_without_their_cuts_are_read(tmp_path: Path) -> None:
    """What the cuts would have said, the axes say: fewer codebooks than frames."""
    cuts, codes = shar(tmp_path)
    cuts.unlink()
    for item in read_items(codes):
        assert isinstance(item, TokenItem)
        reading = Reading(books=3, bins=1024)
        np.testing.assert_array_equal(arranged(item, reading), make_item().codes)


def test_a_line_that_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encodec_cli.tokens.jsonl._MOST_LINE", 700)
    items = [make_item("a"), make_item("b", frames=300), make_item("c")]
    with (tmp_path / "a.jsonl").open("wb") as file:
        shard = SHARD_FORMATS["jsonl"].open([file], Arrangement())
        shard.add(items[0])
        with pytest.raises(ContainerError, match=r"a line of \d+ bytes.* choose another format"):
            shard.add(items[1])
        shard.add(items[2])
        shard.finish()
    assert [item.key for item in read_items(tmp_path / "a.jsonl")] == ["a", "c"]
