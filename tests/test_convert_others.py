"""Checkpoints as trainers, hubs and compilers leave them: wrapped, prefixed, cut in shards."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import mostly_slow
from cli_samples import make_model, mono_config, run, write_audio
from safetensors.torch import save_file
from torch import Tensor

from encodec_cli.checkpoints.card import find_model
from encodec_cli.checkpoints.foreign.folding import folded_config, unfold_state
from encodec_cli.checkpoints.foreign.huggingface import hub_config, hub_state
from encodec_cli.checkpoints.modules import folded_state, load_module, read_checkpoint
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import CheckpointError, ConfigError
from encodec_cli.model.module import CompressionModel

State = dict[str, Tensor]


def codec(**seanet: Any) -> CodecConfig:
    """A small codec of Meta's kind, 24 kHz mono."""
    data = mono_config().to_dict()
    data["seanet"] = {"dimension": 8, "n_filters": 2, "ratios": [8, 5, 4, 2], "lstm": 1}
    data["seanet"] |= {"norm": "weight_norm", "causal": True, **seanet}
    data |= {"name": "small", "target_bandwidths": [3.0], "level_db": None, "search": 1}
    data["quantizer"] = {"n_q": 4, "bins": 1024}
    if seanet.get("norm") == "time_group_norm":
        data["segment_seconds"] = 1.0
    return CodecConfig.from_dict(data)


def meta_state(config: CodecConfig) -> State:
    """The state of such a codec with random weights, in Meta's names, with norms of weights."""
    model = make_model(config)
    state = {k: v for k, v in folded_state(model).items() if not k.endswith(_TRAINING)}
    normed = (".conv.conv.weight", ".convtr.convtr.weight")
    return dict(unfold_state(state, normed if config.seanet.norm == "weight_norm" else ()))


_TRAINING = ("inited", "cluster_size", "embed_avg")


@pytest.fixture(scope="module")
def state() -> State:
    return meta_state(codec())


def prefixed(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def in_the_middle(state: State) -> State:
    return {n.replace("encoder.", "encoder._orig_mod.", 1): v for n, v in state.items()}


DISCRIMINATOR = {"discriminator.conv.weight": torch.ones(3), "discriminator.seen": torch.tensor(3)}
WRAPPED: dict[str, Callable[[State], Any]] = {
    "nothing": dict,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"lr": 1e-3}},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": 0.5},
    "model": lambda s: {"model": s},
    "generator": lambda s: {"generator": s, "discriminator": DISCRIMINATOR},
    "two mappings": lambda s: {"state_dict": {"model": s}},
    "ema before model": lambda s: {"model": {n: v * 0 for n, v in s.items()}, "ema": s},
    "module.": lambda s: prefixed(s, "module."),
    "_orig_mod.": lambda s: prefixed(s, "_orig_mod."),
    "stacked": lambda s: {"state_dict": prefixed(s, "module._orig_mod.module.")},
    "in the middle": in_the_middle,
    "codec_model.": lambda s: prefixed(s, "codec_model."),
    "any attribute": lambda s: {"state_dict": prefixed(s, "net_g.codec.") | DISCRIMINATOR},
    "an average beside": lambda s: (
        prefixed({n: v * 0 for n, v in s.items()}, "model.") | prefixed(s, "ema_model.")
    ),
}


@pytest.mark.parametrize("case", mostly_slow(WRAPPED, 5))
def test_wrappers_and_prefixes_are_taken_off(case: str, state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "plain.th")
    torch.save(WRAPPED[case](state), tmp_path / "wrapped.th")
    plain, expected = read_checkpoint(tmp_path / "plain.th")
    card, found = read_checkpoint(tmp_path / "wrapped.th")
    assert card.config == plain.config
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_meta_names_in_safetensors_are_read(state: State, tmp_path: Path) -> None:
    save_file(prefixed(state, "module."), tmp_path / "x.safetensors")
    assert read_checkpoint(tmp_path / "x.safetensors")[0].config.quantizer.n_q == 4


def test_two_codecs_in_one_file_are_refused(state: State, tmp_path: Path) -> None:
    torch.save(prefixed(state, "a.") | prefixed(state, "b."), tmp_path / "x.th")
    with pytest.raises(CheckpointError, match=r"several codecs, under a\., b\.; save the one"):
        read_checkpoint(tmp_path / "x.th")


def test_names_that_become_equal_are_refused(state: State, tmp_path: Path) -> None:
    torch.save(state | prefixed(state, "module."), tmp_path / "x.th")
    with pytest.raises(CheckpointError, match="there more than once"):
        read_checkpoint(tmp_path / "x.th")


