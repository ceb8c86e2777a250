"""The header of format 0, also of its look-alikes.

Meta's program ignores keys that it does not know. Under one of them, `encodec_cli`, files that keep
their source hold an object with format 1's keys `sr`, `sc`, `sn`, `t` and `h`.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from encodec_cli.container.header import Header, v0_header
from encodec_cli.container.sniff import MAGIC, PREFIX_BYTES
from encodec_cli.container.wire import ByteSource
from encodec_cli.errors import ContainerError, parameter
from encodec_cli.io.limits import MAX_RATE_HZ, MIN_RATE_HZ
from encodec_cli.io.text import shown

__all__ = ["Legacy", "V0Head", "read_v0_head", "v0_prefix"]

Legacy = Literal["encodec-cpp", "encodec-stream"]
"""Programs whose files resemble format 0 and are read only when asked for."""

_RUST_KEYS = ("acv", "fp", "cs", "cst", "fl", "lmh")
_STREAM_KEY = "sr"
_OURS = "encodec_cli"
_KEPT_KEYS = {
    "source_sample_rate": "sr",
    "source_channels": "sc",
    "source_num_samples": "sn",
    "tags": "t",
    "model_sha256": "h",
}


@dataclass(frozen=True)
class V0Head:
    """What the start of a file says.

    Attributes:
        header: of the codes.
        warnings: what is suspicious about it.
        play_rate: Hz at which the decoded samples are to be played; the model's, but for files of
            Encodec-Stream.
    """

    header: Header
    warnings: tuple[str, ...]
    play_rate: int


def v0_prefix(header: Header, num_samples: int, source_num_samples: int | None) -> bytes:
    """Everything before the codes.

    Raises:
        ContainerError: the tags make the JSON longer than 64 KiB.
    """
    content: dict[str, Any] = {
        "m": header.model,
        "al": num_samples,
        "nc": header.codebooks,
        "lm": header.lm,
    }
    if header.keep_source:
        kept = replace(header, num_samples=None, source_num_samples=source_num_samples)
        values = {key: getattr(kept, name) for name, key in _KEPT_KEYS.items()}
        content[_OURS] = {key: value for key, value in values.items() if value}
    # Separators exactly as Meta's program writes them.
    text = json.dumps(content).encode()
    if len(text) > 1 << 16:
        raise ContainerError(f"header takes {len(text)} bytes, at most 65536 fit; shorten the tags")
    return MAGIC + struct.pack(">BI", 0, len(text)) + text


def read_v0_head(source: ByteSource, json_bytes: int, legacy: Legacy | None) -> V0Head:
    """Consume and check the header.

    Raises:
        ContainerError: truncated, damaged, or of another program than `legacy` names.
    """
    data = source.peek(PREFIX_BYTES + json_bytes)
    if len(data) < PREFIX_BYTES + json_bytes:
        raise ContainerError(f"truncated: the file ends after {len(data)} bytes, inside its header")
    try:
        content = json.loads(data[PREFIX_BYTES:].decode())
    except (ValueError, RecursionError) as error:
        raise ContainerError(
            f"header (bytes {PREFIX_BYTES} to {len(data) - 1}) is not JSON; the file is damaged"
        ) from error
    if not isinstance(content, dict):
        raise ContainerError("header is not a JSON object; the file is damaged")
    _refuse_foreign(content, legacy)
    missing = [key for key in ("m", "al", "nc", "lm") if key not in content]
    if missing:
        raise ContainerError(f"header lacks {', '.join(missing)}; the file is damaged")
    if type(content["lm"]) is not bool:
        raise ContainerError("header: lm must be true or false; the file is damaged")
    if content["lm"] and legacy is not None:
        raise ContainerError(
            f"{legacy} files with language-model codes cannot be read; decode it with the program "
            "that wrote it"
        )
    if content["al"] == 0:
        raise ContainerError("the file holds no audio: its header says 0 samples")
    if content["al"] is None or not isinstance(content["m"], str):
        raise ContainerError("header: al must be an integer and m a text; the file is damaged")
    header = v0_header(content["m"], codebooks=content["nc"], num_samples=content["al"])
    header = replace(header, lm=content["lm"], **_kept(content))
    source.skip(len(data))
    warnings = []
    if list(content) == ["al", "lm", "m", "nc"] and header.codebooks == 16 and legacy is None:
        warnings.append(
            "the header looks like one of encodec.cpp, which orders codes differently; "
            "if the audio is noise, encodec-cli decode --legacy encodec-cpp reads it"
        )
    return V0Head(header, tuple(warnings), _play_rate(content, header, legacy))


def _kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the header that Meta's program does not know."""
    ours = content.get(_OURS)
    if ours is None:
        return {}
    if not isinstance(ours, dict):
        raise ContainerError(f"header: {_OURS} must be an object; the file is damaged")
    values = {name: ours[key] for name, key in _KEPT_KEYS.items() if key in ours}
    return {"keep_source": True, **values}


def _play_rate(content: Mapping[str, Any], header: Header, legacy: Legacy | None) -> int:
    rate = content.get(_STREAM_KEY) if legacy == "encodec-stream" else None
    if rate is None:
        return header.sample_rate
    if type(rate) is not int or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise ContainerError(
            f"header: {_STREAM_KEY} must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {shown(rate)}; "
            "the file is damaged"
        )
    return rate


def _refuse_foreign(content: Mapping[str, Any], legacy: Legacy | None) -> None:
    rust = [key for key in _RUST_KEYS if key in content]
    if rust:
        raise ContainerError(
            f"written by encodec-rs (header key {rust[0]}), whose codes only it can read; "
            "decode it there"
        )
    if _STREAM_KEY in content and legacy != "encodec-stream":
        raise ContainerError(
            f"written by Encodec-Stream (header key {_STREAM_KEY}), which plays at another rate; "
            f"decode it with {parameter('legacy', 'encodec-stream')}"
        )
