"""Checkpoints of other programs, read into our names whatever wrote them."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from encodec_cli.checkpoints.card import ModelCard
from encodec_cli.checkpoints.foreign.audiocraft import CONFIG_KEY, read_audiocraft
from encodec_cli.checkpoints.foreign.folding import folded_config
from encodec_cli.checkpoints.foreign.huggingface import (
    codec_config,
    read_hub_config,
    rename_hub_state,
)
from encodec_cli.checkpoints.foreign.identify import HUB_CONFIG, Layout, refuse_start
from encodec_cli.checkpoints.foreign.meta import meta_identity, read_meta
from encodec_cli.checkpoints.foreign.shapes import untold
from encodec_cli.checkpoints.foreign.told import Told, said_identity
from encodec_cli.checkpoints.foreign.torch_file import load_torch_file, plain_tensors
from encodec_cli.checkpoints.foreign.unwrap import inner_state, without_prefixes
from encodec_cli.checkpoints.published import PUBLISHED
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.tensors import check_shapes, expected_shapes
from encodec_cli.errors import CheckpointError, ConfigError

__all__ = ["Foreign", "check_finite", "read_foreign"]

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MOST_INDEX_BYTES = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Foreign:
    """A checkpoint's card, and its folded weights under our names."""

    card: ModelCard
    state: dict[str, Tensor]


