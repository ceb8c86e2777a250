"""What a `.th` file may make the pickle machine do, and how often: little, whatever it says."""

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from encodec_cli.checkpoints.foreign import torch_file
from encodec_cli.checkpoints.foreign.pickles import PickleFault, UnknownGlobal, unpickle
from encodec_cli.checkpoints.foreign.torch_file import load_torch_file
from encodec_cli.errors import CheckpointError

LEGACY = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def doubled(times: int, *, tuples: bool) -> bytes:
    """A value that holds one before it twice, `times` times over."""
    return b"\x80\x02]q\x00" + (b"h\x00\x86q\x00" if tuples else b"]h\x00ah\x00aq\x00") * times


def call(function: str, argument: bytes) -> bytes:
    return f"c{function.replace('.', chr(10), 1)}\n".encode() + argument + b"\x85R"


def zipped(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/byteorder", b"little")
        archive.writestr("a/data.pkl", data)
    return path


def legacy(path: Path, data: bytes) -> Path:
    path.write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in LEGACY) + data)
    return path


HUGE = b"\x8a\x05" + struct.pack("<Q", 3_000_000_000)[:5]
CALLS = [
    *(f"builtins.{name}" for name in ("str", "repr", "bytes", "bytearray", "list", "tuple", "set")),
    *(f"builtins.{name}" for name in ("dict", "int", "float", "range", "eval", "frozenset")),
    *(f"__builtin__.{name}" for name in ("str", "bytearray", "long", "unicode", "xrange")),
    *("collections.Counter", "collections.OrderedDict", "collections.deque", "copyreg.__newobj__"),
    *("torch.empty", "torch.zeros", "torch.Tensor", "torch.storage.UntypedStorage", "os.system"),
    *("torch.FloatStorage", "torch.nn.Parameter", "numpy.zeros", "operator.mul", "re.compile"),
]


@pytest.mark.parametrize("place", [zipped, legacy])
@pytest.mark.parametrize("function", CALLS)
def test_nothing_is_called_that_tensors_do_not_need(
    function: str, place: Callable[[Path, bytes], Path], tmp_path: Path
) -> None:
    for argument in (HUGE, doubled(40, tuples=False)[2:], text("id")):
        path = place(tmp_path / "evil.th", b"\x80\x02" + call(function, argument) + b".")
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError, match=r"evil\.th: not a readable checkpoint"):
                load_torch_file(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize("key", ["tuples", "lists"])
@pytest.mark.parametrize("many", [False, True])
def test_nested_keys_are_not_hashed(key: str, many: bool) -> None:
    """A tuple of tuples of tuples ... is hashed as often as it occurs: 2^60 times."""
    value = doubled(60, tuples=True).replace(b"]q", b")q") if key == "tuples" else b"]"
    data = b"}" + (b"(" if many else b"") + value + b"N" + (b"u" if many else b"s") + b"."
    with pytest.raises(PickleFault, match="a key that is neither text nor a number"):
        unpickle(io.BytesIO(data), {})


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"N" * 1_100_000 + b".",
        b"]q\x00" + b"h\x00a" * 600_000 + b".",
        b"(" * 1_100_000,
    ],
    ids=["values", "gets", "marks"],
)
def test_instructions_are_counted(data: bytes) -> None:
    with pytest.raises(PickleFault, match="more than 1000000 instructions"):
        unpickle(io.BytesIO(data), {})


@pytest.mark.parametrize(
    "data",
    [
        b"X\xff\xff\xff\xff" + b"a" * 10,
        b"B\xff\xff\xff\xff" + b"a" * 10,
        b"\x8e" + b"\xff" * 7 + b"\x7f" + b"a",
        b"\x8d" + b"\xff" * 8 + b"a",
        b"\x96" + b"\xff" * 7 + b"\x0f" + b"a",
        b"\x8b\xff\xff\xff\x7f1",
        b"Nr\xff\xff\xff\xff.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"L" + b"9" * 100_000 + b"L\n.",
        b"\x8a\xff" + b"\x7f" * 255 + b".",
    ],
)
def test_lengths_that_lie_cost_nothing(data: bytes, tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "zip.th", data), legacy(tmp_path / "legacy.th", data)):
        tracemalloc.start()
        try:
            if data.startswith(b"N") and path.stem == "zip":
                assert load_torch_file(path) is None
            else:
                with pytest.raises(CheckpointError, match="not a readable checkpoint"):
                    load_torch_file(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b".", b"N", b"R.", b"a.", b"t.", b"NNa.", b"N(NNu.", b"(R.", b"h\x07.", b"NNR."),
        *(
            b"\x91.",
            b"}(NNNu.",
            b"Nb.",
            b"}}b.",
            b"\x8c\x01a\x8c\x01bR.",
            b"NQ.",
            b"cos\nsystem\n}b.",
            b"\xff",
        ),
    ],
)
def test_damaged_pickles_are_one_kind_of_error(data: bytes) -> None:
    with pytest.raises(PickleFault):
        unpickle(io.BytesIO(data), {})


