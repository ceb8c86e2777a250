"""Recordings through models: what the rows say is what the files hold."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_samples import RATE, make_model, mono_config, stereo_config, write_audio

from encodec_cli.errors import AudioError, UsageError
from encodec_cli.evaluation import evaluate
from encodec_cli.evaluation.evaluate import Coded, evaluate_model, is_speech, judge, read_reference
from encodec_cli.model.module import CompressionModel
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file


@pytest.fixture(scope="module")
def model() -> CompressionModel:
    return make_model(mono_config())


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo at another rate than the models'."""
    path = tmp_path_factory.mktemp("evaluate") / "x.wav"
    return write_audio(path, 44_100, rate=44_100, channels=2)


def test_rows_are_what_encode_and_decode_make(
    model: CompressionModel, recording: Path, tmp_path: Path
) -> None:
    reference = read_reference(recording, RATE)
    assert (reference.audio.shape, reference.seconds) == ((1, RATE), 1.0)
    results = list(evaluate_model(model, reference))
    assert [result.row.bandwidth for result in results] == [1.5, 6]
    for result in results:
        row = result.row
        packed, decoded = tmp_path / f"{row.bandwidth}.ecdc", tmp_path / f"{row.bandwidth}.wav"
        n_q = model.config.codebooks_for(row.bandwidth or 0)
        encode_file(model, recording, packed, EncodeOptions(n_q=n_q))
        decode_file(model, packed, decoded, DecodeOptions(encoding="float"))
        assert row.bytes == packed.stat().st_size
        assert row.kbps == pytest.approx(8e-3 * row.bytes)
        np.testing.assert_array_equal(soundfile.read(decoded, dtype="float32")[0], result.audio[0])
        assert row.clipped == int((abs(result.audio) >= 32767 / 32768).sum())
        assert (row.recording, row.kind, row.codec) == (str(recording), None, "tiny24")
        for speed in (row.encode_speed, row.decode_speed):
            assert speed is not None
            assert 0 < speed < 1e6
        assert row.as_dict().items() >= {"kbps": row.kbps, **row.metrics}.items()
        assert "metrics" not in row.as_dict()


def test_bandwidths_are_those_asked_for(model: CompressionModel, recording: Path) -> None:
    reference = read_reference(recording, RATE)
    (result,) = evaluate_model(model, reference, [3])
    assert result.row.bandwidth == 3
    with pytest.raises(UsageError, match="kb/s"):
        list(evaluate_model(model, reference, [24]))


def test_stereo_models_are_judged_by_the_mix(recording: Path) -> None:
    stereo = make_model(stereo_config())
    reference = read_reference(recording, stereo.sample_rate, stereo.channels)
    (result,) = evaluate_model(stereo, reference, [3])
    assert result.audio.shape == reference.audio.shape == (2, 48_000)
    mono = Coded(
        codec="mix",
        bandwidth=None,
        bytes=None,
        audio=result.audio.mean(0, keepdims=True),
        encode_seconds=None,
        decode_seconds=None,
    )
    row = judge(reference, mono)
    assert row.metrics == pytest.approx(dict(result.row.metrics))
    assert (row.kbps, row.encode_speed, row.decode_speed) == (None, None, None)


def test_what_comes_back_as_it_went_is_perfect(recording: Path) -> None:
    reference = read_reference(recording, RATE, kind="music")
    louder = Coded(
        codec="amplifier",
        bandwidth=None,
        bytes=8000,
        audio=10 * reference.audio,
        encode_seconds=0.5,
        decode_seconds=0.25,
    )
    row = judge(reference, louder)
    assert row.kbps == 64
    assert (row.encode_speed, row.decode_speed) == (2, 4)
    assert row.clipped == int((abs(reference.audio) >= 0.1).sum()) > 0
    assert row.metrics["si_sdr"] > 100
    assert row.metrics["level_db"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("kind", "speech", "expected"),
    [
        (None, None, True),
        ("speech", None, True),
        ("audiobooks", None, True),
        ("Music", None, False),
        ("sound", None, False),
        ("speech", False, False),
        ("music", True, True),
    ],
)
def test_speech_metrics_are_for_speech(
    kind: str | None, speech: bool | None, expected: bool, recording: Path
) -> None:
    reference = read_reference(recording, RATE, kind=kind)
    if speech is None:
        assert is_speech(kind) == expected
    same = Coded(
        codec="wire",
        bandwidth=None,
        bytes=None,
        audio=reference.audio,
        encode_seconds=None,
        decode_seconds=None,
    )
    row = judge(reference, same, speech=speech)
    assert ("estoi" in row.metrics) == expected
    assert all(math.isfinite(value) for value in row.metrics.values())


def test_recordings_must_fit_in_memory(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_MOST_SECONDS", 0.9)
    with pytest.raises(AudioError, match=r"x.wav: is longer than 0.015 minutes.*cut it"):
        read_reference(recording, RATE)
