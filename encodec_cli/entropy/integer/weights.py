"""The numbers of a code model: what there is, within which bounds, and their hash.

Every layer is a product of whole numbers, a bias, and a shift to the right:

    product(x)[o] = (sum over i of weight[o, i] * x[i]  + bias[o] + half) >> shift[o]
    half          = 1 << (shift[o] - 1), or 0 if shift[o] is 0

`check` makes sure that none of these sums can reach 2 ** 24 whatever the inputs, so float32 holds
each exactly, in any order of additions.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encodec_cli.entropy.integer.sizes import ACTIVATION_LIMIT, EXACT, WEIGHT_LIMIT, Sizes
from encodec_cli.errors import CheckpointError

__all__ = [
    "Arrays",
    "array_shapes",
    "canonical_hash",
    "check_arrays",
    "sizes_from_json",
    "sizes_json",
]

Arrays = Mapping[str, NDArray[np.integer[Any]]]

_VERSION = 1
_MOST_SHIFT = 22


def array_shapes(s: Sizes) -> dict[str, tuple[type[np.integer[Any]], tuple[int, ...]]]:
    """Name of every array, its type and its shape."""
    books, blocks, tags = s.codebooks, len(s.dilations), len(s.trained)
    return {
        # What a code adds to the inputs: table << shift; the sums, >> inputs.shift, go on.
        "tables": (np.int8, (books, s.bins, s.inputs)),
        "tables.shift": (np.uint8, (books,)),
        "inputs.shift": (np.uint8, (1,)),
        # The context: x = input(inputs of the frame before) + tag, then block by block.
        "tags": (np.int32, (tags, s.channels)),
        "input.weight": (np.int8, (s.channels, s.inputs)),
        "input.bias": (np.int32, (s.channels,)),
        "input.shift": (np.uint8, (s.channels,)),
        "blocks.shift": (np.uint8, (blocks,)),
        "first.weight": (np.int8, (blocks, s.channels, 2 * s.channels)),
        "first.bias": (np.int32, (blocks, s.channels)),
        "first.shift": (np.uint8, (blocks, s.channels)),
        "second.weight": (np.int8, (blocks, s.channels, s.channels)),
        "second.bias": (np.int32, (blocks, s.channels)),
        "second.shift": (np.uint8, (blocks, s.channels)),
        "context.shift": (np.uint8, (1,)),
        # Each codebook: context and inputs to what the logits are scalar products of.
        "mix.weight": (np.int8, (books, s.hidden, s.channels + s.inputs)),
        "mix.bias": (np.int32, (books, s.hidden)),
        "mix.shift": (np.uint8, (books, s.hidden)),
        "out.weight": (np.int8, (books, s.outputs, s.hidden)),
        "out.shift": (np.uint8, (books, s.outputs)),
        "logits.weight": (np.int8, (books, s.bins, s.outputs)),
        "logits.bias": (np.int32, (books, s.bins)),
        "logits.shift": (np.uint8, (books,)),
    }


def check_arrays(arrays: Arrays, sizes: Sizes, where: str) -> None:
    """Names, types, shapes, and the bound on every sum.

    Raises:
        CheckpointError: what is wrong, with `where`.
    """
    expected = array_shapes(sizes)
    if arrays.keys() != expected.keys():
        names = ", ".join(sorted(arrays.keys() ^ expected.keys())[:4])
        raise CheckpointError(f"{where}: missing or left over: {names}")
    for name, (dtype, shape) in expected.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            raise CheckpointError(
                f"{where}: {name}: {array.dtype} {list(array.shape)}, not "
                f"{np.dtype(dtype)} {list(shape)}"
            )
        if dtype == np.uint8 and int(array.max()) > _MOST_SHIFT:
            raise CheckpointError(f"{where}: {name}: shifts are 0 to {_MOST_SHIFT}")
        if dtype == np.int8 and int(array.min()) < -WEIGHT_LIMIT:
            raise CheckpointError(f"{where}: {name}: weights are -{WEIGHT_LIMIT} to {WEIGHT_LIMIT}")
    for name, largest in _largest_sums(arrays).items():
        if largest >= EXACT:
            raise CheckpointError(f"{where}: {name}: a sum can reach {largest}, past 2 ** 24")


def canonical_hash(arrays: Arrays, sizes: Sizes) -> str:
    """SHA-256, hexadecimal, of all that decides how codes are written.

    It is that of `encodec-cli-codes 1`, a line feed, `sizes_json`, a line feed, and the arrays in
    the order of their names, each as its name, a line feed, and its numbers, little-endian.
    """
    digest = hashlib.sha256(f"encodec-cli-codes {_VERSION}\n{sizes_json(sizes)}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\n".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def sizes_json(sizes: Sizes) -> str:
    """`sizes` as JSON, always the same."""
    return json.dumps(asdict(sizes), sort_keys=True, separators=(",", ":"))


def sizes_from_json(text: str, where: str) -> Sizes:
    """Inverse of `sizes_json`.

    Raises:
        CheckpointError: not that, or out of range.
    """
    try:
        values = json.loads(text)
        names = {field.name for field in fields(Sizes)}
        if not isinstance(values, dict) or values.keys() != names:
            raise ValueError("not " + ", ".join(sorted(names)))
        whole: dict[str, Any] = {
            name: tuple(_whole(v) for v in value) if isinstance(value, list) else _whole(value)
            for name, value in values.items()
        }
        return Sizes(**whole)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{where}: damaged sizes: {error}") from error


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r:.40} is no whole number")
    return value


def _largest_sums(arrays: Arrays) -> dict[str, int]:
    """The largest magnitude that each sum can have on its way, shifts' halves included."""
    tables = np.abs(arrays["tables"].astype(np.int64)).max(axis=1)  # [K, I]
    tables <<= arrays["tables.shift"].astype(np.int64)[:, None]
    sums = {"tables": tables.sum(axis=0) + _half(arrays["inputs.shift"])}
    products = {name: _product_sums(arrays, name) for name in ("input", "first", "second")}
    sums |= products
    sums |= {name: _product_sums(arrays, name) for name in ("mix", "out")}
    # The largest logit minus each other is twice as large.
    logits = (
        _product_sums(arrays, "logits") + (1 << arrays["logits.shift"].astype(np.int64))[:, None]
    )
    sums["logits"] = 2 * logits
    # The stream of the context adds up what the products give, one more for rounding up.
    stream = np.abs(arrays["tags"].astype(np.int64)).max(axis=0)
    stream = stream + (products["input"] >> arrays["input.shift"]) + 1
    stream = stream + ((products["second"] >> arrays["second.shift"]) + 1).sum(axis=0)
    sums["blocks"] = stream + _half(arrays["blocks.shift"]).max()
    sums["context"] = stream + _half(arrays["context.shift"])
    return {name: int(found.max()) for name, found in sums.items()}


def _product_sums(arrays: Arrays, name: str) -> NDArray[np.int64]:
    # The magnitude of a checked weight is again one of its type.
    size = np.abs(arrays[f"{name}.weight"]).sum(axis=-1, dtype=np.int64) * ACTIVATION_LIMIT
    if f"{name}.bias" in arrays:
        size = size + np.abs(arrays[f"{name}.bias"].astype(np.int64))
    shift = arrays[f"{name}.shift"]
    found: NDArray[np.int64] = size + _half(
        shift.reshape(shift.shape + (1,) * (size.ndim - shift.ndim))
    )
    return found


def _half(shift: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """What rounds a shift to the right to the nearest: half of its step."""
    found: NDArray[np.int64] = (1 << shift.astype(np.int64)) >> 1
    return found
