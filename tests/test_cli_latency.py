"""`encode --latency`: short chunks, which leave and are decoded as soon as they are complete."""

import os
import select
import subprocess
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from cli_samples import (
    HOP,
    PATIENCE_SECONDS,
    RATE,
    command,
    environment,
    make_model,
    run,
    stereo_config,
    tone,
    write_audio,
    write_model,
)

from encodec_cli.container import read_ecdc

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "a.wav", 2 * RATE + 100)


@pytest.mark.slow
@pytest.mark.parametrize(("latency", "frames"), [("100", 7), ("13.34", 1), ("9999", 80)])
def test_chunks_are_as_short_as_asked_for(
    tmp_path: Path, mono: Path, wav: Path, latency: str, frames: int
) -> None:
    run("encode", wav, "-m", mono).ok()
    run("encode", wav, tmp_path / "b.ecdc", "-m", mono, "--latency", latency).ok()
    whole, live = read_ecdc(tmp_path / "a.ecdc"), read_ecdc(tmp_path / "b.ecdc")
    assert live.header.chunk_frames == frames
    assert live.codes.shape == whole.codes.shape
    assert np.mean(live.codes != whole.codes) < 0.01  # near-ties
    for name in ("a", "b"):
        run("decode", tmp_path / f"{name}.ecdc", "-m", mono, "-f", "--encoding", "float").ok()
    decoded = [soundfile.read(tmp_path / f"{name}.wav")[0] for name in "ab"]
    if (live.codes == whole.codes).all():
        np.testing.assert_allclose(decoded[1], decoded[0], rtol=0, atol=1e-5)
    assert len(decoded[1]) == 2 * RATE + 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--latency", "12"), "--latency 12: tiny24 needs at least 13.33 ms, one frame"),
        (("--latency", "nan"), "--latency nan: tiny24 needs"),
        (("--latency", "100", "--format", "v0"), "format 0 is written when its end is known"),
    ],
)
def test_latencies_that_cannot_be(
    mono: Path, wav: Path, arguments: tuple[str, ...], words: str
) -> None:
    run("encode", wav, "-m", mono, *arguments).refused(2, words)
    assert not wav.with_suffix(".ecdc").exists()


def test_segments_cannot_be_shortened(tmp_path: Path, wav: Path) -> None:
    stereo = write_model(tmp_path / "stereo.safetensors", make_model(stereo_config()))
    run("encode", wav, "-m", stereo, "--latency", "100").refused(2, "tiny48 codes segments of 1 s")


def read_within(file: IO[bytes], count: int) -> bytes:
    """The next `count` bytes of a pipe that stays open; fewer if they do not come in time."""
    data = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(data) < count and time.monotonic() < deadline:
        if select.select([file], [], [], 1.0)[0]:
            data += os.read(file.fileno(), count - len(data))
    return data


@pytest.mark.slow
def test_a_live_pipe_waits_for_one_block_and_no_longer(mono: Path, wav: Path) -> None:
    """What a block takes goes in; all of it comes out, but for the frame that may be the last."""
    block = 7 * HOP
    unknown = b"\xff\xff\xff\xff"  # the sizes that recorders write into pipes
    audio = wav.read_bytes()[: 44 + 2 * block]
    audio = audio[:4] + unknown + audio[8:40] + unknown + audio[44:]
    encode = " ".join(command("encode", "-", "-", "-m", mono, "-q", "--latency", "100"))
    decode = " ".join(command("decode", "-", "-", "-m", mono, "-q"))
    with subprocess.Popen(
        f"{encode} | {decode}",
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(audio)
        child.stdin.flush()
        heard = read_within(child.stdout, 46 + 2 * (block - HOP))
        assert len(heard) == 46 + 2 * (block - HOP)
        child.stdin.close()
        rest = child.stdout.read()
    assert len(rest) == 2 * HOP


@pytest.mark.slow
@pytest.mark.parametrize("latency", ["100", "13.34"])
def test_a_quiet_live_stream_sounds_like_a_loud_one(tmp_path: Path, latency: str) -> None:
    """With the bundled model, once its level has been found."""
    speech, rate = soundfile.read(SAMPLES / "speech.wav", frames=5 * 24000, dtype="float32")
    factors, heard = (1.0, 10 ** (-30 / 20)), []
    for name, factor in zip(("loud", "quiet"), factors, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", speech * factor, rate, subtype="FLOAT")
        run("encode", tmp_path / f"{name}.wav", "--search", "1", "--latency", latency).ok()
        run("decode", tmp_path / f"{name}.ecdc", "-f", "--encoding", "float").ok()
        heard.append(soundfile.read(tmp_path / f"{name}.wav")[0] / factor)
    error = np.square(heard[1] - heard[0])[3 * rate :].mean()
    assert 10 * np.log10(np.square(heard[0][3 * rate :]).mean() / error) > 25


def test_the_tail_of_tone_is_not_lost(tmp_path: Path, mono: Path) -> None:
    """A length of whole blocks leaves nothing for the end but the end mark."""
    source = tmp_path / "a.wav"
    soundfile.write(source, tone(7 * HOP * 3 / RATE), RATE)
    run("encode", source, "-m", mono, "--latency", "100").ok()
    ecdc = read_ecdc(tmp_path / "a.ecdc")
    assert ecdc.header.num_samples == 7 * HOP * 3
    assert ecdc.codes.shape == (8, 21)
