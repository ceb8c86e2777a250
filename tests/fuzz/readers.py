"""What is fuzzed: each reader with whole files to start from and ways to spoil them."""

import dataclasses
import functools
import importlib.util
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS)]

from ecdc_samples import (
    CODER,
    file_bytes,
    make_ecdc,
    segment_header,
    small_header,
    streamed_bytes,
    v2_header,
)
from fuzz import foreign, mutate
from fuzz.mutate import Mutator, anywhere, several

CONFIGS = TESTS.parent / "configs"


@dataclass(frozen=True)
class Reader:
    """A reader: files to start from, a way to spoil one, the reading, and cases in a CI run."""

    suffix: str
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutator
    read: Callable[[Path], None]
    cases: int


def _read_ecdc(path: Path) -> None:
    from encodec_cli.container import EcdcReader, verify
    from encodec_cli.errors import ContainerError

    with path.open("rb") as file:
        verify(file, coder=CODER)
        file.seek(0)
        reader = EcdcReader(file, coder=CODER)
        index = reader.index
        try:
            for _ in reader:
                pass
        except ContainerError:
            pass
        if index is not None and index.chunks:
            reader.seek(index.chunks - 1)
            next(reader)


def _version1() -> list[bytes]:
    plain = make_ecdc(small_header(), 40 * 320)
    kept = small_header(
        tags={"title": "x"}, source_sample_rate=44_100, source_channels=2, model_sha256="a" * 64
    )
    wide = small_header(chunk_frames=4096, bits=1, codebooks=1)
    return [
        file_bytes(plain),
        streamed_bytes(plain),
        file_bytes(make_ecdc(kept, 9000)),
        file_bytes(make_ecdc(segment_header(), 150_000)),
        file_bytes(make_ecdc(wide, 5000 * 320)),
    ]


def _version2() -> list[bytes]:
    plain = make_ecdc(v2_header(), 40 * 320)
    kept = v2_header(
        codebooks=8,
        has_scale=True,
        tags={"title": "x"},
        source_sample_rate=44_100,
        source_channels=2,
        model_sha256="a" * 64,
    )
    return [
        file_bytes(plain),
        streamed_bytes(plain),
        file_bytes(make_ecdc(v2_header(coded=False), 9000)),
        file_bytes(make_ecdc(kept, 9000)),
        streamed_bytes(make_ecdc(v2_header(codebooks=8, chunk_frames=80), 100_000)),
        file_bytes(make_ecdc(segment_header(version=2, code_model=CODER.sha256), 150_000)),
    ]


def _version0() -> list[bytes]:
    from encodec_cli.container import v0_header

    made = [v0_header("encodec_24khz", codebooks=8), v0_header("encodec_48khz", codebooks=4)]
    kept = dataclasses.replace(made[0], keep_source=True, source_sample_rate=8000, tags={"a": "b"})
    return [file_bytes(make_ecdc(header, 100_000)) for header in (*made, kept)]


def _read_tokens(path: Path) -> None:
    from encodec_cli.tokens.files import SHARD_SUFFIXES, read_items, read_keys
    from encodec_cli.tokens.item import BadItem

    for item in read_items(path):
        assert isinstance(item, BadItem) or item.codes.ndim == 2
    if path.suffix in SHARD_SUFFIXES:
        read_keys(path)


def _tokens(suffix: str) -> list[bytes]:
    from encodec_cli.tokens import TokenInfo, TokenItem
    from encodec_cli.tokens.files import open_shard, write_item

    codes = np.random.default_rng(1).integers(0, 1024, (4, 60)).astype(np.uint16)
    scales = np.linspace(0.1, 1, 3, dtype=np.float32)
    info = TokenInfo(model="tiny", sample_rate=24_000, hop=320, num_samples=19_000, source="a.wav")
    items = [TokenItem("a/b", codes, scales, info), TokenItem("c", codes[:2])]
    files = [io.BytesIO(), io.BytesIO()]
    if suffix in (".npz", ".safetensors"):
        for file, item in zip(files, items, strict=True):
            write_item(file, item, suffix)
    else:
        for file in files:
            shard = open_shard(file, suffix)
            for item in items:
                shard.add(item)
            shard.finish()
    return [file.getvalue() for file in files]


def _read_model(path: Path) -> None:
    from encodec_cli.checkpoints.card import read_card
    from encodec_cli.checkpoints.foreign.identify import identify
    from encodec_cli.checkpoints.load import load_model

    if identify(path) == "ours":
        read_card(path)
        load_model(path)


@functools.cache
def _models() -> list[bytes]:
    import tempfile

    from cli_samples import make_model, mono_config, stereo_config, write_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        made = []
        for config in (mono_config(), stereo_config()):
            path.unlink(missing_ok=True)
            made.append(write_model(path, make_model(config)).read_bytes())
        return made


