"""What is fuzzed: each reader with whole files to start from and ways to spoil them."""

import dataclasses
import functools
import gzip
import importlib.util
import io
import sys
import tempfile
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
from fuzz import corpora, foreign, mutate
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
    from encodec_cli.tokens import SHARD_FORMATS, BadItem, read_items

    for item in read_items(path):
        assert isinstance(item, BadItem) or item.codes.ndim == 2
    for shards in SHARD_FORMATS.values():
        if len(shards.files) == 1 and shards.files[0].endswith(path.suffix):
            shards.keys(path)


def _tokens(to: str) -> list[bytes]:
    from encodec_cli.tokens import SHARD_FORMATS, SINGLE_FORMATS, Arrangement, TokenInfo, TokenItem

    codes = np.random.default_rng(1).integers(0, 1024, (4, 60)).astype(np.uint16)
    scales = np.linspace(0.1, 1, 3, dtype=np.float32)
    known = {"bits": 10, "sample_rate": 24_000, "hop": 320}
    info = TokenInfo(model="tiny", num_samples=19_000, source="a.wav", **known)
    items = [
        TokenItem("a/b", codes, scales, info, columns={"text": "word", "n": [1, 2]}),
        TokenItem("c", codes[:2], None, TokenInfo(**known)),
    ]
    made = []
    for arrangement in (
        Arrangement(),
        Arrangement(layout="TK", pattern="delay"),
        Arrangement(flat="frames", offset=9, separator=1, bos=2, eos=3),
    ):
        if to in SINGLE_FORMATS:
            for item in items:
                file = io.BytesIO()
                SINGLE_FORMATS[to].write(file, item, arrangement)
                made.append(file.getvalue())
        else:
            file = io.BytesIO()
            shard = SHARD_FORMATS[to].open([file], arrangement)
            for item in items:
                shard.add(item)
            shard.finish()
            made.append(file.getvalue())
    return made


def _read_cuts(path: Path) -> None:
    """A shard of Shar whose file of cuts is spoiled."""
    from encodec_cli.tokens import SHARD_FORMATS, BadItem, read_items

    with tempfile.TemporaryDirectory() as place:
        cuts, codes = Path(place, "cuts.0.jsonl.gz"), Path(place, "codes.0.tar")
        cuts.write_bytes(path.read_bytes())
        codes.write_bytes(_shar()[1])
        for item in read_items(codes):
            assert isinstance(item, BadItem) or item.codes.ndim == 2
        SHARD_FORMATS["shar"].keys(cuts)


@functools.cache
def _shar() -> tuple[bytes, bytes]:
    from encodec_cli.tokens import SHARD_FORMATS, Arrangement, TokenInfo, TokenItem

    codes = np.random.default_rng(1).integers(0, 1024, (4, 60)).astype(np.uint16)
    scales = np.linspace(0.1, 1, 3, dtype=np.float32)
    info = TokenInfo(model="tiny", sample_rate=24_000, hop=320, num_samples=19_000, bits=10)
    files = io.BytesIO(), io.BytesIO()
    shard = SHARD_FORMATS["shar"].open(files, Arrangement())
    shard.add(TokenItem("a/b", codes, scales, info, columns={"text": "word"}))
    shard.add(TokenItem("c", codes[:2], None, info))
    shard.finish()
    return files[0].getvalue(), files[1].getvalue()


def _read_model(path: Path) -> None:
    from encodec_cli.checkpoints.card import read_card
    from encodec_cli.checkpoints.foreign.identify import identify
    from encodec_cli.checkpoints.load import load_model

    if identify(path) == "ours":
        read_card(path)
        load_model(path)


@functools.cache
def _models() -> list[bytes]:
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
        lambda: _tokens("npz"),
        several(anywhere, mutate.zip_entry(mutate.npy_header), mutate.zip_entry(anywhere)),
        _read_tokens,
        800,
    ),
    "safetensors": Reader(
        ".safetensors",
        lambda: _tokens("safetensors"),
        several(anywhere, mutate.safetensors_header),
        _read_tokens,
        800,
    ),
    "tar": Reader(
        ".tar",
        lambda: _tokens("webdataset"),
        several(anywhere, mutate.tar_headers),
        _read_tokens,
        800,
    ),
    "shar": Reader(
        ".gz",
        lambda: [_shar()[0]],
        several(
            anywhere,
            mutate.gzipped(foreign.json_lines),
            mutate.gzipped(mutate.arrangement_words),
            mutate.gzipped(anywhere),
        ),
        _read_cuts,
        500,
    ),
    "manifest": Reader(
        ".jsonl",
        corpora.lists,
        several(anywhere, foreign.json_lines, foreign.json_lines),
        corpora.read_list,
        800,
    ),
    "packed_manifest": Reader(
        ".gz",
        lambda: [gzip.compress(data) for data in corpora.lists()],
        several(anywhere, mutate.gzipped(anywhere)),
        corpora.read_list,
        300,
    ),
    "table": Reader(".csv", corpora.tables, anywhere, corpora.read_list, 300),
    "archive": Reader(
        ".tar",
        corpora.archives,
        several(anywhere, mutate.tar_headers, mutate.tar_headers),
        corpora.read_inputs,
        600,
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
    "token_lines": Reader(
        ".jsonl",
        lambda: [*foreign.token_lines(), *_tokens("jsonl")],
        several(anywhere, foreign.json_lines, foreign.json_lines, mutate.arrangement_words),
        foreign.read_arranged,
        800,
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
    READERS["dataset"] = Reader(".arrow", corpora.arrow_streams, anywhere, corpora.read_arrow, 600)
    READERS["recordings"] = Reader(
        ".parquet", corpora.parquet_files, anywhere, corpora.read_inputs, 600
    )
    READERS["parquet"] = Reader(".parquet", lambda: _tokens("parquet"), anywhere, _read_tokens, 500)
