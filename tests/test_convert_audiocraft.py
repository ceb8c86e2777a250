"""audiocraft's exports: everything is read from their config, nothing is assumed."""

import dataclasses
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from cases import mostly_slow
from cli_samples import run
from tiny_models import spread_codebooks
from torch import Tensor

from encodec_cli.checkpoints.card import file_sha256
from encodec_cli.checkpoints.foreign.audiocraft import audiocraft_config
from encodec_cli.checkpoints.foreign.naming import published_config, same_architecture
from encodec_cli.checkpoints.foreign.torch_file import _Node, plain_config
from encodec_cli.checkpoints.modules import convert_checkpoint, load_module
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import CheckpointError, ConfigError
from encodec_cli.model.module import CompressionModel


def experiment(**sections: dict[str, Any]) -> dict[str, Any]:
    """The parts of an experiment's config that matter, in audiocraft's layout; small sizes."""
    xp: dict[str, Any] = {
        "solver": "compression",
        "sample_rate": 16000,
        "channels": 1,
        "compression_model": "encodec",
        "dataset": {"segment_duration": 1},
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": "${sample_rate}",
            "channels": "${channels}",
            "causal": False,
            "renormalize": False,
        },
        "seanet": {
            "dimension": 4,
            "channels": "${channels}",
            "causal": "${encodec.causal}",
            "n_filters": 2,
            "n_residual_layers": 1,
            "ratios": [8, 5, 4, 2],
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm": "weight_norm",
            "norm_params": {},
            "kernel_size": 7,
            "residual_kernel_size": 3,
            "last_kernel_size": 7,
            "dilation_base": 2,
            "pad_mode": "constant",
            "true_skip": True,
            "compress": 2,
            "lstm": 1,
            "disable_norm_outer_blocks": 0,
            "decoder": {
                "trim_right_ratio": 1.0,
                "final_activation": None,
                "final_activation_params": None,
            },
            "encoder": {},
        },
        "rvq": {
            "n_q": 4,
            "q_dropout": False,
            "bins": 64,
            "decay": 0.99,
            "kmeans_init": True,
            "kmeans_iters": 50,
            "threshold_ema_dead_code": 2,
            "orthogonal_reg_weight": 0.0,
            "orthogonal_reg_active_codes_only": False,
        },
    }
    for name, changes in sections.items():
        xp[name] = {**xp[name], **changes} if isinstance(changes, dict) else changes
    return xp


def flat_state(model: CompressionModel) -> dict[str, Tensor]:
    """The state as audiocraft names it: weight_g and weight_v."""
    names = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for name, value in model.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(f"parametrizations.weight.{ours}", theirs)
        state[name] = value
    return state


def exported(path: Path, xp: dict[str, Any], **changes: Any) -> CompressionModel:
    """Write an export of a random model of `xp` to `path`; returns the model."""
    model = CompressionModel(audiocraft_config(xp, "xp")).eval()
    spread_codebooks(model)
    content = {
        "best_state": flat_state(model),
        "xp.cfg": yaml.safe_dump(xp),
        "version": "1.3.0",
        "exported": True,
    }
    torch.save({k: v for k, v in {**content, **changes}.items() if v is not None}, path)
    return model


CASES: dict[str, dict[str, Any]] = {
    "constant": {},
    "reflect": {"seanet": {"pad_mode": "reflect"}},
    "shortcut": {"seanet": {"true_skip": False}},
    "no-lstm": {"seanet": {"lstm": 0}},
    "lstm2-compress1": {"seanet": {"lstm": 2, "compress": 1, "n_residual_layers": 2}},
    "causal": {"encodec": {"causal": True}, "seanet": {"decoder": {"trim_right_ratio": 0.5}}},
    "musicgen": {"sample_rate": 32000, "seanet": {"ratios": [8, 5, 4, 4]}, "rvq": {"bins": 2048}},
    "stereo": {"channels": 2},
    "outer": {"seanet": {"disable_norm_outer_blocks": 2}},
    "layer-norm": {"seanet": {"norm": "layer_norm"}},
    "groups": {
        "encodec": {"renormalize": True},
        "seanet": {"norm": "time_group_norm"},
        "dataset": {"segment_duration": 0.5},
    },
}