def test_classes_without_a_maker_are_named() -> None:
    data = b"cos\nsystem\nX\x02\x00\x00\x00id\x85R."
    with pytest.raises(UnknownGlobal, match=r"os\.system"):
        unpickle(io.BytesIO(data), {})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_torch_saves_is_read_as_torch_reads_it(
    protocol: int, new: bool, tmp_path: Path
) -> None:
    base = torch.arange(24.0)
    content = {
        "a": base.reshape(2, 3, 4),
        "view": base.reshape(4, 6)[1:, ::2].t(),
        "half": torch.randn(5).half(),
        "bf16": torch.randn(3, 3).bfloat16(),
        "long": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "more": [1, 2.5, None, True, "text", (b"bytes", -3), OrderedDict(x=torch.ones(1))],
    }
    path = tmp_path / "content.th"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)

    ours, theirs = load_torch_file(path), torch.load(path, weights_only=False)

    assert str(ours) == str(theirs).replace(", requires_grad=True", "").replace(
        "Parameter containing:\n", ""
    )
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(ours[name], value.detach())
            assert ours[name].dtype == value.dtype
            assert ours[name].stride() == value.stride()


def tensor(key: str = "0", count: int = 4, **changes: Any) -> bytes:
    """The pickle of a tensor of fp32 numbers."""
    view = {"offset": 0, "size": (4,), "stride": (1,)} | changes
    head = b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
    storage = b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + pickled(count) + b"tQ"
    shape = b"".join(map(pickled, (view["offset"], view["size"], view["stride"])))
    return head + storage + shape + b"\x89}tR"


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1].replace(b"q\x00", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tensor(count=1 << 40), "another size"),
        (tensor(count=5), "another size"),
        (tensor(count=-1), "no storage"),
        (tensor("9"), "9"),
        (tensor("../data.pkl"), "data"),
        (tensor(offset=1), "beyond its numbers"),
        (tensor(offset=-1), "no shape"),
        (tensor(size=(5,)), "beyond its numbers"),
        (tensor(size=(1 << 40,), stride=(0,)), "larger than the file"),
        (tensor(size=(1 << 31, 1 << 31), stride=(0, 0)), "no shape"),
        (tensor(size=(True,)), "no shape"),
        (tensor(size=(1.0,)), "no shape"),
        (tensor(size=(1,) * 9, stride=(1,) * 9), "no shape"),
        (tensor(stride=()), "no shape"),
        (tensor(stride=(-1,)), "no shape"),
    ],
)
def test_tensors_beyond_their_numbers_are_refused(
    data: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.th"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}" + text("x") + data + b"s.")
        archive.writestr("a/data/0", struct.pack("<4f", 1, 2, 3, 4))
    with pytest.raises(CheckpointError, match=message):
        torch_file.plain_tensors(load_torch_file(path), path)


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> Path:
    """`path` with `value` at `offset` of its last record that starts with `signature`."""
    data = bytearray(path.read_bytes())
    at = data.rindex(signature) + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("signature", "offset", "value"),
    [
        (b"PK\x05\x06", 12, b"\xff\xff\xff\x7f"),
        (b"PK\x05\x06", 16, b"\xff\xff\xff\xff"),
        (b"PK\x01\x02", 6, struct.pack("<H", 90)),
        (b"PK\x01\x02", 8, b"\x01\x00"),
        (b"PK\x01\x02", 10, b"\x63\x00"),
        (b"PK\x01\x02", 10, b"\x0e\x00"),
        (b"PK\x01\x02", 24, b"\xff\xff\xff\xff"),
        (b"PK\x01\x02", 42, b"\xff\xff\xff\x7f"),
        (b"PK\x03\x04", 0, b"PK\x03\x05"),
    ],
)
def test_archives_that_claim_odd_things_are_refused(
    signature: bytes, offset: int, value: bytes, tmp_path: Path
) -> None:
    path = patched(zipped(tmp_path / "odd.th", b"\x80\x02N."), signature, offset, value)
    with pytest.raises(CheckpointError, match=r"odd\.th: (not a readable checkpoint|unpacks to)"):
        load_torch_file(path)


def test_an_archive_of_several_disks_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "disks.th", b"\x80\x02N.")
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 1, 0, 3)
    path.write_bytes(data[:at] + b"\0" * 56 + locator + data[at:])
    with pytest.raises(CheckpointError, match="damaged archive: zipfiles that span multiple disks"):
        load_torch_file(path)


def test_a_list_of_contents_larger_than_the_file_needs_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.th"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *[20, 20, 0, 0, 0, 0, 0, 0, 0, 1], *[0] * 6)
    path.write_bytes(
        b"PK\x03\x04"
        + (entry + b"a") * 400_000
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, 400_000 * 47, 4, 0)
    )
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="a list of contents of 18800000 bytes"):
            load_torch_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.th"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02N.")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", b"\x80\x02N.")
    with pytest.raises(CheckpointError, match="two files inside have one name"):
        load_torch_file(path)