def _read_torch(path: Path) -> None:
    from encodec_cli.checkpoints.foreign.foreign import read_foreign

    read_foreign(path, "torch", {})


def _torch_files() -> list[bytes]:
    import torch

    state = {f"encoder.model.{i}.conv.conv.weight": torch.randn(4, 2) for i in range(5)}
    made = [(TESTS / "golden" / "audiocraft_training.th").read_bytes()]
    for new in (True, False):
        file = io.BytesIO()
        torch.save(state, file, _use_new_zipfile_serialization=new)
        made.append(file.getvalue())
    return made


def _torch(rng: "mutate.random.Random", data: bytes) -> bytes:
    inside = several(mutate.pickle_operations, anywhere)
    if not data.startswith(b"PK"):
        return inside(rng, data)
    return several(mutate.zip_entry(inside), mutate.zip_entry(inside), anywhere)(rng, data)


def _read_yaml(path: Path) -> None:
    from encodec_cli.config.codec import load_codec_config
    from encodec_cli.errors import ConfigError
    from encodec_cli.train.config import load_train_config

    try:
        load_codec_config(path)
    except ConfigError:
        load_train_config(path)


def _read_wav(path: Path) -> None:
    from encodec_cli.audio import open_audio

    with open_audio(path) as reader:
        for block in reader.blocks(8192):
            assert block.shape[1] <= 8192


def _wavs() -> list[bytes]:
    made = []
    for subtype, channels in (("PCM_16", 1), ("PCM_24", 2), ("FLOAT", 3), ("DOUBLE", 1)):
        file = io.BytesIO()
        noise = np.random.default_rng(2).uniform(-0.5, 0.5, (4000, channels))
        soundfile.write(file, noise, 16_000, subtype=subtype, format="WAV")
        made.append(file.getvalue())
    return made


READERS = {
    "v1": Reader(
        ".ecdc",
        _version1,
        several(anywhere, mutate.version1_header, mutate.version1_records),
        _read_ecdc,
        1200,
    ),
    "v2": Reader(
        ".ecdc",
        _version2,
        several(anywhere, mutate.version2_header, mutate.version2_records),
        _read_ecdc,
        1200,
    ),
    "v0": Reader(".ecdc", _version0, several(anywhere, mutate.version0_header), _read_ecdc, 600),
    "npz": Reader(
        ".npz",
        lambda: _tokens(".npz"),
        several(anywhere, mutate.zip_entry(mutate.npy_header), mutate.zip_entry(anywhere)),
        _read_tokens,
        800,
    ),
    "safetensors": Reader(
        ".safetensors",
        lambda: _tokens(".safetensors"),
        several(anywhere, mutate.safetensors_header),
        _read_tokens,
        800,
    ),
    "tar": Reader(
        ".tar", lambda: _tokens(".tar"), several(anywhere, mutate.tar_headers), _read_tokens, 800
    ),
    "model": Reader(
        ".safetensors",
        _models,
        several(mutate.safetensors_header, mutate.safetensors_header, anywhere),
        _read_model,
        250,
    ),
    "torch": Reader(".th", _torch_files, _torch, _read_torch, 500),
    "yaml": Reader(
        ".yaml",
        lambda: [path.read_bytes() for path in sorted(CONFIGS.glob("*.yaml"))],
        several(mutate.yaml_tokens, mutate.yaml_tokens, anywhere),
        _read_yaml,
        400,
    ),
    "npy": Reader(
        ".npy",
        foreign.loose_arrays,
        several(anywhere, mutate.npy_header, mutate.npy_header),
        foreign.read_arranged,
        400,
    ),
    "jsonl": Reader(
        ".jsonl",
        foreign.token_lines,
        several(anywhere, foreign.json_lines, foreign.json_lines),
        foreign.read_arranged,
        400,
    ),
    "told": Reader(
        ".yaml",
        foreign.told_files,
        several(mutate.yaml_tokens, mutate.yaml_tokens, anywhere),
        foreign.read_told,
        150,
    ),
    "hub": Reader(
        ".json",
        foreign.hub_trees,
        several(foreign.json_tree, foreign.json_tree, anywhere),
        foreign.read_hub,
        150,
    ),
    "codes": Reader(
        ".codes",
        foreign.code_models,
        several(mutate.safetensors_header, anywhere),
        foreign.read_code_model,
        300,
    ),
    "wav": Reader(".wav", _wavs, several(anywhere, mutate.wav_chunks), _read_wav, 500),
}
if importlib.util.find_spec("pyarrow") is not None:
    READERS["parquet"] = Reader(
        ".parquet", lambda: _tokens(".parquet"), anywhere, _read_tokens, 500
    )