SHAPES: list[dict[str, Any]] = [
    {},
    {"norm": "time_group_norm", "causal": False},
    {"true_skip": True, "lstm": 0},
    {"n_residual_layers": 2, "compress": 1, "residual_kernel_size": 5},
    {"n_filters": [2, 4, 6, 8, 10], "n_residual_layers": [1, 0, 2, 1], "norm": "none"},
    {"kernel_size": 5, "last_kernel_size": 3},
]


@pytest.mark.parametrize("seanet", mostly_slow(SHAPES, 2))
def test_shapes_tell_the_config(seanet: dict[str, Any], tmp_path: Path) -> None:
    config = folded_config(codec(**seanet))
    torch.save(meta_state(codec(**seanet)), tmp_path / "x.th")
    card, _ = read_checkpoint(tmp_path / "x.th")
    found = folded_config(card.config)
    assert found.seanet == config.seanet
    assert found.decoder == config.decoder
    assert found.quantizer == config.quantizer
    assert found.segment_seconds == config.segment_seconds
    assert card.assumed is not None
    assert "24000 Hz" in card.assumed


@pytest.mark.slow
def test_show_never_says_what_encode_contradicts(state: State, tmp_path: Path) -> None:
    """The first layer is Meta's; others are missing, of another shape, or not finite."""
    first = "encoder.model.0.conv.conv.weight_g"
    broken = {
        "lacks": {n: v for n, v in state.items() if not n.startswith("decoder.model.3.")},
        "shape": state | {"decoder.model.0.conv.conv.bias": torch.ones(5)},
        "finite": state | {first: state[first] * torch.nan},
        "only": {n: v for n, v in state.items() if n.startswith("encoder.model.0.")},
    }
    audio = write_audio(tmp_path / "a.wav", 3000)
    for name, tensors in broken.items():
        torch.save(tensors, tmp_path / f"{name}.th")
        shown = run("models", "show", tmp_path / f"{name}.th")
        assert shown.code == 1, name
        assert run("encode", audio, "-m", tmp_path / f"{name}.th").errors == shown.errors


# What weights do not tell


