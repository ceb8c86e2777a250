"""Files that torch.save wrote: read without running code, checked before they are believed.

    zip archive           data.pkl, and a file data/KEY with the numbers of each storage
    before torch 1.6      magic number, version, machine, content, keys: five pickles; then for
                          each key its count and numbers

Their pickles go through the machine in `pickles`, not through torch.load, whose machine calls
constructors with any arguments. audiocraft's training checkpoints keep their config as objects of
omegaconf; those become empty objects of this module, and `plain_config` reads what is in them.

Source of both layouts: `torch/serialization.py`.
"""

import io
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from encodec_cli.checkpoints.foreign.pickles import (
    Global,
    Maker,
    PickleFault,
    UnknownGlobal,
    unpickle,
)
from encodec_cli.errors import CheckpointError, ContainerError
from encodec_cli.io.archive import entry_bytes, opened_archive

__all__ = ["load_torch_file", "plain_config", "plain_tensors"]

_MOST_BYTES = 4 << 30
_MOST_PICKLE_BYTES = 64 << 20
_MOST_ENTRIES = 100_000
_MOST_NODES = 100_000
_MOST_DIMENSIONS = 8
_MOST_NUMBER = 1 << 48
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_DTYPES: Mapping[str, torch.dtype] = {
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Double": torch.float64,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}
_OMEGACONF = ("Any", "Integer", "Float", "String", "Boolean")
_ODD_TENSORS = (
    *("sparse_tensor", "sparse_csr_tensor", "nested_tensor", "meta_tensor_no_storage", "qtensor"),
    *("wrapper_subclass", "device_tensor_from_numpy", "device_tensor_from_cpu_tensor", "tensor_v3"),
)


class _Node:
    """Stands for an object of omegaconf: `_content` of a container, or `_val` of a value."""


class _OddTensor:
    """Stands for a tensor that is not plain numbers in strides: sparse, quantized, on meta."""


@dataclass(frozen=True)
class _Storage:
    """Numbers that tensors are views of."""

    key: str
    dtype: torch.dtype
    count: int


def load_torch_file(path: Path) -> Any:
    """The object in `path`: tensors on the CPU, and plain containers of them.

    Raises:
        CheckpointError: damaged, unpacks to far more than its size, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return _load_zip(path) if zipped else _load_legacy(file, path)
    except UnknownGlobal as error:
        line = "it holds Python objects, which could run code; only plain tensors are read"
        if str(error).startswith("omegaconf."):
            line += (
                "; of an audiocraft training checkpoint, make an export with "
                "audiocraft.utils.export.export_encodec and name that"
            )
        raise CheckpointError(f"{path}: not a readable checkpoint: {line}") from error
    except (PickleFault, ContainerError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read: {error.strerror or error}") from error


def _load_zip(path: Path) -> Any:
    size = path.stat().st_size
    with opened_archive(path, _MOST_ENTRIES) as archive:
        entries = archive.NameToInfo
        unpacked = sum(entry.file_size for entry in entries.values())
        if unpacked > min(_MOST_BYTES, 2 * size + (1 << 20)):
            raise CheckpointError(f"{path}: unpacks to {unpacked} bytes; not a checkpoint")
        pickled = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
        if len(pickled) != 1:
            raise PickleFault(f"{len(pickled)} files data.pkl in it, not one")
        root = pickled[0].removesuffix("data.pkl")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise PickleFault("its numbers are big-endian")

        def read(storage: _Storage) -> bytearray:
            return bytearray(entry_bytes(archive, f"{root}data/{storage.key}", unpacked))

        data = entry_bytes(archive, pickled[0], _MOST_PICKLE_BYTES)
        tensors = _Tensors(read)
        return unpickle(io.BytesIO(data), tensors.makers(), tensors.storage)


def _load_legacy(file: BinaryIO, path: Path) -> Any:
    """The numbers come last: tensors are made of empty storages, which are filled then."""
    room = path.stat().st_size
    pickles = _Bounded(file, room)
    if unpickle(pickles, {}) != _LEGACY_MAGIC or unpickle(pickles, {}) != _LEGACY_VERSION:
        raise PickleFault("not a file of torch.save")
    unpickle(pickles, {})

    def empty(storage: _Storage) -> bytearray:
        nonlocal room
        count = storage.count * storage.dtype.itemsize
        room -= count
        if room < 0:
            raise PickleFault("it ends early")
        return bytearray(count)

    tensors = _Tensors(empty)
    content = unpickle(pickles, tensors.makers(), tensors.storage)
    keys = unpickle(pickles, {})
    if type(keys) is not list or set(map(str, keys)) < tensors.loaded.keys():
        raise PickleFault("its list of storages is incomplete")
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        held = tensors.loaded.get(str(key))
        if held is None or held[0].count != count:
            raise PickleFault("a storage of another size than its tensors say")
        if file.readinto(memoryview(held[1])) != len(held[1]):  # type: ignore[attr-defined]
            raise PickleFault("it ends early")
    return content


class _Bounded:
    """Reads no more than is there: for a length that lies, a file's `read` allocates it all."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, self._size - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline(self._size)


class _Tensors:
    """Makes tensors for the pickle machine, of storages that `read` gives the bytes of.

    Attributes:
        loaded: the storages so far, and their bytes, by key.
    """

    def __init__(self, read: Callable[[_Storage], bytearray]) -> None:
        self._read = read
        self.loaded: dict[str, tuple[_Storage, bytearray]] = {}

    def storage(self, identity: Any) -> _Storage:
        """The storage that a pickle names; its numbers are read when a tensor needs them."""
        match identity:
            case (b"storage" | "storage", Global(name=name), str(key), _, int(count), *_):
                kind = name.rpartition(".")[2].removesuffix("Storage")
                if name.startswith("torch.") and kind in _DTYPES and count >= 0:
                    return _Storage(key, _DTYPES[kind], count)
        raise PickleFault("it refers to something that is no storage of numbers")

    def makers(self) -> dict[str, Maker]:
        """What the machine makes of the classes and functions that files of tensors name."""
        return {
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": _first,
            **{f"torch._utils._rebuild_{kind}": _odd for kind in _ODD_TENSORS},
            "torch.serialization._get_layout": _nothing,
            "torch.device": _nothing,
            "torch.Size": tuple,
            "collections.OrderedDict": _ordered,
            "collections.defaultdict": lambda *_: {},
            "_codecs.encode": _encoded,
            "omegaconf.dictconfig.DictConfig": _Node,
            "omegaconf.listconfig.ListConfig": _Node,
            **{f"omegaconf.nodes.{name}Node": _Node for name in _OMEGACONF},
            "omegaconf.base.Metadata": _Node,
            "omegaconf.base.ContainerMetadata": _Node,
        }

    def _tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any
    ) -> "Tensor | _OddTensor":
        if not isinstance(storage, _Storage) or type(size) is not tuple:
            return _OddTensor()
        if type(stride) is not tuple or not len(size) == len(stride) <= _MOST_DIMENSIONS:
            raise PickleFault("a tensor of no shape")
        if not all(type(n) is int and 0 <= n < _MOST_NUMBER for n in (offset, *size, *stride)):
            raise PickleFault("a tensor of no shape")
        if math.prod(size) >= _MOST_NUMBER:
            raise PickleFault("a tensor of no shape")
        spans = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
        if math.prod(size) and offset + sum(spans) >= storage.count:
            raise PickleFault("a tensor beyond its numbers")
        return torch.as_strided(self._numbers(storage), size, stride, offset)

    def _numbers(self, storage: _Storage) -> Tensor:
        if storage.key not in self.loaded:
            self.loaded[storage.key] = storage, self._read(storage)
        kept, data = self.loaded[storage.key]
        if kept != storage or len(data) != storage.count * storage.dtype.itemsize:
            raise PickleFault("a storage of another size than its tensors say")
        if not data:
            return torch.empty(0, dtype=storage.dtype)
        return torch.frombuffer(data, dtype=storage.dtype)


