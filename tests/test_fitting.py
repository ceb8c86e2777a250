"""`encode --fit`: latents fitted through the decoder give better codes of the same format."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cli_samples import REPOSITORY, run
from tiny_models import segment_model

from encodec_cli import decode, encode, load_model, load_module, stream_encoder
from encodec_cli.audio import read_mono
from encodec_cli.container import read_ecdc
from encodec_cli.errors import UsageError
from encodec_cli.evaluation.distances import mel_distance
from encodec_cli.model.codec import Codec
from encodec_cli.train import fitting
from encodec_cli.train.fitting import fitting_codec

SPEECH = REPOSITORY / "samples" / "speech.wav"
RATE = 24_000


@pytest.fixture(scope="module")
def plain() -> Codec:
    return load_model()


@pytest.fixture(scope="module")
def fitted(plain: Codec) -> Codec:
    return fitting_codec(plain, load_module(), 16, 2)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_mono(SPEECH, RATE)[None, RATE : 3 * RATE]


@pytest.mark.slow
def test_fitted_codes_decode_nearer_with_the_same_decoder(
    plain: Codec, fitted: Codec, speech: np.ndarray
) -> None:
    before, after = encode(plain, speech, bandwidth=12), encode(fitted, speech, bandwidth=12)

    np.testing.assert_array_equal(after.scales, before.scales)
    assert after.codes.shape == before.codes.shape
    wav = torch.from_numpy(speech[0])
    distances = [
        mel_distance(wav, torch.from_numpy(decode(plain, ecdc)[0]), RATE)
        for ecdc in (before, after)
    ]
    assert distances[1] < 0.98 * distances[0]


@pytest.mark.slow
def test_codes_do_not_depend_on_the_pushes(fitted: Codec, speech: np.ndarray) -> None:
    def codes(size: int) -> np.ndarray:
        encoder = stream_encoder(fitted, 16)
        pushes = [speech[:, i : i + size] for i in range(0, speech.shape[1], size)]
        chunks = [chunk for push in pushes for chunk in encoder.push(push)]
        return np.concatenate([c.codes for c in [*chunks, *encoder.finish()]], axis=1)

    np.testing.assert_array_equal(codes(7_001), codes(speech.shape[1]))


def test_silence_is_left_as_it_is(plain: Codec, fitted: Codec) -> None:
    silence = np.zeros((1, RATE // 2), np.float32)

    found, expected = encode(fitted, silence, bandwidth=12), encode(plain, silence, bandwidth=12)

    np.testing.assert_array_equal(found.codes, expected.codes)


def test_steps_that_lead_astray_leave_the_codes_as_they_are(
    plain: Codec, fitted: Codec, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_RATE", 30.0)

    found = encode(fitted, speech, bandwidth=12)
    expected = encode(plain, speech, bandwidth=12, refine=True)

    np.testing.assert_array_equal(found.codes, expected.codes)


@pytest.mark.slow
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


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(RATE, np.float32), RATE)
    for other, words in (
        (["--latency", "100"], "takes longer than live pipes wait"),
        (["--ray"], "does not go with --ray"),
        (["--target-kbps", "3"], "does not go with --target-kbps"),
    ):
        result = run("encode", source, tmp_path / "a.ecdc", "--fit", "2", *other)
        result.refused(2, f"--fit: {words}")
    assert not (tmp_path / "a.ecdc").exists()
    segments = segment_model()
    with pytest.raises(UsageError, match=r"--fit: model \S+ codes segments, which"):
        fitting_codec(segments.codec(), segments, 1, 2)
