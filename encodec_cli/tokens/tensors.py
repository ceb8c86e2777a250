"""One recording per `.safetensors` file: tensors `codes` and `scales`, the rest as metadata."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from encodec_cli.checkpoints.safetensors_bytes import sorted_metadata
from encodec_cli.errors import ContainerError
from encodec_cli.io.text import printable
from encodec_cli.tokens.item import TokenInfo, TokenItem, loose_item, plain_shape

__all__ = ["read_safetensors", "write_safetensors"]

_FLOATS = ("F16", "F32", "F64")
_INTEGERS = ("U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


def write_safetensors(file: BinaryIO, item: TokenItem) -> None:
    """Write `item` to `file`, numbers of the metadata as text. Equal items give equal bytes."""
    tensors = {"codes": np.ascontiguousarray(item.codes, np.uint16)}
    if item.scales is not None:
        tensors["scales"] = np.ascontiguousarray(item.scales, np.float32)
    metadata = {name: str(value) for name, value in item.metadata().items()}
    file.write(sorted_metadata(save(tensors, metadata)))


def read_safetensors(path: Path) -> TokenItem:
    """Read what `write_safetensors` or another program wrote; only `codes` is required.

    Raises:
        ContainerError: no such file, damaged, or tensors that are not what belongs there.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            if "codes" not in names:
                what = "a model" if names else "empty"
                raise ContainerError(f"holds no tensor named codes; is it {what}?")
            _check(file, "codes", _INTEGERS + _FLOATS, "plain ones")
            plain_shape(tuple(file.get_slice("codes").get_shape()))
            codes, scales = file.get_tensor("codes"), None
            if "scales" in names:
                _check(file, "scales", _FLOATS, "fractions")
                scales = file.get_tensor("scales")
            metadata = file.metadata() or {}
    except (SafetensorError, TypeError, OverflowError) as error:
        line = " ".join(str(error).split())[:120]
        raise ContainerError(f"not a readable safetensors file: {line}") from error
    said = metadata.get("n_q")
    n_q: int | str | None = said
    if said is not None and said.isascii() and said.isdigit() and len(said) < 10:
        n_q = int(said)
    return loose_item(path.stem, codes, scales, TokenInfo.from_mapping(metadata), n_q)


def _check(file: Any, name: str, dtypes: tuple[str, ...], what: str) -> None:
    """The numbers' type, before numpy is asked for one that it may not have."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in dtypes:
        raise ContainerError(f"{name}: {printable(str(dtype))[:20]} numbers, not {what}")