def _first(value: Any, *_: Any) -> Any:
    return value


def _odd(*_: Any) -> _OddTensor:
    return _OddTensor()


def _nothing(*_: Any) -> None:
    return None


def _ordered(*pairs: Any) -> OrderedDict[Any, Any]:
    if pairs:
        raise PickleFault("a mapping made of a list")
    return OrderedDict()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise PickleFault("a text in another encoding")
    return text.encode("latin1")


def plain_config(node: Any) -> Any:
    """A config of omegaconf's, as unpickled here, in plain mappings, lists and values.

    Raises:
        ValueError: it has too many or too deep nodes.
    """
    try:
        return _plain(node, iter(range(_MOST_NODES)))
    except (StopIteration, RecursionError):
        raise ValueError("a config of endless size") from None


def _plain(node: Any, budget: Iterator[int]) -> Any:
    next(budget)
    if isinstance(node, _Node):
        node = vars(node).get("_content", vars(node).get("_val"))
    plain = partial(_plain, budget=budget)
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    return node if isinstance(node, str | int | float | bool | type(None)) else None


def plain_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    """`state` if it is a flat dictionary of ordinary tensors that `path` has the bytes for.

    Raises:
        CheckpointError: not such a dictionary, or more numbers than the file holds.
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor | _OddTensor) for k, v in state.items()
    ):
        raise CheckpointError(f"{path}: not a flat dictionary of tensors, as Meta's .th files are")
    most = 2 * path.stat().st_size + (1 << 20)
    for name, value in state.items():
        if isinstance(value, _OddTensor):
            raise CheckpointError(f"{path}: {name}: not a plain tensor")
        if not value.is_floating_point():
            raise CheckpointError(f"{path}: {name}: holds {value.dtype}, not fp32 or fp16 numbers")
        # Expanded tensors hold more numbers than the file has bytes for.
        if value.numel() * value.element_size() > most:
            raise CheckpointError(f"{path}: {name}: larger than the file; not a checkpoint")
    return dict(state)
