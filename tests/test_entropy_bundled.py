"""What the bundled model's files take with the bundled code model."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_samples import REPOSITORY, run

from encodec_cli.checkpoints.card import file_sha256, find_model, read_card
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.container import read_ecdc
from encodec_cli.entropy.library import code_model_of

CARD = read_card(find_model(DEFAULT_MODEL))
SPEECH = REPOSITORY / "samples" / "speech.wav"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        code_model_of(CARD.identity or file_sha256(CARD.path)) is None,
        reason="no code model of the default model is bundled",
    ),
]


def coded(source: Path, target: Path, *options: str) -> Path:
    run("encode", source, target, *options).ok()
    return target


@pytest.mark.parametrize("bandwidth", ["1.5", "6"])
def test_ten_seconds_of_digital_silence_take_less_than_300_bytes(
    tmp_path: Path, bandwidth: str
) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(240_000, np.float32), 24_000)

    assert coded(source, tmp_path / "a.ecdc", "-b", bandwidth).stat().st_size < 300


def test_three_seconds_of_speech_at_the_lowest_rate_take_less_than_480_bytes(
    tmp_path: Path,
) -> None:
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(tmp_path / "a.wav", samples[rate : 4 * rate], rate)

    assert coded(tmp_path / "a.wav", tmp_path / "a.ecdc", "-b", "1.5").stat().st_size < 480


@pytest.mark.parametrize(("bandwidth", "saved"), [("1.5", 0.4), ("6", 0.26)])
def test_a_file_is_much_smaller_than_in_format_1_and_has_the_same_codes(
    tmp_path: Path, bandwidth: str, saved: float
) -> None:
    old = coded(SPEECH, tmp_path / "old.ecdc", "-b", bandwidth, "--format", "v1")
    new = coded(SPEECH, tmp_path / "new.ecdc", "-b", bandwidth)

    assert new.stat().st_size < (1 - saved) * old.stat().st_size
    np.testing.assert_array_equal(read_ecdc(new).codes, read_ecdc(old).codes)
    np.testing.assert_array_equal(read_ecdc(new).scales, read_ecdc(old).scales)
    run("verify", new).ok()


def test_a_peeled_file_is_the_file_of_its_codes_and_nothing_needs_the_audio_model(
    tmp_path: Path,
) -> None:
    whole = coded(SPEECH, tmp_path / "a.ecdc", "-b", "12")
    run("peel", whole, tmp_path / "b.ecdc", "-b", "6").ok()
    run("peel", tmp_path / "b.ecdc", tmp_path / "c.ecdc", "-b", "1.5").ok()
    run("peel", whole, tmp_path / "d.ecdc", "-b", "1.5").ok()

    assert (tmp_path / "c.ecdc").read_bytes() == (tmp_path / "d.ecdc").read_bytes()
    facts = json.loads(run("info", tmp_path / "d.ecdc", "--json").ok().text)
    assert facts["coded_chunks"] == facts["chunks"]
    np.testing.assert_array_equal(read_ecdc(tmp_path / "d.ecdc").codes, read_ecdc(whole).codes[:2])
