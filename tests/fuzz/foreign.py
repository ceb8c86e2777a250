"""Fuzzed files of other programs: loose tokens, folders of Hugging Face, what --config says."""

import contextlib
import functools
import io
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fuzz import mutate

__all__ = [
    "code_models",
    "hub_trees",
    "json_lines",
    "json_tree",
    "loose_arrays",
    "read_arranged",
    "read_code_model",
    "read_hub",
    "read_told",
    "token_lines",
    "told_files",
]

_WEIGHTS = "WEIGHTS"
"""Stands for the bytes of a safetensors file in a tree."""


# Loose tokens


def loose_arrays() -> Sequence[bytes]:
    """Codes as `numpy.save` writes them, in the shapes that people have."""
    codes = np.random.default_rng(3).integers(0, 1024, (8, 60))
    shapes = [
        codes.astype(np.uint16),
        codes[None].astype(np.int64),
        codes[:, None].astype(np.float32),
        np.asfortranarray(codes.T.astype(np.int32)),
        (codes + 1024 * np.arange(8)[:, None]).T.reshape(-1),
    ]
    files = []
    for array in shapes:
        file = io.BytesIO()
        np.save(file, array)
        files.append(file.getvalue())
    return files


def token_lines() -> Sequence[bytes]:
    """JSON Lines: nested and flat tokens, with and without what is known of them."""
    codes = np.random.default_rng(4).integers(0, 1024, (8, 20))
    flat = (codes + 1024 * np.arange(8)[:, None]).T.reshape(-1).tolist()
    known = {"key": "a/b", "codes": codes.tolist(), "sample_rate": 24_000, "num_samples": 6_000}
    rows: list[Any] = [known, flat, codes.T.tolist(), {"id": 7, "audio_tokens": flat, "n_q": 8}]
    return ["\n".join(map(json.dumps, some)).encode() for some in (rows, rows[:1], rows[1:2])]


def json_lines(rng: random.Random, data: bytes) -> bytes:
    """One line with something else in it."""
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(mutate.json_value(rng, json.loads(lines[at]))).encode()
    return b"\n".join((lines * rng.choice((1, 1, 1, 30)))[:300])


def read_arranged(path: Path) -> None:
    """Every item, in every arrangement that `decode` can be told of."""
    from encodec_cli.errors import EncodecCliError
    from encodec_cli.tokens import BadItem, Reading, arranged, read_items, undelay, undelay_stereo

    for number, item in enumerate(read_items(path)):
        if isinstance(item, BadItem) or number > 8:
            continue
        for books, layout, offset in ((8, None, 0), (16, "KT", 0), (8, "TK", 1 << 40)):
            with contextlib.suppress(EncodecCliError):
                codes = arranged(item, Reading(books, 1024, layout, offset))  # type: ignore[arg-type]
                undelay(codes, 1024)
                undelay_stereo(codes, 1024)


# Models


@functools.cache
def _state() -> dict[str, Any]:
    from test_convert_others import codec, meta_state

    return dict(meta_state(codec()))


@functools.cache
def _weights() -> Path:
    """A checkpoint that does not tell all of its config; lies there as long as the process."""
    import torch

    folder = tempfile.mkdtemp(prefix="fuzz-weights-")
    torch.save(_state(), Path(folder) / "x.th")
    return Path(folder) / "x.th"


def told_files() -> Sequence[bytes]:
    """What --config may say of those weights, a little or all of it."""
    import yaml
    from test_convert_others import codec

    some = "sample_rate: 16000\nseanet: {causal: false, pad_mode: constant}\n"
    parts = "normalize: true\nsegment_seconds: 1.0\noverlap: 0.01\n"
    return [text.encode() for text in (some, parts, yaml.safe_dump(codec().to_dict()))]


def read_told(path: Path) -> None:
    """A model as --config says it is."""
    from encodec_cli.checkpoints.modules import load_module

    load_module(_weights(), config=path)


@functools.cache
def _hub() -> tuple[bytes, str]:
    """Weights and config.json of a small model, as transformers has them."""
    from cli_samples import make_model
    from safetensors.torch import save
    from test_convert_others import codec

    from encodec_cli.checkpoints.foreign.folding import folded_config
    from encodec_cli.checkpoints.foreign.huggingface import hub_config, hub_state
    from encodec_cli.checkpoints.modules import folded_state

    config = folded_config(codec())
    training = ("inited", "cluster_size", "embed_avg")
    state = {k: v for k, v in folded_state(make_model(codec())).items() if not k.endswith(training)}
    return save(hub_state(config, state)), json.dumps(hub_config(config))


def hub_trees() -> Sequence[bytes]:
    """A cache folder, a plain one and one of shards; as JSON of names and contents."""
    config = _hub()[1]
    plain = {"config.json": config, "model.safetensors": _WEIGHTS}
    link = {"link": "../../blobs/w"}
    cache = {
        "blobs/w": _WEIGHTS,
        "refs/main": "aa",
        "snapshots/aa/config.json": config,
        "snapshots/aa/model.safetensors": link,
        "snapshots/bb/config.json": config,
    }
    name = "model-00001-of-00001.safetensors"
    index = json.dumps({"weight_map": {"encoder.layers.0.conv.bias": name}, "metadata": {}})
    shards = {"config.json": config, name: _WEIGHTS, "model.safetensors.index.json": index}
    inner = json.dumps({"model_type": "large", "audio_encoder": json.loads(config)})
    trees = (plain, cache, shards, {**plain, "config.json": inner})
    return [json.dumps(tree).encode() for tree in trees]


def json_tree(rng: random.Random, data: bytes) -> bytes:
    """One file of a tree changed, taken away or renamed."""
    return json.dumps(mutate.json_value(rng, json.loads(data))).encode()


def read_hub(path: Path) -> None:
    """The model of a tree, by its folder."""
    from encodec_cli.checkpoints.card import find_model
    from encodec_cli.checkpoints.modules import load_module

    try:
        tree = json.loads(path.read_bytes())
    except ValueError:
        return
    root = Path(tempfile.mkdtemp(prefix="tree-", dir=path.parent))
    try:
        for name, content in tree.items() if isinstance(tree, dict) else ():
            _put(root, str(name), content)
        load_module(find_model(root))
    finally:
        shutil.rmtree(root)


def _put(root: Path, name: str, content: Any) -> None:
    """The file or link `name` inside `root`; nothing for names that are none."""
    place = root / name
    if not name or len(name) > 100 or ".." in name or not place.is_relative_to(root):
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            place.symlink_to(str(content.get("link"))[:200])
        elif content == _WEIGHTS:
            place.write_bytes(_hub()[0])
        elif isinstance(content, str):
            place.write_bytes(content.encode("utf-8", "replace"))
        else:
            place.write_text(json.dumps(content))
    except (OSError, ValueError):  # a file where a folder is to be, a null character
        return


def code_models() -> Sequence[bytes]:
    """A code model of a few numbers."""
    from code_model_samples import SMALL, random_arrays

    from encodec_cli.train.entropy.quantise import code_model_bytes

    return [code_model_bytes(random_arrays(SMALL), SMALL, "0" * 64, {"name": "small"})]


def read_code_model(path: Path) -> None:
    """A code model, and frequencies of two frames."""
    from encodec_cli.entropy.integer.model import CodeModel

    model = CodeModel.load(path)
    codes = np.zeros((1, 2), np.uint16)
    assert model.frequencies(codes).shape == (2, 1, model.bins)
