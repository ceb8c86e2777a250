"""Safetensors files that are the same bytes whenever they hold the same."""

import json

__all__ = ["sorted_metadata"]


def sorted_metadata(data: bytes) -> bytes:
    """The safetensors file `data` with its metadata in order.

    safetensors writes them in a random one, but files are told apart by their SHA-256: the same
    content saved twice has to be the same bytes.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers after it start on a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[end:]