@pytest.mark.parametrize("case", mostly_slow(CASES, 4))
@torch.no_grad()
def test_exports_code_as_their_config_says(case: str, tmp_path: Path) -> None:
    path = tmp_path / "compression_state_dict.bin"
    xp = experiment(**CASES[case])
    model = exported(path, xp)
    loaded = load_module(path)
    config = loaded.config
    assert loaded.sha256 == file_sha256(path)
    assert config.seanet == model.config.seanet or config.seanet.norm == "none"
    for key in ("ratios", "pad_mode", "true_skip", "compress", "lstm", "n_filters"):
        expected = xp["seanet"][key]
        found = getattr(config.seanet, key)
        assert found == (tuple(expected) if isinstance(expected, list) else expected)
    assert config.seanet.causal == xp["encodec"]["causal"]
    assert config.normalize == xp["encodec"]["renormalize"]
    assert config.quantizer.bins == xp["rvq"]["bins"]
    assert (config.sample_rate, config.channels) == (xp["sample_rate"], xp["channels"])
    assert config.segment_seconds == (0.5 if config.normalize else None)
    assert config.target_bandwidths == (config.bandwidth_kbps(4),)

    x = torch.randn(2, config.channels, 3001) * 0.1
    codes, scale = model.encode(x)
    found_codes, found_scale = loaded.encode(x)
    assert torch.equal(codes, found_codes)
    assert (scale is None) == (found_scale is None)
    torch.testing.assert_close(
        loaded.decode(codes, scale), model.decode(codes, scale), rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_a_wrong_padding_would_be_heard(tmp_path: Path) -> None:
    """Why `pad_mode` is never assumed: nothing else would fail."""
    model = exported(tmp_path / "a.bin", experiment())
    other = dataclasses.replace(model.config.seanet, pad_mode="reflect")
    assert not same_architecture(model.config, dataclasses.replace(model.config, seanet=other))
    x = torch.randn(1, 1, 3000)
    wrong = CompressionModel(dataclasses.replace(model.config, seanet=other)).eval()
    wrong.load_state_dict(model.state_dict())
    assert (wrong.encoder(x) - model.encoder(x)).abs().max() > 1e-3


def test_musicgens_codec_has_its_name() -> None:
    xp = experiment(
        sample_rate=32000,
        seanet={
            "dimension": 128,
            "n_filters": 64,
            "ratios": [8, 5, 4, 4],
            "lstm": 2,
            "pad_mode": "reflect",
        },
        rvq={"n_q": 4, "bins": 2048},
    )
    bundled = published_config("musicgen_32khz")
    config = audiocraft_config(xp, "xp")
    assert (config.name, config.target_bandwidths) == ("musicgen_32khz", bundled.target_bandwidths)
    xp["seanet"]["pad_mode"] = "constant"
    assert audiocraft_config(xp, "xp").name == "encodec_32khz_mono_4x2048"
    xp["sample_rate"] = 22050
    assert audiocraft_config(xp, "xp").name == "encodec_22.05khz_mono_4x2048"


def test_training_checkpoints_of_plain_data_open(tmp_path: Path) -> None:
    path, xp = tmp_path / "checkpoint.th", experiment()
    model = exported(path, xp)
    state = flat_state(model)
    content = {"model": state, "best_state": {"model": state}, "xp.cfg": xp, "history": [{"a": 1}]}
    torch.save(content, path)
    assert load_module(path).config.sample_rate == 16000
    torch.save({**content, "best_state": {}}, path)  # before the first evaluation
    assert load_module(path).config.quantizer.n_q == 4


def test_a_real_training_checkpoint_opens_without_omegaconf() -> None:
    """One that omegaconf 2.3 and torch 2.13 pickled, from `experiment` with the values below."""
    path = Path(__file__).parent / "golden" / "audiocraft_training.th"
    pickled = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    assert "omegaconf.dictconfig.DictConfig" in pickled
    with pytest.raises(Exception, match="Unsupported global"):
        torch.load(path, weights_only=True)
    model = load_module(path)
    seanet, quantizer = model.config.seanet, model.config.quantizer
    assert (seanet.ratios, seanet.pad_mode, seanet.lstm) == ((4, 3), "replicate", 0)
    assert (quantizer.n_q, quantizer.bins) == (2, 8)
    assert model.config.sample_rate == 16000  # ${sample_rate}
    assert not seanet.causal  # ${encodec.causal}
    with pytest.raises(Exception, match="Unsupported global"):  # and only then
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("shape", ["deep", "wide", "endless", "doubling"])
def test_configs_of_endless_size_are_refused(shape: str) -> None:
    def node(content: Any) -> Any:
        made = _Node()
        vars(made)["_content"] = content
        return made

    config = node({})
    for _ in range(5000 if shape == "deep" else 60):
        config = node([config, config] if shape == "doubling" else [config])
    if shape == "wide":
        config = node([node([])] * 200_000)
    elif shape == "endless":
        config = node([])
        vars(config)["_content"].append(config)
    with pytest.raises(ValueError, match="a config of endless size"):
        plain_config(config)


class Runs:
    """Unpickling this leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_other_objects_in_training_checkpoints_are_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("omegaconf.strange")
    unknown = type("Unknown", (), {"__module__": module.__name__})
    vars(module)["Unknown"] = unknown
    monkeypatch.setitem(sys.modules, "omegaconf", ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path, mark = tmp_path / "checkpoint.th", tmp_path / "ran"
    torch.save({"xp.cfg": unknown(), "best_state": {}, "history": Runs(mark)}, path)
    with pytest.raises(CheckpointError, match=r"Python objects.*export_encodec and name that"):
        load_module(path)
    assert not mark.exists()


def test_conversions_keep_the_identity(tmp_path: Path) -> None:
    source, target = tmp_path / "compression_state_dict.bin", tmp_path / "ours.safetensors"
    exported(source, experiment())
    card = convert_checkpoint(source, target)
    assert card.identity == file_sha256(source)
    assert "CC-BY-NC" in card.licence
    before, after = load_module(source), load_module(target)
    assert before.sha256 == after.sha256
    assert before.config.name == after.config.name == "encodec_16khz_mono_4x64"
    for (name, a), b in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert "encodec_16khz_mono_4x64" in run("models", "show", source).ok().text


# ---- what is refused


LM = {"emb.0.weight": torch.zeros(3, 2), "condition_provider.x": torch.zeros(1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrained": "facebook/encodec_32khz"}, "only a pointer .* to 'facebook/encodec_32khz'"),
        ({"pretrained": "a\nb" * 200}, r"only a pointer of audiocraft to 'a\\nb"),
        ({"best_state": LM}, r"a language model of audiocraft \(state_dict.bin\)"),
        ({"best_state": {"a": 5}}, "not a flat dictionary of tensors"),
        ({"best_state": {"encoder.x": torch.zeros(1)}}, "does not fit"),
        ({"best_state": None}, "not a flat dictionary of tensors"),
        ({"xp.cfg": "["}, "xp.cfg: not valid YAML"),
        ({"xp.cfg": "5"}, "xp.cfg: missing, or not a mapping"),
        ({"xp.cfg": "!!python/object/apply:os.system ['true']"}, "xp.cfg: not valid YAML"),
        ({"xp.cfg": " " * (1 << 20) + "a: 1"}, "larger than"),
        ({"xp.cfg": "a: &a [1, 1]\nb: [*a, *a]"}, "uses YAML aliases"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "compression_state_dict.bin"
    exported(path, experiment(), **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_module(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("seanet", "message"),
    [
        ({"activation": "Nothing"}, "activation: 'Nothing' is not a class of torch.nn"),
        ({"n_filters": 10**12}, "n_filters: 1000000000000: give 1 to 65536"),
        ({"n_residual_layers": 10**9}, "n_residual_layers: 1000000000: give 0 to 64"),
        ({"n_residual_layers": 60, "dilation_base": 1}, "a model of 249 layers"),
    ],
)
def test_configs_that_no_model_can_have_are_named(
    tmp_path: Path, seanet: dict[str, Any], message: str
) -> None:
    path = tmp_path / "compression_state_dict.bin"
    exported(path, experiment(), **{"xp.cfg": yaml.safe_dump(experiment(seanet=seanet))})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_module(path)
    assert str(caught.value).startswith(str(path))


def test_a_pointer_alone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "compression_state_dict.bin"
    torch.save({"pretrained": "dac_44khz", "exported": True, "version": "1.3.0"}, path)
    with pytest.raises(CheckpointError, match="'dac_44khz'; it holds no weights; download that"):
        load_module(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression_model": "dac"}, "compression_model: 'dac'; this program runs 'encodec'"),
        ({"encodec": {"quantizer": "no_quant"}}, "encodec.quantizer: 'no_quant'"),
        ({"encodec": {"sample_rate": "${rate}"}}, "refers to rate, which is not there"),
        ({"encodec": {"causal": "${seanet.causal}"}}, "encodec.causal: refers to itself"),
        ({"seanet": {"surprise": 1}}, "unknown key 'surprise'"),
        ({"seanet": {"pad_mode": "zero"}}, "pad_mode: 'zero' is not one of"),
        ({"seanet": {"channels": 2}}, "seanet.channels: is not encodec.channels"),
        ({"seanet": {"norm": "spectral_norm"}}, "spectral_norm is not read"),
        ({"seanet": {"ratios": 5}}, "not whole numbers above 0"),
        ({"seanet": {"ratios": ["8"]}}, "not whole numbers above 0"),
        ({"rvq": {"bins": 0}}, "not whole numbers above 0"),
        ({"encodec": {"renormalize": True}, "dataset": {"segment_duration": None}}, "dataset.segm"),
    ],
)
def test_configs_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        audiocraft_config(experiment(**changes), "x.bin: xp.cfg")
    assert str(caught.value).startswith("x.bin: xp.cfg")


@pytest.mark.parametrize(
    ("section", "key"),
    [
        *(("seanet", key) for key in ("pad_mode", "true_skip", "compress", "lstm", "ratios")),
        ("seanet", "norm"),
        ("seanet", "causal"),
        ("encodec", "sample_rate"),
        ("rvq", "bins"),
        ("rvq", "n_q"),
    ],
)
def test_nothing_is_assumed(section: str, key: str) -> None:
    xp = experiment()
    del xp[section][key]
    with pytest.raises(ConfigError, match=f"{section}.{key}: missing"):
        audiocraft_config(xp, "xp")


def test_the_result_is_an_ordinary_config() -> None:
    config = audiocraft_config(experiment(), "xp")
    assert CodecConfig.from_dict(config.to_dict()) == config
