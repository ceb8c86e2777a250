"""Half precision: what stays exact, how close the audio comes, and which devices are refused."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_samples import make_model, mono_config, run, write_audio, write_model
from tiny_models import segment_model, tiny_model, wave

from encodec_cli.errors import UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.model.precision import check_bf16, set_precision
from encodec_cli.nn.lstm import StreamableLSTM
from encodec_cli.stream.signals import decode, encode

MODELS: list[Any] = [
    pytest.param(tiny_model, {}, id="compiled"),
    pytest.param(tiny_model, {"seanet": {"lstm": 2}}, id="compiled-lstm"),
    pytest.param(
        tiny_model,
        {"seanet": {"lstm": 1, "decoder": {"trim_right_ratio": 0.0}}},
        id="compiled-ahead",
    ),
    pytest.param(tiny_model, {"seanet": {"lstm": 1, "causal": False}}, id="modules-lstm"),
    pytest.param(segment_model, {}, id="segments"),
]


def in_bf16(model: CompressionModel) -> CompressionModel:
    set_precision(model, torch.bfloat16)
    return model


@pytest.mark.parametrize(("make", "changes"), MODELS)
def test_half_precision_is_close(make: Any, changes: dict[str, Any]) -> None:
    model = make(**changes)
    wav = torch.from_numpy(wave(1500, model.channels))
    coded = encode(model, wav, n_q=3)
    exact = decode(model, coded)
    whole = model.decode(torch.from_numpy(coded.codes[None, :, :5].astype("int64")))
    in_bf16(model)
    error = decode(model, coded) - exact
    assert error.abs().max() > 0
    assert 10 * math.log10(exact.pow(2).mean() / error.pow(2).mean()) > 35
    codes = encode(model, wav, n_q=3).codes
    assert (codes != coded.codes).mean() < 0.2
    half = model.decode(torch.from_numpy(coded.codes[None, :, :5].astype("int64")))
    assert (half - whole).abs().max() < 0.1 * whole.abs().max()
    assert model.encode(wav[None, :, :60].bfloat16())[0].shape == (1, 3, 5)


def test_what_half_precision_would_spoil_stays_exact() -> None:
    model = in_bf16(tiny_model(seanet={"lstm": 1}))
    assert {p.dtype for p in model.quantizer.buffers()} == {torch.float32}
    for network in (model.encoder, model.decoder):
        lstms = [m for m in network.modules() if isinstance(m, StreamableLSTM)]
        exact = {id(p) for lstm in lstms for p in lstm.parameters()}
        assert len(exact) == 4
        for parameter in network.parameters():
            assert parameter.dtype == (torch.float32 if id(parameter) in exact else torch.bfloat16)


def test_codebook_search_is_exact() -> None:
    """Equal latents give equal codes, however the networks compute."""
    model = tiny_model()
    latents = torch.randn(50, 6).bfloat16().float().numpy()
    for beams in (1, 4):
        expected = model.codec().engine.quantizer().encode(latents, 3, beams)
        found = in_bf16(copy.deepcopy(model)).codec().engine.quantizer().encode(latents, 3, beams)
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def capable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    has = bool(request.param)
    monkeypatch.setattr("encodec_cli.model.precision._cpu_has_bf16", lambda: has)
    return has


@pytest.mark.slow
@pytest.mark.parametrize("capable", [True, False], indirect=True)
def test_devices_that_would_imitate_are_refused(tmp_path: Path, capable: bool) -> None:
    model = write_model(tmp_path / "m.safetensors", make_model(mono_config()))
    source = write_audio(tmp_path / "a.wav", 3000)
    commands: list[tuple[str | Path, ...]] = [
        ("encode", source, tmp_path / "a.ecdc"),
        ("roundtrip", source),
        ("tokens", source, "--to", "npz", "-o", tmp_path),
        ("evaluate", source, "-b", "6"),
        ("report", source, "-b", "6", "-o", tmp_path / "page.html"),
    ]
    results = [run(*command, "-m", model, "--dtype", "bf16") for command in commands]
    if not capable:
        for result in results:
            result.refused(2, "--dtype bf16: this CPU has no bf16 arithmetic")
        with pytest.raises(UsageError):
            check_bf16(torch.device("cpu"))
        assert not (tmp_path / "a.ecdc").exists()
        return
    for result in results:
        result.ok()
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", model, "--dtype", "bf16").ok()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "bf16", "architecture": "x86_64"}, False),
    ],
)
def test_the_cpu_is_asked(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, Any], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names, raising=False)
    if expected:
        check_bf16(torch.device("cpu"))
    else:
        with pytest.raises(UsageError, match="dtype=bf16: this CPU has no bf16 arithmetic"):
            check_bf16(torch.device("cpu"))