def read_foreign(path: Path, layout: Layout, told: Told) -> Foreign:
    """Read the checkpoint that `identify` says is of `layout`, not "ours".

    What was `told` replaces what the file says, or what would be assumed.

    Raises:
        CheckpointError: damaged, incomplete, holds code, or is no codec of this family.
        ConfigError: what was told does not fit the rest.
    """
    try:
        if layout == "huggingface":
            return _read_hub(path, told)
        if layout == "tensors":
            with safe_open(path, framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return _read_meta(path, state, None, told)
        content = load_torch_file(path)
        if isinstance(content, Mapping) and ("pretrained" in content or CONFIG_KEY in content):
            return _read_audiocraft(path, content, told)
        state = inner_state(content)
        if isinstance(content, Mapping) and state is content:
            _refuse_audiotools(content, path)
        if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
            return _read_meta(path, plain_tensors(state, path), None, told)  # says what it is
        state = without_prefixes(state, str(path))
        if any(name.startswith("encoder.layers.") for name in state):
            if not (path.parent / HUB_CONFIG).is_file():
                raise CheckpointError(
                    f"{path}: Hugging Face's EnCodec without its {HUB_CONFIG}; put that beside it"
                )
            return _hub(path, [path], plain_tensors(state, path), None, told)
        return _read_meta(path, plain_tensors(state, path), meta_identity(content), told)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (SafetensorError, OSError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{path}: not a readable safetensors file: {line}") from error


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights with which nothing can be coded.

    Raises:
        CheckpointError: one holds no floating point numbers, or some that are not finite.
    """
    for name, value in state.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{where}: {name}: holds numbers that are not finite")


def _read_audiocraft(path: Path, content: Mapping[str, Any], told: Told) -> Foreign:
    config, state = read_audiocraft(content, path, told)
    assumed = read_audiocraft(content, path, {})[0] if told else config
    licence = "unstated (what audiocraft publishes is CC-BY-NC 4.0)"
    identity = said_identity(_sha256([path]), config, assumed)
    return _foreign(path, [path], config, state, licence, identity)


def _read_meta(path: Path, state: Any, identity: str | None, told: Told) -> Foreign:
    """Tensors of Meta's names, from a file that says nothing else."""
    model = read_meta(without_prefixes(state, str(path)), path, told)
    licence = "MIT (Meta's published EnCodec weights; otherwise unstated)"
    exported = identity is not None and _SHA256.fullmatch(identity) is not None
    digest = identity if identity is not None and exported else _sha256([path])
    known = exported or _is_published(digest)
    digest = said_identity(digest, model.config, model.assumed)
    foreign = _foreign(path, [path], model.config, model.state, licence, digest)
    if told or known:
        return foreign
    return replace(foreign, card=replace(foreign.card, assumed=untold(model.config)))


def _is_published(digest: str) -> bool:
    """Whether this is the SHA-256 of one of Meta's own files, of which all is known."""
    files = (file for model in PUBLISHED.values() for file in model.files)
    return any(file.sha256_start and digest.startswith(file.sha256_start) for file in files)


def _refuse_audiotools(content: Mapping[Any, Any], path: Path) -> None:
    if {"state_dict", "metadata"} <= content.keys():
        raise CheckpointError(
            f"{path}: a checkpoint of audiotools, as the Descript Audio Codec (DAC) has "
            "them; this program runs EnCodec models"
        )


def _foreign(
    path: Path,
    files: Sequence[Path],
    config: CodecConfig,
    state: dict[str, Tensor],
    licence: str,
    identity: str,
) -> Foreign:
    """Checked: with this card the weights can be loaded."""
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    check_shapes(folded_config(config), shapes, str(path))
    check_finite(state, str(path))
    dtypes = {"F16" if v.dtype == torch.float16 else "F32" for v in state.values()}
    card = ModelCard(
        path=path,
        config=config,
        licence=licence,
        training_data="unstated",
        metrics={},
        parameters=sum(value.numel() for value in state.values()),
        dtype="/".join(sorted(dtypes)),
        identity=identity,
        bytes=sum(file.stat().st_size for file in files),
    )
    return Foreign(card, state)


def _read_hub(path: Path, told: Told) -> Foreign:
    """A folder with `config.json`, the weights file beside one, or the index of its shards."""
    first = _weights_file(path) if path.is_dir() else path
    files = _shards(first) if first.suffix == ".json" else [first]
    found: dict[str, tuple[Path, str]] = {}
    pickled: dict[Path, Mapping[str, Any]] = {}
    identities = []
    for file in files:
        refuse_start(file)
        if file.suffix == ".bin":
            content = inner_state(load_torch_file(file))
            if not isinstance(content, Mapping) or not all(isinstance(k, str) for k in content):
                plain_tensors(content, file)  # says what is wrong
            pickled[file] = content
            found |= {name: (file, name) for name in content}
            continue
        with _opened(file) as tensors:
            identities.append((tensors.metadata() or {}).get("identity"))
            found |= {name: (file, name) for name in tensors.keys()}  # noqa: SIM118
    wanted: dict[Path, dict[str, str]] = {}
    for short, (file, name) in without_prefixes(found, str(path)).items():
        wanted.setdefault(file, {})[short] = name
    state: dict[str, Tensor] = {}
    for file, names in wanted.items():
        if file in pickled:
            some = {short: pickled[file][name] for short, name in names.items()}
            state |= plain_tensors(some, file)
            continue
        with _opened(file) as tensors:
            state |= {short: tensors.get_tensor(name) for short, name in names.items()}
    return _hub(path, files, state, identities[0] if len(identities) == 1 else None, told)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{file}: not a readable safetensors file: {line}") from error


def _hub(
    path: Path, files: Sequence[Path], state: dict[str, Tensor], identity: str | None, told: Told
) -> Foreign:
    place = (path if path.is_dir() else path.parent) / HUB_CONFIG
    try:
        hub = read_hub_config(place)
        config = codec_config(hub, state, str(place), told)
    except ConfigError as error:
        raise CheckpointError(error.args[0]) from error
    known = identity is not None and _SHA256.fullmatch(identity) is not None
    digest = identity if identity is not None and known else _sha256(files)
    if told:
        assumed: CodecConfig | None = None
        with suppress(CheckpointError):
            assumed = codec_config(hub, state, str(place))
        digest = said_identity(digest, config, assumed)
    ours = expected_shapes(config, len(state), str(place))
    return _foreign(path, files, config, rename_hub_state(state, ours), "unstated", digest)


def _weights_file(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: has {HUB_CONFIG} but no {_WEIGHTS[0]} or {_WEIGHTS[2]}")


def _shards(index: Path) -> list[Path]:
    """The files that an index of shards names, in order."""
    try:
        if index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError(f"larger than {_MOST_INDEX_BYTES} bytes")
        data: Any = json.loads(index.read_bytes())
        names = set(data["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: not an index of weights: {error}") from error
    files = []
    for name in sorted(map(str, names)):
        if Path(name).name != name or not name.endswith((".safetensors", ".bin")):
            raise CheckpointError(f"{index}: names {name!r}, which is no weights file beside it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: names {name}, which is missing; download it too")
        files.append(index.parent / name)
    return files


def _sha256(files: Sequence[Path]) -> str:
    """SHA-256 of the files' bytes, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