def test_what_is_told_replaces_what_is_assumed(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.th")
    told = tmp_path / "told.yaml"
    told.write_text("sample_rate: 16000\nseanet: {causal: false, pad_mode: constant}\n")
    assumed, _ = read_checkpoint(tmp_path / "x.th")
    card, _ = read_checkpoint(tmp_path / "x.th", told)
    assert (card.config.sample_rate, card.assumed) == (16_000, None)
    assert card.config.target_bandwidths == (2.0,)
    assert not card.config.seanet.causal
    assert not card.config.decoder.causal
    assert card.config.decoder.pad_mode == "constant"
    assert card.identity != assumed.identity  # their codes do not decode with each other


def test_telling_what_is_assumed_changes_nothing(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.th")
    assumed, _ = read_checkpoint(tmp_path / "x.th")
    told = tmp_path / "told.yaml"
    told.write_text("seanet: {causal: true}\n")
    assert read_checkpoint(tmp_path / "x.th", told)[0].identity == assumed.identity
    told.write_text(json.dumps(assumed.config.to_dict()))  # a whole config does as well
    assert read_checkpoint(tmp_path / "x.th", told)[0].config == assumed.config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seanet: {casual: false}", "with config.*unknown key 'casual'"),
        ("seanet: {n_filters: 4}", "shape|does not fit"),
        ("quantizer: 3", "quantizer: missing, or not a mapping"),
        ("normalize: true", "set segment_seconds"),
    ],
)
def test_what_cannot_be_is_refused(text: str, words: str, state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.th")
    told = tmp_path / "told.yaml"
    told.write_text(text)
    with pytest.raises((ConfigError, CheckpointError), match=words):
        read_checkpoint(tmp_path / "x.th", told)


@pytest.mark.slow
def test_the_commands_are_told_and_say_what_they_assume(state: State, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "x.th")
    told = tmp_path / "told.yaml"
    told.write_text("seanet: {causal: false}\n")
    audio = write_audio(tmp_path / "a.wav", 3000)
    model = ("-m", tmp_path / "x.th")
    said = run("encode", audio, tmp_path / "a.ecdc", *model).ok().stderr
    assert said.count("this is assumed: 24000 Hz, causal") == 1
    both = (*model, "--config", told)
    assert "assumed" not in run("encode", audio, tmp_path / "b.ecdc", *both).ok().stderr
    assert "assumed" not in run("decode", tmp_path / "b.ecdc", *both).ok().stderr
    run("decode", tmp_path / "b.ecdc", tmp_path / "c.wav", *model).refused(2, "other weights")
    run("models", "convert", tmp_path / "x.th", tmp_path / "x.safetensors", "--config", told).ok()
    run("decode", tmp_path / "b.ecdc", tmp_path / "d.wav", "-m", tmp_path / "x.safetensors").ok()
    shown = run("models", "show", tmp_path / "x.th", "--config", told, "--json").ok()
    assert json.loads(shown.text)["causal"] is False
    run("models", "show", "--config", told).refused(2, "--config", "says all of it")


# Hugging Face's folders


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers writes it."""
    folder = tmp_path_factory.mktemp("hub")
    model = CompressionModel(folded_config(codec()))
    config = folded_config(codec())
    model.load_state_dict(make_model(codec()).state_dict(), strict=False)
    tensors = {k: v for k, v in folded_state(model).items() if not k.endswith(_TRAINING)}
    save_file(hub_state(config, tensors), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(hub_config(config)))
    return folder


def shards(folder: Path, tensors: State) -> Path:
    """`tensors` in two files, as transformers cuts them."""
    names = sorted(tensors)
    parts = {1: names[::2], 2: names[1::2]}
    files = {n: f"model-0000{n}-of-00002.safetensors" for n in parts}
    for n, some in parts.items():
        save_file({name: tensors[name] for name in some}, folder / files[n])
    index = {"weight_map": {name: files[n] for n, some in parts.items() for name in some}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def state_of(path: Path) -> State:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.slow
def test_shards_are_read_by_any_of_their_names(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((hub / "config.json").read_bytes())
    shards(tmp_path, state_of(hub / "model.safetensors"))
    expected = load_module(hub).state_dict()
    for name in ("", "model.safetensors.index.json", "model-00002-of-00002.safetensors"):
        found = load_module(tmp_path / name)
        assert all(torch.equal(v, expected[k]) for k, v in found.state_dict().items())
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"one of 2 files .* put their list model\.safet"):
        load_module(tmp_path / "model-00001-of-00002.safetensors")


@pytest.mark.parametrize(
    ("section", "prefix"), [("audio_encoder", "audio_encoder."), ("codec_config", "codec_model.")]
)
def test_a_codec_inside_a_larger_model_is_found(
    section: str, prefix: str, hub: Path, tmp_path: Path
) -> None:
    inner = json.loads((hub / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "large", section: inner}))
    beside = {"text_encoder.embed.weight": torch.ones(2, 2), "position": torch.arange(3)}
    tensors = prefixed(state_of(hub / "model.safetensors"), prefix) | beside
    save_file(tensors, tmp_path / "model.safetensors")
    expected = load_module(hub).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in load_module(tmp_path).state_dict().items())
    (tmp_path / "model.safetensors").unlink()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    assert all(torch.equal(v, expected[k]) for k, v in load_module(tmp_path).state_dict().items())


def cache_folder(root: Path, hub: Path, *snapshots: str) -> Path:
    """A folder as huggingface_hub keeps it: blobs, and snapshots of links to them."""
    cache = root / "models--org--name"
    (cache / "blobs").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (cache / "blobs" / name).write_bytes((hub / name).read_bytes())
        for snapshot in snapshots:
            (cache / "snapshots" / snapshot).mkdir(parents=True, exist_ok=True)
            (cache / "snapshots" / snapshot / name).symlink_to(f"../../blobs/{name}")
    return cache


def test_a_cache_folder_is_its_snapshot(hub: Path, tmp_path: Path) -> None:
    cache = cache_folder(tmp_path, hub, "aa", "bb")
    with pytest.raises(CheckpointError, match=r"2 snapshots .* name one of them"):
        find_model(cache)
    (cache / "refs").mkdir()
    for text, words in (("../../x", "not among"), ("cc\n", "not among"), ("", "name one of them")):
        (cache / "refs" / "main").write_text(text)
        with pytest.raises(CheckpointError, match=words):
            find_model(cache)
    (cache / "refs" / "main").write_text("bb")
    assert find_model(cache) == cache / "snapshots" / "bb"
    assert load_module(cache).sha256 == load_module(hub).sha256
    assert find_model(cache_folder(tmp_path / "one", hub, "aa")).name == "aa"


def test_one_scale_for_a_whole_recording_needs_chunks(hub: Path, tmp_path: Path) -> None:
    data = json.loads((hub / "config.json").read_text()) | {"normalize": True}
    (tmp_path / "config.json").write_text(json.dumps(data))
    (tmp_path / "model.safetensors").write_bytes((hub / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="normalize without chunk_length_s"):
        read_checkpoint(tmp_path)
    (tmp_path / "told.yaml").write_text("segment_seconds: 1.0\n")
    card, _ = read_checkpoint(tmp_path, tmp_path / "told.yaml")
    assert (card.config.normalize, card.config.segment_seconds) == (True, 1.0)
