"""The language model: the bits of Meta's, a context of its own per run, strict files."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import mostly_slow
from meta_models import import_meta
from numpy.typing import NDArray

from encodec_cli.checkpoints.language_model import load_language_model
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import load_codec_config
from encodec_cli.engine.lm.model import LanguageModel
from encodec_cli.errors import CheckpointError, UsageError


def meta_lm(codebooks: int = 3, bins: int = 64, *, context: int = 30, layers: int = 2) -> Any:
    """Meta's class, of Meta's width, random weights, peaky heads."""
    import_meta()
    from encodec.model import LMModel

    torch.manual_seed(5)
    model = LMModel(codebooks, bins, num_layers=layers, dim=200, past_context=context).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:  # biases start as zeros, norms as ones
                value.add_(torch.randn_like(value) * 0.1)
            elif name.startswith("linears"):
                value.mul_(4)
    return model


def random_codes(codebooks: int, frames: int, bins: int) -> NDArray[np.uint16]:
    return np.random.default_rng(7).integers(0, bins, (codebooks, frames)).astype(np.uint16)


def ours_frames(model: LanguageModel, codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Probabilities `[T, K, N]`."""
    predict = model.predictor(codes.shape[0])
    past = [None, *(codes[:, t : t + 1] for t in range(codes.shape[1] - 1))]
    return np.concatenate([predict(frame) for frame in past])


