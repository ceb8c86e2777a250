"""Ways to spoil a file: anywhere, or inside its structure with lengths and checksums put right."""

import gzip
import io
import json
import random
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Mutator = Callable[[random.Random, bytes], bytes]

_SIZES = [0, 1, 2, 7, 8, 127, 128, 255, 256, 4095, 4096, 32767, 65535, 1 << 20, 1 << 24]
_HUGE = [(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 48, (1 << 63) - 1, 1 << 63, 10**40]
VALUES: list[Any] = [
    *_SIZES, *_HUGE, *(-n for n in _SIZES[1:4] + _HUGE), None, True, False, "", "x", "a" * 300, [],
    {}, [1], [[1]], 0.5, -1.5, 1e308, 5e-324, 1.0, [1] * 3000, "\u202e\x1b", {"a": {"b": {}}},
]  # fmt: skip


def anywhere(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, put in, taken out, doubled, or cut off."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = (
            rng.randrange(len(out) + 1) if rng.random() < 0.7 else min(rng.randrange(200), len(out))
        )
        how = rng.randrange(7)
        if how == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how == 2:
            value = rng.choice(_SIZES + _HUGE) & (1 << 64) - 1
            width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
            out[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, order)  # type: ignore[arg-type]
        elif how == 3:
            del out[at : at + rng.choice((1, 2, 4, 64, 1000))]
        elif how == 4:
            out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 64)))
        elif how == 5:
            length = rng.choice((1, 8, 64, 600))
            out[at:at] = out[at : at + length] * rng.choice((1, 2, 20))
        else:
            del out[at:]
    return bytes(out)


def json_value(rng: random.Random, value: Any) -> Any:
    """`value`, read from JSON, with one thing in it changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if how < 0.2:
            return value | {rng.choice(("x", "", key.upper(), key + " ")): rng.choice(VALUES)}
        return value | {key: json_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], json_value(rng, value[at]), *value[at + 1 :]] * rng.choice((1, 1, 50))
    if isinstance(value, str) and value.startswith("{"):  # JSON inside JSON
        return json.dumps(json_value(rng, json.loads(value)))
    return rng.choice(VALUES)


def several(*mutators: Mutator) -> Mutator:
    """One of `mutators`, for each case anew."""
    return lambda rng, data: rng.choice(mutators)(rng, data)


def version1_header(rng: random.Random, data: bytes) -> bytes:
    """A version 1 header that says something else, its checksum right."""
    (length,) = struct.unpack(">I", data[5:9])
    content = json_value(rng, json.loads(data[9 : 9 + length]))
    text = json.dumps(content, separators=(",", ":")).encode()
    head = data[:5] + struct.pack(">I", len(text)) + text
    return head + struct.pack(">I", zlib.crc32(head)) + data[13 + length :]


def version1_records(rng: random.Random, data: bytes) -> bytes:
    """Records of a version 1 file changed, moved and repeated, their checksums right."""
    (length,) = struct.unpack(">I", data[5:9])
    head, rest = data[: 13 + length], data[13 + length :]
    records, position = [], 0
    while position + 8 < len(rest) and rest[position] in (0, 1):
        size, at = 0, position + 1
        for _ in range(2):
            size, shift = 0, 0
            while True:
                size |= (rest[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if rest[at - 1] < 0x80:
                    break
        records.append(rest[position : at + size])
        position = at + size + 4
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(records))
        how = rng.randrange(5)
        if how == 0:
            records[at] = anywhere(rng, records[at]) or b"\0"
        elif how == 1:
            records[at:at] = [records[at]] * rng.choice((1, 3, 40))
        elif how == 2 and len(records) > 1:
            del records[at]
        elif how == 3:
            records[at] = records[at][: rng.choice((3, 5))]
        else:
            records[at] = b"\x00" + records[at][1:]
    step = rng.choice((1, 1, 1, 2, 1000))
    out = bytearray(head)
    for number, record in enumerate(records):
        index = number * step if rng.random() < 0.95 else rng.choice(_SIZES)
        out += record + struct.pack(">I", zlib.crc32(record, index))
    return bytes(out) + rest[-8:]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `data[at:]` and the position after it."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def version2_header(rng: random.Random, data: bytes) -> bytes:
    """The body of a version 2 file's header changed, its length and checksum right."""
    length, start = _varint(data, 5)
    body, rest = data[start : start + length], data[start + length + 4 :]
    if rng.random() < 0.5:  # a number in place of another
        at = rng.randrange(len(body))
        body = body[:at] + _as_varint(abs(rng.choice(_SIZES + _HUGE[:6]))) + body[at + 1 :]
    else:
        body = anywhere(rng, body)
    head = data[:5] + _as_varint(len(body)) + body
    return head + struct.pack(">I", zlib.crc32(head)) + rest


