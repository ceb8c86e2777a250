"""`--threads`: the same bytes with any number of them, for one file and for many; `--verbose`."""

from dataclasses import replace
from pathlib import Path

import pytest
from cases import mostly_slow
from cli_samples import RATE, make_model, mono_config, run, write_audio, write_model

from encodec_cli.io.cores import usable_cores

SAMPLES = (1, 30_000, 25_600, 70_001, 24_000)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings of many lengths, one of them broken."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, samples in enumerate(SAMPLES):
        write_audio(folder / f"{number}.wav", samples, rate=16_000, level=0.1 * (number + 1))
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def with_lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a model that runs on torch where torch is loaded already, as it is here."""
    config = mono_config()
    config = replace(
        config, seanet=replace(config.seanet, lstm=1), decoder=replace(config.decoder, lstm=1)
    )
    return write_model(tmp_path_factory.mktemp("lstm") / "lstm.safetensors", make_model(config))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("kind", "options"),
    mostly_slow(
        [
            ("mono", ("--search", "4", "-b", "3")),
            ("mono", ()),
            ("mono", ("--latency", "100")),
            ("stereo", ()),
            ("stereo", ("--search", "4", "-b", "3")),
        ]
    ),
)
def test_one_file(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    model: Path = request.getfixturevalue(kind)
    source = write_audio(tmp_path / "a.wav", 3 * RATE + 77)
    outputs = []
    for threads in ("1", "2", "5"):
        coded, decoded = tmp_path / f"{threads}.ecdc", tmp_path / f"{threads}.wav"
        run("encode", source, coded, "-m", model, "--threads", threads, *options).ok()
        run("decode", coded, decoded, "-m", model, "--threads", threads).ok()
        run("decode", coded, tmp_path / f"{threads}.flac", "-m", model, "--threads", threads).ok()
        start = ("--start", "1.3", "--duration", "0.5")
        part = run("decode", coded, "-", "-m", model, "--threads", threads, *start).ok().stdout
        piped = run("decode", "-", "-", "-m", model, stdin=coded.read_bytes()).ok().stdout
        assert piped[100:] == decoded.read_bytes()[100 - len(piped) :]  # after the headers
        flac = (tmp_path / f"{threads}.flac").read_bytes()
        outputs.append((coded.read_bytes(), decoded.read_bytes(), flac, part, piped))
    assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.slow
def test_many_files(mono: Path, recordings: Path, tmp_path: Path) -> None:
    coded, decoded = [], []
    for threads in ("1", "2", "5"):
        packed, audio = tmp_path / f"{threads}-ecdc", tmp_path / f"{threads}-wav"
        common = ("-m", mono, "--threads", threads)
        done = run("encode", recordings, "-r", "-o", packed, *common)
        assert done.code == 1
        [error] = done.errors
        assert "broken.wav" in error
        coded.append(contents(packed))
        run("decode", packed, "-r", "-o", audio, *common).ok()
        decoded.append(contents(audio))
    assert set(coded[0]) == {f"{number}.ecdc" for number in range(len(SAMPLES))}
    assert coded[0] == coded[1] == coded[2]
    assert decoded[0] == decoded[1] == decoded[2]
    # Many at once are what each is by itself.
    for number in range(len(SAMPLES)):
        alone = tmp_path / f"{number}.ecdc"
        run("encode", recordings / f"{number}.wav", alone, "-m", mono, "--threads", "1").ok()
        assert alone.read_bytes() == coded[0][alone.name]


def test_tokens(mono: Path, recordings: Path, tmp_path: Path) -> None:
    found = []
    for threads in ("1", "2"):
        folder = tmp_path / threads
        common = ("-m", mono, "--to", "npz", "--threads", threads)
        run("tokens", recordings / "3.wav", "-o", folder, *common).ok()
        found.append(contents(folder))
    assert found[0] == found[1]


def test_no_threads_are_refused(mono: Path, tmp_path: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 1000)
    refused = run("encode", source, "-m", mono, "--threads", "0")
    assert refused.code == 2
    assert "0 is not in the range" in refused.stderr


@pytest.mark.parametrize(
    ("kind", "words"),
    [("mono", "tiny24: runs on numpy, "), ("with_lstm", "tiny24: runs on torch, cpu, float32, ")],
)
def test_verbose_says_what_the_model_runs_on(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, words: str
) -> None:
    model: Path = request.getfixturevalue(kind)
    source, coded = write_audio(tmp_path / "a.wav", 3000), tmp_path / "a.ecdc"
    common = ("-m", model, "--device", "cpu")
    lines = [
        run("encode", source, coded, *common, "--verbose", "--threads", "1").ok(),
        run("decode", coded, tmp_path / "b.wav", *common, "-v", "--threads", "3").ok(),
        run("tokens", source, "--to", "npz", "-o", tmp_path, *common, "-v").ok(),
    ]
    assert f"{words}1 thread\n" in lines[0].stderr
    assert f"{words}3 threads\n" in lines[1].stderr
    assert f"{words}{usable_cores()} thread" in lines[2].stderr
    quiet = run("encode", source, coded, *common, "-f").ok()
    assert "runs on" not in quiet.stderr
