"""One recording per `.safetensors` file: tensors `codes` and `scales`, the rest as metadata.

Numbers, lists and objects of a corpus's columns are JSON text there; null is left out.
"""

from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from encodec_cli.checkpoints.safetensors_bytes import sorted_metadata
from encodec_cli.errors import ContainerError
from encodec_cli.io.text import printable
from encodec_cli.tokens.columns import json_text
from encodec_cli.tokens.item import TokenItem, plain_shape
from encodec_cli.tokens.reading import loose_item
from encodec_cli.tokens.writing import Arrangement, row_of

__all__ = ["read_safetensors", "write_safetensors"]

_FLOATS = ("F16", "F32", "F64")
_INTEGERS = ("U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64")


def write_safetensors(file: BinaryIO, item: TokenItem, arrangement: Arrangement) -> None:
    """Write `item` to `file`, numbers of the metadata as text. Equal items give equal bytes.

    Raises:
        UsageError, ContainerError: see `row_of`.
    """
    row = row_of(item, arrangement)
    tensors: dict[str, NDArray[Any]] = {"codes": row.codes}
    if row.scales is not None:
        tensors["scales"] = row.scales
    metadata = {name: str(value) for name, value in row.metadata.items()}
    for name, value in row.columns.items():
        if value is not None:
            metadata[name] = value if isinstance(value, str) else json_text(value)
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
    return loose_item(path.stem, codes, scales, metadata)


def _check(file: Any, name: str, dtypes: tuple[str, ...], what: str) -> None:
    """The numbers' type, before numpy is asked for one that it may not have."""
    dtype = file.get_slice(name).get_dtype()
    if dtype not in dtypes:
        raise ContainerError(f"{name}: {printable(str(dtype))[:20]} numbers, not {what}")