def version2_records(rng: random.Random, data: bytes) -> bytes:
    """Records of a version 2 file changed, moved and repeated, their checksums right."""
    length, start = _varint(data, 5)
    head, rest = data[: start + length + 4], data[start + length + 4 :]
    records: list[tuple[int, int | None, bytes]] = []  # kind, frames if short, payload
    position = 0
    while position + 5 < len(rest):
        size, at = _varint(rest, position)
        frames = None
        if size & 4:
            frames, at = _varint(rest, at)
        records.append((size & 3, frames, rest[at : at + (size >> 3)]))
        position = at + (size >> 3) + 4
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(records))
        kind, frames, payload = records[at]
        how = rng.randrange(6)
        if how == 0:
            records[at] = kind, frames, anywhere(rng, payload)
        elif how == 1:
            records[at:at] = [records[at]] * rng.choice((1, 3, 40))
        elif how == 2 and len(records) > 1:
            del records[at]
        elif how == 3:
            records[at] = rng.randrange(4), frames, payload
        elif how == 4:
            records[at] = kind, rng.choice((None, 0, 1, 3, 79, 4095, 1 << 40)), payload
        else:
            records[at] = kind, frames, payload[: rng.choice((0, 1, 2))]
    step = rng.choice((1, 1, 1, 2, 1000))
    out = bytearray(head)
    for number, (kind, frames, payload) in enumerate(records):
        index = number * step if rng.random() < 0.95 else rng.choice(_SIZES)
        record = _as_varint(len(payload) << 3 | (frames is not None) << 2 | kind)
        record += (b"" if frames is None else _as_varint(frames)) + payload
        out += record + struct.pack(">I", zlib.crc32(record, index))
    return bytes(out) + rest[-4:]


def version0_header(rng: random.Random, data: bytes) -> bytes:
    (length,) = struct.unpack(">I", data[5:9])
    text = json.dumps(json_value(rng, json.loads(data[9 : 9 + length]))).encode()
    return data[:5] + struct.pack(">I", len(text)) + text + data[9 + length :]


def safetensors_header(rng: random.Random, data: bytes) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    text = json.dumps(json_value(rng, json.loads(data[8 : 8 + length]))).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def zip_entry(inner: Mutator) -> Mutator:
    """One file inside a zip archive changed by `inner`; lengths and checksums are right."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            names = old.namelist()
            weights = [20 if name.endswith((".pkl", "codes.npy")) else 1 for name in names]
            [victim] = rng.choices(names, weights)
            for name in names:
                content = old.read(name)
                kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
                new.writestr(name, inner(rng, content) if name == victim else content, kind)
        return out.getvalue()

    return mutate


def npy_header(rng: random.Random, data: bytes) -> bytes:
    """A .npy file with another shape or type."""
    if not data.startswith(b"\x93NUMPY"):
        return anywhere(rng, data)
    (length,) = struct.unpack("<H", data[8:10])
    text = data[10 : 10 + length].decode("latin1")
    sizes = (*_SIZES, *_HUGE, -1, "True", "None", "1.5", "'x'", "(1,)")
    numbers = ", ".join(str(rng.choice(sizes)) for _ in range(rng.randrange(4)))
    types = ("'<u2'", "'|O'", "'<i8'", "'<f8'", "'<U9'", "'<M8[s]'", "'|V3'", "'>i4'", "('<u2', 3)")
    if rng.random() < 0.6:
        text = re.sub(r"\([^)]*\)", lambda _: f"({numbers},)", text)
    if rng.random() < 0.4:
        text = re.sub(r"'descr': '[^']*'", f"'descr': {rng.choice(types)}", text)
    if rng.random() < 0.2:
        text = anywhere(rng, text.encode("latin1")).decode("latin1")
    head = text.encode("latin1")[:60_000]
    return data[:8] + struct.pack("<H", len(head)) + head + data[10 + length :]


_OPERATIONS = [
    bytes([code]) for code in b"().02]}abcehijlopqrstu\x80\x81\x85\x86\x87\x88\x8a\x94RNKMJXBQ"
]
_CALLS = [
    f"c{module}\n{name}\n".encode()
    for module, name in (
        ("builtins", "str"), ("builtins", "bytearray"), ("builtins", "list"), ("os", "system"),
        ("collections", "OrderedDict"), ("collections", "Counter"), ("collections", "defaultdict"),
        ("torch._utils", "_rebuild_tensor_v2"), ("torch", "FloatStorage"), ("torch", "Size"),
        ("torch._utils", "_rebuild_sparse_tensor"), ("omegaconf.dictconfig", "DictConfig"),
        ("_codecs", "encode"), ("torch._utils", "_rebuild_parameter"), ("torch", "device"),
    )
]  # fmt: skip


def pickle_operations(rng: random.Random, data: bytes) -> bytes:
    """Instructions put into a pickle, or one in place of another."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 6))):
        at = rng.randrange(2, max(3, len(out)))
        part = rng.choice((rng.choice(_OPERATIONS), rng.choice(_CALLS), b"]h\x00h\x00e" * 30))
        part *= rng.choice((1, 1, 1, 30))
        out[at : at + rng.choice((0, 1, 1, len(part)))] = part
    return bytes(out)