@torch.no_grad()
def metas_frames(model: Any, codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Probabilities `[T, K, N]`."""
    frames, states, offset = [], None, 0
    known = torch.from_numpy(codes.astype(np.int64)) + 1
    step = torch.zeros(1, codes.shape[0], 1, dtype=torch.long)
    for t in range(codes.shape[1]):
        p, states, offset = model(step, states, offset)
        frames.append(p[0, :, :, 0].T.numpy())
        step = known[None, :, t : t + 1]
    return np.stack(frames)


@pytest.mark.slow
@pytest.mark.parametrize("codebooks", [1, 3])
def test_every_bit_is_metas_far_past_the_context(codebooks: int) -> None:
    theirs = meta_lm()
    ours = LanguageModel(theirs.state_dict(), past_context=30)
    codes = random_codes(codebooks, 160, 64)

    got, expected = ours_frames(ours, codes), metas_frames(theirs, codes)

    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)
    if not torch.backends.mkl.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX2":
        pytest.skip("bits are promised for MKL on x86 with AVX2 only; values are close")
    np.testing.assert_array_equal(got, expected)


def test_whole_size_and_the_code_range() -> None:
    theirs = meta_lm(4, 1024, context=262, layers=5)
    ours = LanguageModel(theirs.state_dict(), past_context=262)
    codes = random_codes(4, 20, 1024)
    codes[:, 3], codes[:, 4] = 0, 1023

    got, expected = ours_frames(ours, codes), metas_frames(theirs, codes)

    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(got.sum(2), 1, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_every_bit_of_a_whole_model_is_metas(seed: int) -> None:
    """Frames one by one and in groups, past the context, which slides and makes room."""
    theirs = meta_lm(8, 1024, context=25, layers=5)
    torch.manual_seed(seed)
    with torch.no_grad():
        for value in theirs.parameters():
            value.add_(torch.randn_like(value) * value.std().nan_to_num(0.1) * 0.5)
    ours = LanguageModel(theirs.state_dict(), past_context=25)
    codes = random_codes(8, 130, 1024)
    predict = ours.predictor(8)
    grouped = [predict(None)]
    grouped += [predict(codes[:, t : min(129, t + 16)]) for t in range(0, 129, 16)]

    alone, expected = ours_frames(ours, codes), metas_frames(theirs, codes)

    np.testing.assert_array_equal(np.concatenate(grouped), alone)
    np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-7)
    if torch.backends.mkl.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX2":
        np.testing.assert_array_equal(alone, expected)


def test_without_torchscript_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    state = meta_lm().state_dict()
    codes = random_codes(3, 60, 64)
    expected = ours_frames(LanguageModel(state, past_context=30), codes)
    monkeypatch.setattr(torch.jit, "script", pytest.fail)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))

    np.testing.assert_array_equal(ours_frames(LanguageModel(state, 30), codes), expected)


def test_runs_do_not_know_of_each_other() -> None:
    model = LanguageModel(meta_lm().state_dict(), past_context=30)
    codes = random_codes(2, 10, 64)
    alone = ours_frames(model, codes)
    one, two = model.predictor(2), model.predictor(2)

    for t in range(10):
        past = codes[:, t - 1 : t] if t else None
        np.testing.assert_array_equal(one(past)[0], alone[t])
        two(codes[:, 9 - t : 10 - t])


@pytest.mark.parametrize("at_once", mostly_slow([5, 2, 16]))
def test_frames_known_beforehand_come_out_the_same_in_groups(at_once: int) -> None:
    model = LanguageModel(meta_lm().state_dict(), past_context=30)
    codes = random_codes(3, 160, 64)
    predict = model.predictor(3)
    got = [predict(None)]
    got += [predict(codes[:, t : min(159, t + at_once)]) for t in range(0, 159, at_once)]

    np.testing.assert_array_equal(np.concatenate(got), ours_frames(model, codes))


def test_probabilities_are_the_same_with_more_threads() -> None:
    model = LanguageModel(meta_lm().state_dict(), past_context=30)
    codes = random_codes(3, 25, 64)
    expected = ours_frames(model, codes)
    torch.set_num_threads(2)
    try:
        got = ours_frames(model, codes)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)

    np.testing.assert_array_equal(got, expected)


def test_at_work_the_bits_are_the_same_and_torch_is_left_as_it_was() -> None:
    model = LanguageModel(meta_lm().state_dict(), past_context=30)
    codes = random_codes(3, 25, 64)
    expected = ours_frames(model, codes)
    predict = model.predictor(3)
    torch.set_num_threads(2)
    try:
        with predict.at_work():
            got = [predict(None), *(predict(codes[:, t : t + 1]) for t in range(24))]
        assert torch.get_num_threads() == 2
        assert not torch.is_inference_mode_enabled()
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(np.concatenate(got), expected)


def test_more_codebooks_than_there_are_is_refused() -> None:
    model = LanguageModel(meta_lm().state_dict(), past_context=30)

    with pytest.raises(UsageError, match="4 codebooks: this language model knows 1 to 3"):
        model.predictor(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("emb.0.weight"), "no emb.0.weight"),
        (lambda s: s.pop("linears.1.bias"), "missing linears.1.bias; left over nothing"),
        (lambda s: s.update(extra=torch.ones(1)), "missing nothing; left over extra"),
        (lambda s: s.update({"linears.0.bias": torch.ones(3)}), "linears.0.bias: shape"),
        (lambda s: s["linears.0.bias"].fill_(float("nan")), "not finite"),
        (lambda s: s.update({"emb.0.weight": torch.ones(65, 30)}), "emb.0.weight is"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: Any, message: str) -> None:
    state = {name: value.clone() for name, value in meta_lm().state_dict().items()}
    change(state)

    with pytest.raises(CheckpointError, match=message):
        LanguageModel(state, past_context=30)


def test_files_are_held_against_the_codec(tmp_path: Path) -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    path = tmp_path / "lm.th"
    torch.save(meta_lm(16, 1024, layers=1).state_dict(), path)
    other = tmp_path / "other.th"
    torch.save({"a": torch.ones(2)}, other)

    with pytest.raises(CheckpointError, match="16 codebooks of 1024 codes; encodec_24khz has 32"):
        load_language_model(path, config)
    with pytest.raises(CheckpointError, match=r"other.th: not Meta's language model"):
        load_language_model(other, config)
    with pytest.raises(CheckpointError, match="is a folder"):
        load_language_model(tmp_path, config)
    bundled = load_codec_config(configs_folder() / "ecli_24khz.yaml")
    with pytest.raises(UsageError, match="are for encodec_24khz and encodec_48khz, not ecli"):
        load_language_model(path, bundled)


def test_the_context_lasts_three_and_a_half_seconds(tmp_path: Path) -> None:
    config = load_codec_config(configs_folder() / "encodec_48khz.yaml")
    path = tmp_path / "lm.th"
    torch.save(meta_lm(16, 1024, layers=1).state_dict(), path)

    assert load_language_model(path, config).past_context == 525
