"""Weights are checked when a file is opened, and read when they are used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file
from tiny_models import tiny_config, tiny_model

from encodec_cli.checkpoints.modules import build_and_load
from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.tensors import codec_shapes
from encodec_cli.errors import CheckpointError
from encodec_cli.runtime.engine import NumpyEngine
from encodec_cli.runtime.weights import Weights

CONFIGS: list[dict[str, Any]] = [
    {},
    {"seanet": {"lstm": 2, "true_skip": False, "norm": "weight_norm"}},
    {"seanet": {"causal": False, "norm": "layer_norm", "disable_norm_outer_blocks": 1}},
    {"seanet": {"n_filters": [2, 3, 4], "n_residual_layers": [0, 2]}},
    {"seanet": {"activation": "PReLU", "activation_params": {"num_parameters": 1}}},
]
NAME = "encoder.model.0.conv.conv.bias"


def tensors(config: CodecConfig) -> dict[str, Any]:
    return {name: np.ones(shape, np.float16) for name, shape in codec_shapes(config).items()}


def opened(path: Path, config: CodecConfig, state: dict[str, Any]) -> Weights:
    save_file(state, path)
    return Weights(path, config)


@pytest.mark.parametrize("changes", CONFIGS)
def test_the_plan_knows_all_tensors_of_the_modules(changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    training = ("inited", "cluster_size", "embed_avg")
    state = tiny_model(config).state_dict()
    found = {
        name.replace(".parametrizations.weight.original1", ".weight"): tuple(value.shape)
        for name, value in state.items()
        if not name.endswith((*training, "original0"))
    }
    assert codec_shapes(config) == found


def test_numbers_come_in_fp32(tmp_path: Path) -> None:
    found = opened(tmp_path / "a", tiny_config(), tensors(tiny_config()))(NAME)
    assert found.dtype == np.float32
    assert (found == 1).all()


def test_bfloat16_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    config, path = tiny_config(), tmp_path / "a"
    state = {
        name: torch.randn(shape).to(torch.bfloat16 if i % 2 else torch.float16)
        for i, (name, shape) in enumerate(codec_shapes(config).items())
    }
    save_torch_file(state, path)
    weights = Weights(path, config)
    for name, value in state.items():
        found = weights(name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, value.float().numpy())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bfloat16_that_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    config, path = tiny_config(), tmp_path / "a"
    state = {n: torch.ones(s, dtype=torch.bfloat16) for n, s in codec_shapes(config).items()}
    state[NAME].view(-1)[0] = value
    save_torch_file(state, path)
    with pytest.raises(CheckpointError, match=f"{NAME}: holds numbers that are not finite"):
        Weights(path, config)(NAME)


@pytest.mark.parametrize(
    "change",
    [
        {NAME: None},
        {"extra": np.ones(2, np.float32)},
        {NAME: None, "more": np.ones(2, np.float32)},
        {NAME: np.ones(3, np.float32)},
        {f"encoder.{i}": np.ones(1, np.float32) for i in range(6)},
    ],
    ids=["missing", "left over", "both", "shape", "many"],
)
def test_what_does_not_fit_is_refused_in_the_words_of_torch_models(
    change: dict[str, Any], tmp_path: Path
) -> None:
    config = tiny_config()
    state = {k: v for k, v in (tensors(config) | change).items() if v is not None}
    with pytest.raises(CheckpointError) as found:
        opened(tmp_path / "a", config, state)
    with pytest.raises(CheckpointError) as expected:
        build_and_load(
            config, {k: torch.from_numpy(v) for k, v in state.items()}, str(tmp_path / "a")
        )
    assert str(found.value) == str(expected.value)


def test_a_config_of_far_too_many_layers_is_refused_at_once(tmp_path: Path) -> None:
    many = tiny_config(seanet={"n_residual_layers": 64, "dilation_base": 1})
    with pytest.raises(CheckpointError, match="does not fit tiny: a model of 133 layers"):
        opened(tmp_path / "a", many, tensors(tiny_config()))


@pytest.mark.parametrize("content", [b"", b"\x08" + b"\0" * 7 + b"{}      ", b"x" * 100])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="a: "):
        Weights(path, tiny_config())
    with pytest.raises(CheckpointError, match="damaged"):
        Weights(tmp_path / "none", tiny_config())


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    state = tensors(tiny_config()) | {NAME: np.ones(4, np.int32)}
    with pytest.raises(CheckpointError, match=f"{NAME}: holds I32, not fp32, fp16 or bf16"):
        opened(tmp_path / "a", tiny_config(), state)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_only_what_is_used_is_read(bad: float, tmp_path: Path) -> None:
    """A decoder whose numbers are not finite keeps nobody from encoding."""
    config = tiny_config()
    state = tensors(config)
    state["decoder.model.0.conv.conv.bias"][1] = bad
    engine = NumpyEngine(config, opened(tmp_path / "a", config, state))
    encoder = engine.encoder(5)
    [latents] = encoder.step([np.zeros((60, 1), np.float32)], [encoder.new_state()], [True])
    assert engine.quantizer().encode(latents, 2, 1).shape == (2, 5)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="bias: holds numbers that are not finite"):
            engine.decoder(5)
