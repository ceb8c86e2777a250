"""`report`: what it takes, refuses and leaves behind."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from cli_samples import RATE, run, write_audio
from report_samples import EVIL

from encodec_cli.cli.report import short_names
from encodec_cli.evaluation.other_codecs import CODECS
from encodec_cli.report import open_excerpt

pytest.importorskip("matplotlib")


def names(page: Path) -> list[str]:
    """Of the recordings on a page, in order."""
    return re.findall(r'<h3 id="r\d+-name">(.*?)</h3>', page.read_text(encoding="utf-8"))


def labels(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8").split("<article")[1]
    return re.findall(r'<div class="version" role="group" data-label="(.*?)"', text)


def test_a_page_of_two_recordings(tmp_path: Path, mono: Path) -> None:
    a, b = (write_audio(tmp_path / name, 12_000) for name in ("a.wav", "b.flac"))
    page = tmp_path / "page.html"
    result = run("report", a, b, "-o", page, "-m", mono).ok()
    assert result.stdout == b""
    assert names(page) == ["a.wav", "b.flac"]
    assert labels(page) == ["original", "1.5 kb/s", "6 kb/s"]  # the model's own rates
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{a}: 0.50 s, 24,000 Hz, mono; 0.")
    assert lines[-1].startswith(f"{page}: 2 recordings, ")
    size = page.stat().st_size
    assert f"{size / 1e6:.1f} MB" in lines[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.flac", "page.html"]


@pytest.mark.slow
def test_json_and_quiet(tmp_path: Path, mono: Path) -> None:
    source, page = write_audio(tmp_path / "a.wav", 6000), tmp_path / "p.html"
    result = run("report", source, "-o", page, "-m", mono, "-b", "3", "--json", "-q").ok()
    assert result.stderr == ""
    expected = {"target": str(page), "recordings": 1, "bytes": page.stat().st_size}
    assert json.loads(result.text) == expected
    assert labels(page) == ["original", "3 kb/s"]


@pytest.mark.slow
def test_one_bad_input_does_not_stop_the_others(tmp_path: Path, mono: Path) -> None:
    good = write_audio(tmp_path / "good.wav", 6000)
    (tmp_path / "bad.wav").write_bytes(b"not audio at all")
    page = tmp_path / "p.html"
    result = run("report", tmp_path / "bad.wav", good, tmp_path / "no.wav", "-o", page, "-m", mono)
    assert result.code == 1
    assert len(result.errors) == 2
    assert names(page) == ["good.wav"]


def test_nothing_is_written_if_nothing_can_be_read(tmp_path: Path, mono: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"not audio at all")
    result = run("report", tmp_path / "bad.wav", "-o", tmp_path / "p.html", "-m", mono)
    result.refused(1, "bad.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.wav"]


@pytest.mark.slow
def test_refusals_come_before_the_work(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 6000)
    page = tmp_path / "p.html"
    page.write_text("mine")
    common = ("report", source, "-m", mono)
    run(*common, "-o", page).refused(1, "use --force")
    assert page.read_text() == "mine"
    run(*common, "-o", page, "-f", "-b", "3,x").refused(2, "--bandwidths 3,x")
    run(*common, "-o", page, "-f", "-b", "3,99").refused(2, "99")
    run(*common, "-o", page, "-f", "-b", "none").refused(2, "nothing to measure")
    run(*common, "-o", tmp_path / "p.pdf").refused(2, "ends in .html")
    run(*common, "-o", tmp_path / "no" / "p.html").refused(1, "does not exist")
    run("report", tmp_path, "-o", page, "-f", "-m", mono).refused(2, "--recursive")
    missing = ("report", tmp_path / "no.wav", "-o", page, "-f", "-m", tmp_path / "no.safetensors")
    run(*missing).refused(1, "no.wav: no such file")  # before the model is looked for
    assert page.read_text() == "mine"
    run(*common, "-o", page, "-f", "-b", "3").ok()
    assert names(page) == ["a.wav"]


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, mono: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_audio(tmp_path / "a.wav", 6000)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("report", source, "-o", tmp_path / "p.html", "-m", mono)
    result.refused(2, "matplotlib", "run: pip install matplotlib")
    assert not (tmp_path / "p.html").exists()


@pytest.mark.slow
def test_long_recordings_are_cut_to_what_is_measured(tmp_path: Path, mono: Path) -> None:
    source, page = write_audio(tmp_path / "a.wav", 3 * RATE), tmp_path / "p.html"
    options = ("-o", page, "-m", mono, "-b", "6", "--seconds", "0.5")
    result = run("report", source, *options).ok()
    assert "the first 0.50 s of 3.00 s" in result.stderr
    text = page.read_text(encoding="utf-8")
    assert "the first 0.50 s of 3.00 s, 24,000 Hz, mono" in text
    assert '<th scope="row">original</th><td>24,000</td><td>384</td>' in text  # bytes of 16 bits


def test_an_excerpt_is_the_beginning_and_goes_with_its_context(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    source = write_audio(tmp_path / "a.wav", 30_000, channels=2)
    audio = soundfile.read(source)[0].mean(axis=1)
    for most, samples in ((1.0, RATE), (2.0, 30_000), (1e-9, 1), (1.25, 30_000)):
        with open_excerpt(source, RATE, 1, most_seconds=most, kind="music") as (reference, facts):
            assert reference.audio.shape == (1, samples)
            np.testing.assert_allclose(reference.audio[0], audio[:samples], atol=1.1 / 2**15)
            assert reference.path.exists()
            assert facts.endswith("24,000 Hz, stereo, music")
            assert facts.startswith("the first ") == (samples < 30_000)
        assert not reference.path.exists()


@pytest.mark.slow
def test_folders_and_kinds(tmp_path: Path, mono: Path) -> None:
    for name in ("speech/a.wav", "music/b.wav", "c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_audio(tmp_path / name, 6000)
    page = tmp_path / "p.html"
    run("report", tmp_path, "-r", "-o", page, "-m", mono, "-b", "6").ok()
    assert names(page) == ["c.wav", "music/b.wav", "speech/a.wav"]
    overview = page.read_text(encoding="utf-8").split("<article")[0]
    assert "<caption>music, 1 recording</caption>" in overview
    assert "<caption>speech, 1 recording</caption>" in overview
    assert "<caption>others, 1 recording</caption>" in overview


def test_names_without_the_folders_that_tell_nothing() -> None:
    root = Path(Path.cwd().anchor)
    far = [root / "data" / "a" / "1.wav", root / "home" / "b" / "2.wav"]
    assert list(short_names(far).values()) == ["1.wav", "2.wav"]
    twins = [root / "data" / "a" / "1.wav", root / "home" / "b" / "1.wav"]
    assert list(short_names(twins).values()) == ["a/1.wav", "b/1.wav"]
    near = [root / "data" / "a" / "1.wav", root / "data" / "b" / "c" / "2.wav"]
    assert list(short_names(near).values()) == ["a/1.wav", "b/c/2.wav"]
    assert list(short_names([root / "1.wav"]).values()) == ["1.wav"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="such names are impossible there")
def test_names_that_are_code_stay_names(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / EVIL.replace("/", "|"), 6000)
    page = tmp_path / "p.html"
    run("report", source, "-o", page, "-m", mono, "-b", "6").ok()
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(2)&gt;" in text


@pytest.mark.slow
def test_other_codecs_stand_beside_the_model(tmp_path: Path, mono: Path) -> None:
    programs = [codec.encode[0] for codec in CODECS["mp3"]]
    import shutil

    if not any(map(shutil.which, programs)):
        pytest.skip(f"{programs[0]}, which makes MP3, is not here")
    source, page = write_audio(tmp_path / "a.wav", RATE), tmp_path / "p.html"
    run("report", source, "-o", page, "-m", mono, "-b", "6", "--against", "mp3:16").ok()
    *ours, other = labels(page)
    assert ours == ["original", "6 kb/s"]
    assert re.fullmatch(r"mp3 1[5-8](\.\d)? kb/s", other)  # its real rate
    overview = page.read_text(encoding="utf-8").split("<article")[0]
    assert '<ul class="keys"' in overview