def tar_headers(rng: random.Random, data: bytes) -> bytes:
    """Headers of a tar file changed, their checksums right."""
    out = bytearray(data)
    starts = [at for at in range(0, len(out) - 511, 512) if out[at + 257 : at + 262] == b"ustar"]
    for at in rng.sample(starts, min(len(starts), rng.choice((1, 1, 2)))):
        header = bytearray(out[at : at + 512])
        field, width = rng.choice(((0, 100), (124, 12), (156, 1), (345, 155), (100, 8)))
        header[field : field + width] = anywhere(rng, bytes(header[field : field + width]))[
            :width
        ].ljust(width, b"\0")
        if rng.random() < 0.3:
            header[156:157] = rng.choice((b"L", b"x", b"2", b"5", b"S", b"g", b"0"))
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % (sum(header) & 0o777777)
        out[at : at + 512] = header
    return bytes(out)


_TOKENS = [
    "&a ", "*a", "!!timestamp x", "!!int ''", "!!bool x", "<<: *a", "[" * 40, "{" * 40, "- " * 40,
    "9" * 400, "1e308", ".nan", ".inf", "-.inf", "0x" + "f" * 99, "1:1:1:1", "2001-99-99", "~",
    "[1, 1, 1]", "{}", "''", '"\\x1b"', "%YAML 1.2", "---", "...", "!foo x", "true", "-1", "0",
    "\t", "\0", "\u202e", "x: ", "a: &b [*b]", "Module", "? ",
    "[" + "1," * 3000 + "1]", "1.7976931348623157e308",
]  # fmt: skip


def arrangement_words(rng: random.Random, data: bytes) -> bytes:
    """Words `name=value` of texts in JSON, as `codes_arrangement` has them, replaced."""
    number = str(rng.choice(_SIZES + _HUGE + [-1, -1024])).encode()
    words = [b"", b"=", b"flat=books", b"flat=frames", b"layout=TK", b"pattern=delay", b"special=1"]
    words += [name + number for name in (b"bins=", b"offset=", b"separator=", b"special=")]
    word = rng.choice(words)
    return re.sub(rb"\b[a-z]+=[^\s\"]*", lambda old: rng.choice((old[0], word)), data)


def gzipped(inner: Mutator) -> Mutator:
    """What a gzip file holds changed by `inner`; its checksum is right."""
    return lambda rng, data: gzip.compress(inner(rng, gzip.decompress(data)), mtime=0)


def yaml_tokens(rng: random.Random, data: bytes) -> bytes:
    """Values, lines and keys of a YAML file replaced, put in and doubled."""
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        how = rng.randrange(5)
        if how < 3 and colon:
            lines[at] = f"{key}: {rng.choice(_TOKENS)}"
        elif how == 3:
            lines.insert(at, rng.choice(_TOKENS))
        else:
            lines[at:at] = lines[max(0, at - 2) : at + 1] * rng.choice((1, 30))
    return "\n".join(lines).encode()


def wav_chunks(rng: random.Random, data: bytes) -> bytes:
    """Fields of the format chunk and lengths of chunks changed."""
    out = bytearray(data)
    at, width = rng.choice(
        ((4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4))
    )
    value = rng.choice(_SIZES + _HUGE) & (1 << 8 * width) - 1
    out[at : at + width] = value.to_bytes(width, "little")
    return bytes(out)


def tar_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
