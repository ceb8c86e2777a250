"""Other codecs: a stand-in for ffmpeg shows what is run and counted; real ones where installed."""

import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import mostly_slow
from cli_samples import RATE, tone

from encodec_cli.audio import open_audio_writer
from encodec_cli.errors import EncodecCliError, UsageError
from encodec_cli.evaluation.evaluate import Reference, judge
from encodec_cli.evaluation.other_codecs import CODECS, OtherCodec, find_codec, through_codec

# Delays by 100 samples when it decodes, as codecs do.
_COPIES = """
import shutil, sys, wave
source, target = sys.argv[sys.argv.index("-i") + 1], sys.argv[-1]
if target.endswith("decoded.wav"):
    with wave.open(source) as file, wave.open(target, "wb") as out:
        out.setparams(file.getparams())
        out.writeframes(bytes(200) + file.readframes(file.getnframes()))
else:
    assert sys.argv[sys.argv.index("-b:a") + 1] == "24k"
    shutil.copy(source, target)
"""
_FAILS = "import sys\nsys.exit('Conversion failed!\\nno such rate')"


@pytest.fixture
def reference() -> Reference:
    audio = np.rint(tone(1.0).T * 32768).astype(np.float32) / np.float32(32768)
    return Reference(Path("x.wav"), "music", RATE, audio)


def put_program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, program: str) -> None:
    """A Python program as the only one that PATH knows."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


def test_what_comes_back_is_aligned_and_counted(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tmp_path, monkeypatch, "ffmpeg", _COPIES)
    coded = through_codec(find_codec("mp3"), reference, 24)
    np.testing.assert_array_equal(coded.audio, reference.audio)
    with open_audio_writer(tmp_path / "source.wav", RATE, 1) as writer:
        writer.write(reference.audio)
    assert coded.bytes == (tmp_path / "source.wav").stat().st_size
    assert (coded.codec, coded.bandwidth) == ("mp3", 24)
    for seconds in (coded.encode_seconds, coded.decode_seconds):
        assert seconds is not None
        assert seconds > 0


def test_a_program_that_fails_is_quoted(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tmp_path, monkeypatch, "ffmpeg", _FAILS)
    with pytest.raises(EncodecCliError, match="ffmpeg at 24 kb/s: no such rate"):
        through_codec(find_codec("mp3"), reference, 24)


def test_codecs_that_are_not_there(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="lyra: no codec to compare with; known are opus, mp3"):
        find_codec("lyra")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="opus: needs opusenc and opusdec, or ffmpeg"):
        find_codec("opus")
    with pytest.raises(EncodecCliError, match="ffmpeg: cannot be run: No such file"):
        through_codec(CODECS["mp3"][0], reference, 24)


def test_opus_is_taken_from_ffmpeg_where_opus_tools_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_program(tmp_path, monkeypatch, "opusenc", _FAILS)
    put_program(tmp_path, monkeypatch, "ffmpeg", _FAILS)
    assert find_codec("opus") is CODECS["opus"][1]
    put_program(tmp_path, monkeypatch, "opusdec", _FAILS)
    assert find_codec("opus") is CODECS["opus"][0]


INSTALLED = [
    (name, codec)
    for name, ways in CODECS.items()
    for codec in ways
    if shutil.which(codec.encode[0]) and shutil.which(codec.decode[0])
]


@pytest.mark.skipif(not INSTALLED, reason="neither ffmpeg nor opus-tools are here")
@pytest.mark.parametrize(
    ("name", "codec"), mostly_slow(INSTALLED), ids=lambda value: str(value)[:5]
)
def test_real_codecs_keep_to_their_rate_and_the_sound(
    name: str,
    codec: OtherCodec,
    reference: Reference,
) -> None:
    three = np.tile(reference.audio, 3)
    coded = through_codec(codec, replace(reference, audio=three), 48)
    row = judge(replace(reference, audio=three), coded)
    assert row.codec == name
    assert row.kbps is not None
    assert 15 < row.kbps < 72
    assert row.metrics["si_sdr"] > 5
    assert coded.audio.shape == three.shape
