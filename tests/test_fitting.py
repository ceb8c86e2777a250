"""`encode --fit`: latents fitted through the decoder give better codes of the same format."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cli_samples import REPOSITORY, run
from runtime_samples import weights_of
from tiny_models import segment_model, tiny_model, wave

from encodec_cli import decode, encode, load_model, load_module, stream_encoder
from encodec_cli.audio import read_mono
from encodec_cli.container import read_ecdc
from encodec_cli.errors import UsageError
from encodec_cli.evaluation.distances import mel_distance
from encodec_cli.model.codec import Codec
from encodec_cli.runtime.engine import NumpyEngine
from encodec_cli.runtime.protocol import Rows
from encodec_cli.stream.batching import run_together

SPEECH = REPOSITORY / "samples" / "speech.wav"
RATE = 24_000


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_model()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_mono(SPEECH, RATE)[None, RATE : 3 * RATE + 777]


def codes_of(codec: Codec, samples: np.ndarray, size: int, **options: Any) -> np.ndarray:
    """Of a stream that is pushed `size` samples at a time."""
    encoder = stream_encoder(codec, 4, search=1, **options)
    pushes = [samples[:, i : i + size] for i in range(0, samples.shape[1], size)]
    chunks = [chunk for push in pushes for chunk in encoder.push(push)]
    return np.concatenate([c.codes for c in [*chunks, *encoder.finish()]], axis=1)


def distances(codec: Codec, speech: np.ndarray, bandwidth: float, *fits: int) -> list[float]:
    """Mel distances of what refined codes decode to, after so many steps of fitting."""
    found = []
    for fit in fits:
        coded = encode(codec, speech, bandwidth=bandwidth, refine=True, fit=fit)
        decoded = torch.from_numpy(decode(codec, coded)[0])
        found.append(float(mel_distance(torch.from_numpy(speech[0]), decoded, RATE)))
    return found


@pytest.mark.parametrize("bandwidth", [6, 12])
def test_fitted_codes_decode_nearer_than_refined_ones(
    codec: Codec, speech: np.ndarray, bandwidth: float
) -> None:
    none, one, three = distances(codec, speech, bandwidth, 0, 1, 3)
    assert one < 0.998 * none
    assert three < 0.995 * one


@pytest.mark.parametrize("bandwidth", [1.5, 3])
def test_with_few_codebooks_a_step_makes_up_for_their_errors(
    codec: Codec, speech: np.ndarray, bandwidth: float
) -> None:
    none, one = distances(codec, speech, bandwidth, 0, 1)
    assert one < 0.99 * none  # a step at the latents themselves gives less, or nothing


def test_codes_do_not_depend_on_pushes_or_threads(codec: Codec, speech: np.ndarray) -> None:
    whole = codes_of(codec, speech, speech.shape[1], fit=2)
    np.testing.assert_array_equal(codes_of(codec, speech, 7_001, fit=2), whole)
    beside = replace(codec, engine=codec.engine.overlapped())
    np.testing.assert_array_equal(codes_of(beside, speech, speech.shape[1], fit=2), whole)
    assert not np.array_equal(codes_of(codec, speech, speech.shape[1], refine=True), whole)


def test_many_streams_at_once_get_the_codes_of_each_alone(tmp_path: Path) -> None:
    samples, rate = soundfile.read(SPEECH)
    for i in range(3):
        part = samples[i * rate : (i + 1) * rate + 500 * i]
        soundfile.write(tmp_path / f"{i}.wav", part, rate)
    for name, more in (("one", ("--threads", "1")), ("three", ("--threads", "3"))):
        inputs = sorted(tmp_path.glob("*.wav"))
        run("encode", *inputs, "-o", tmp_path / name, "-b", "3", "--fit", "1", *more).ok()
    for i in range(3):
        found = [(tmp_path / name / f"{i}.ecdc").read_bytes() for name in ("one", "three")]
        assert found[0] == found[1]


def test_silence_is_left_as_it_is(codec: Codec) -> None:
    silence = np.zeros((1, RATE // 2), np.float32)

    found = encode(codec, silence, bandwidth=12, fit=2)

    np.testing.assert_array_equal(found.codes, encode(codec, silence, bandwidth=12).codes)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 24_001])
def test_any_length_gives_as_many_frames(codec: Codec, samples: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    encoders = [stream_encoder(codec, 1, search=1, fit=fit) for fit in (0, 1)]
    chunks = [[*encoder.push(noise), *encoder.finish()] for encoder in encoders]
    plain, fitted = (sum(chunk.frames for chunk in each) for each in chunks)
    assert plain == fitted


@pytest.mark.parametrize(
    "seanet",
    [
        {},
        {"decoder": {"trim_right_ratio": 0.0}},
        {"causal": False},
        {"lstm": 2},
        {"norm": "layer_norm", "disable_norm_outer_blocks": 1},
        {"kernel_size": 1, "last_kernel_size": 1, "residual_kernel_size": 1},
    ],
)
def test_both_engines_fit_models_of_any_kind(seanet: dict[str, Any]) -> None:
    """Latents move as far as they may, the same way on both."""
    torch.manual_seed(0)
    module = tiny_model(seanet=seanet)
    torch_codec = module.codec()
    numpy_codec = replace(torch_codec, engine=NumpyEngine(module.config, weights_of(module)))
    samples = wave(1_000)

    def latents(codec: Codec, fit: int) -> Rows:
        encoder = stream_encoder(codec, 3, chunk_frames=16, refine=True, fit=fit)
        return np.concatenate([each.latents for each in encoder.latents([samples])])

    refined = latents(numpy_codec, 0)
    found = [latents(codec, 1) for codec in (torch_codec, numpy_codec)]
    moved = np.abs(found[1] - refined)
    assert found[1].shape == refined.shape
    assert np.median(moved) > 0.03 * refined.std()
    assert moved.max() < 0.2 * refined.std()
    # Where a gradient is nearly 0, rounding decides about its sign.
    assert np.mean(np.isclose(found[0], found[1], rtol=0, atol=1e-3)) > 0.98


@pytest.mark.parametrize("factor", [1e-30, 1e18, 1e38])
def test_weights_of_any_size_are_fitted_without_a_word(factor: float) -> None:
    module = tiny_model()
    for parameter in module.decoder.parameters():
        parameter.mul_(factor)
    codec = replace(module.codec(), engine=NumpyEngine(module.config, weights_of(module)))
    assert encode(codec, wave(400), n_q=3, fit=2).codes.shape[0] == 3


@pytest.mark.parametrize("chunk_frames", [1, 2, 3])
def test_blocks_shorter_than_the_look_ahead_are_fitted_too(chunk_frames: int) -> None:
    module = tiny_model(seanet={"decoder": {"trim_right_ratio": 0.0}})
    codec = replace(module.codec(), engine=NumpyEngine(module.config, weights_of(module)))
    found = []
    for fit in (0, 1):
        encoder = stream_encoder(codec, 3, chunk_frames=chunk_frames, refine=True, fit=fit)
        found.append(np.concatenate([each.latents for each in encoder.latents([wave(200)])]))
    assert found[0].shape == found[1].shape
    assert not np.array_equal(*found)


def test_streams_in_batches_get_the_codes_of_each_alone() -> None:
    codec = tiny_model(seanet={"decoder": {"trim_right_ratio": 0.0}}).codec()
    signals = [wave(400 + 90 * i, seed=i) for i in range(4)]
    jobs = [partial(encode, wav=wav, n_q=2, fit=1) for wav in signals]
    for outcome in run_together(codec, jobs, streams=3):
        expected = encode(codec, signals[outcome.job], n_q=2, fit=1).codes
        assert np.mean(outcome.result().codes == expected) > 0.97


def test_the_torch_engine_has_the_gradients_of_the_numpy_engine(codec: Codec) -> None:
    latents = np.random.default_rng(0).standard_normal((40, 128)).astype(np.float32)
    found = []
    for engine in (codec.engine, load_module().codec().engine):
        samples, back = engine.traced_decoder().traced(latents, 2_000)
        found.append((samples, back(np.cos(np.arange(samples.size, dtype=np.float32))[:, None])))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_the_command(tmp_path: Path) -> None:
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(tmp_path / "a.wav", samples[:rate], rate)
    for name, more in (("plain", ()), ("fitted", ("--fit", "1"))):
        run("encode", tmp_path / "a.wav", tmp_path / f"{name}.ecdc", "-b", "3", *more).ok()
    run("decode", tmp_path / "fitted.ecdc", tmp_path / "b.wav").ok()

    one, other = (read_ecdc(tmp_path / f"{name}.ecdc") for name in ("plain", "fitted"))
    assert one.codes.shape == other.codes.shape
    assert (one.codes != other.codes).any()
    assert one.header.model_sha256 == other.header.model_sha256


PROGRAM = """
import sys
import numpy as np
from encodec_cli import encode, load_model
encode(load_model(), np.sin(np.arange(24000, dtype=np.float32))[None], n_q=2, fit=1)
print("torch" in sys.modules)
"""


def test_fitting_loads_no_torch() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "False"


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, codec: Codec, stereo: Path) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(RATE, np.float32), RATE)
    for other, words in (
        (["--latency", "100"], "takes longer than live pipes wait"),
        (["--target-kbps", "3"], "does not go with --target-kbps"),
    ):
        result = run("encode", source, tmp_path / "a.ecdc", "--fit", "2", *other)
        result.refused(2, f"--fit: {words}")
    for option in (("--fit", "2"), ("--refine",)):
        result = run("encode", source, tmp_path / "a.ecdc", "-m", stereo, *option)
        result.refused(2, f"{option[0]}: tiny48 codes segments; leave it out")
    assert not (tmp_path / "a.ecdc").exists()
    with pytest.raises(UsageError, match="fit: tiny codes segments; leave it out"):
        stream_encoder(segment_model(), 1, fit=1)
    for steps in (-1, 1_001):
        with pytest.raises(UsageError, match=f"fit={steps}: give 0 to 1000 steps"):
            stream_encoder(codec, 1, fit=steps)
