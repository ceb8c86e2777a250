"""`roundtrip`: numbers that agree with encode and decode, words, a picture where one fits."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_samples import RATE, REPOSITORY, run, write_audio
from rich.console import Console

from encodec_cli.cli.spectrogram import PICTURE_ROWS, picture_pair, picture_width
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.verdict import verdict, verdicts


def test_roundtrip_measures_and_keeps(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 36_000)
    kept = tmp_path / "kept.flac"
    result = run("roundtrip", source, kept, "-m", mono, "--json", "-b", "3").ok()
    report = json.loads(result.text)
    run("encode", source, "-m", mono, "-b", "3").ok()
    size = (tmp_path / "a.ecdc").stat().st_size
    assert (report["source"], report["target"]) == (str(source), str(kept))
    assert (report["model"], report["codebooks"], report["seconds"]) == ("tiny24", 4, 1.5)
    assert (report["source_bytes"], report["bytes"]) == (source.stat().st_size, size)
    assert report["kbps"] == pytest.approx(size * 8 / 1.5 / 1000, abs=1e-3)
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", mono).ok()
    x, y = (soundfile.read(p)[0] for p in (source, tmp_path / "b.wav"))
    level = 10 * np.log10((y**2).mean() / (x**2).mean())
    assert report["level_db"] == pytest.approx(level, abs=0.01)
    assert {"si_sdr", "mel"} <= report.keys()
    np.testing.assert_array_equal(soundfile.read(kept)[0], y)


def test_roundtrip_table_names_each_number(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "[bold]a.wav", 36_000)
    result = run("roundtrip", source, tmp_path / "b.wav", "-m", mono).ok()
    assert result.stderr == ""
    for word in ("[bold]a.wav", "1.50 s", "times smaller", "SI-SDR", "mel distance", "b.wav"):
        assert word in result.text


def test_roundtrip_does_not_overwrite_its_source(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 2000)
    before = source.read_bytes()
    (tmp_path / "link.wav").symlink_to(source)
    for target in (source, tmp_path / "link.wav"):
        run("roundtrip", source, target, "-m", mono, "--force").refused(2, "is the input")
    assert source.read_bytes() == before


@pytest.mark.parametrize("samples", [1, 500, 7000])
def test_roundtrip_of_very_short_sound_has_no_warnings(
    tmp_path: Path, mono: Path, samples: int
) -> None:
    source = write_audio(tmp_path / "a.wav", samples)
    result = run("roundtrip", source, "-m", mono, "--json").ok()
    assert result.stderr == ""
    report = json.loads(result.text)
    assert report["seconds"] == round(samples / RATE, 3)
    assert "estoi" not in report


def test_roundtrip_of_silence(tmp_path: Path, mono: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(30_000), RATE)
    report = json.loads(run("roundtrip", tmp_path / "a.wav", "-m", mono, "--json").ok().text)
    assert not {"estoi", "pesq", "si_sdr", "level_db"} & report.keys()
    text = run("roundtrip", tmp_path / "a.wav", tmp_path / "b.wav", "-m", mono).ok().text
    decoded = soundfile.read(tmp_path / "b.wav")[0]
    level = float(re.search(r"level +of silence +decoded to (\S+) dBFS", text)[1])
    assert level == pytest.approx(10 * np.log10((decoded**2).mean()), abs=0.1)


def test_what_a_manifest_calls_music_is_not_judged_as_speech(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", RATE)
    (tmp_path / "manifest.csv").write_text("file,kind\na.wav,music\n")
    text = run("roundtrip", source, "-m", mono).ok().text
    assert "SI-SDR" in text
    assert "PESQ" not in text
    assert "PESQ" in run("roundtrip", source, "-m", mono, "--speech").ok().text


def test_streams_are_refused_before_they_are_read(tmp_path: Path, mono: Path) -> None:
    """They would be read again and again: a pipe would be waited for without end."""
    os.mkfifo(tmp_path / "fifo")
    words = "a stream can be read only once; save it as a file"
    for command in (("roundtrip",), ("evaluate",), ("report", "-o", tmp_path / "r.html")):
        for name in (tmp_path / "fifo", "-", "/dev/null"):
            run(command[0], name, *command[1:], "-m", mono).refused(2, f"{name}: {words}")


def test_json_says_in_words_what_it_says_in_numbers(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 36_000)
    report = json.loads(run("roundtrip", source, "-m", mono, "--json").ok().text)
    measured = {name: report[name] for name in METRICS if name in report}
    assert report["words"] == verdicts(measured)
    assert report["ratio"] == pytest.approx(report["source_bytes"] / report["bytes"], abs=1e-3)
    assert min(report["encode_speed"], report["decode_speed"]) > 0
    assert report["clipped"] == 0


def test_without_the_extra_it_works_and_says_so_once(
    tmp_path: Path, mono: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_audio(tmp_path / "a.wav", 36_000)
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    result = run("roundtrip", source, "-m", mono).ok()
    assert result.stderr.count("run: pip install ") == 1
    assert len(result.stderr.splitlines()) == 1
    assert "SI-SDR" in result.text
    assert "PESQ" not in result.text
    quiet = run("roundtrip", source, "-m", mono, "--no-speech").ok()
    assert quiet.stderr == ""
    assert "PESQ" not in quiet.text


# Words


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("pesq", 4.5, "excellent"),
        ("pesq", 4.49, "good"),
        ("pesq", 1.0, "bad"),
        ("estoi", 0.85, "clear"),
        ("estoi", 0.1, "many lost"),
        ("si_sdr", -30.0, "not followed"),
        ("mel", 0.0, "nearly equal"),
        ("mel", 0.91, "close"),
        ("mel", 9.0, "differs much"),
        ("level_db", 0.5, "kept"),
        ("level_db", -0.51, "quieter"),
        ("level_db", 0.51, "louder"),
        ("stft_dac", 1.0, None),
    ],
)
def test_words(name: str, value: float, word: str | None) -> None:
    assert verdict(name, value) == word


def test_every_step_is_documented() -> None:
    """docs/judging.md has each word beside its limit, and what is said beyond the last one."""
    page = (REPOSITORY / "docs" / "judging.md").read_text(encoding="utf-8")
    names = {metric.label: name for name, metric in METRICS.items()}
    documented = set()
    for label, bound, cells in re.findall(
        r"^\| ([^|,(]+?)(?: \(dB\))?, at (least|most) \|(.*)\|$", page, re.MULTILINE
    ):
        name, beyond = names[label], -1e-6 if bound == "least" else 1e-6
        *steps, worst = [cell.strip() for cell in cells.split("|") if cell.strip()]
        words, limits = zip(*(step.removesuffix(")").split(" (") for step in steps), strict=True)
        for i, limit in enumerate(map(float, limits)):
            assert verdict(name, limit) == words[i]
            assert verdict(name, limit + beyond) == (*words, worst)[i + 1]
        documented.add(name)
    assert documented == {name for name in METRICS if verdict(name, 0.0)} - {"level_db"}


# Pictures


def console(width: int = 80, **changes: object) -> Console:
    options = {"force_terminal": True, "color_system": "truecolor", "width": width, "_environ": {}}
    return Console(**(options | changes))  # type: ignore[arg-type]


def drawn(on: Console) -> list[str]:
    width = picture_width(on)
    assert width is not None
    picture = np.full((2 * PICTURE_ROWS, width), -200, np.float32)
    picture[0] = 0  # the lowest pitch, loud
    with on.capture() as capture:
        on.print(picture_pair(on, ("original", "decoded"), (picture, picture - 35)))
    return capture.get().splitlines()


def test_a_pair_of_half_block_pictures_fits_the_terminal() -> None:
    for width in (80, 120, 300):
        lines = drawn(console(width))
        assert len(lines) == 1 + PICTURE_ROWS
        plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
        assert all(len(line.rstrip()) <= width for line in plain)
        assert plain[1].count("▀") == 2 * (picture_width(console(width)) or 0)
    assert "38;2;0;0;4;48;2;0;0;4m" in lines[1]  # silence above
    assert "38;2;0;0;4;48;2;252;253;191m" in lines[-1]  # the loudest of the original, below
    assert "38;2;0;0;4;48;2;183;55;121m" in lines[-1]  # and 35 dB less, half way down the scale


@pytest.mark.parametrize(
    "changes", [{"no_color": True}, {"color_system": None}, {"color_system": "standard"}]
)
def test_without_colour_there_are_shades(changes: dict[str, object]) -> None:
    lines = drawn(console(**changes))
    assert len(lines) == 1 + PICTURE_ROWS
    assert "38;2" not in "".join(lines)
    assert set(lines[-1]) - {"\x1b"} <= set(" ░▒▓█[0m")
    assert "▓" in lines[-1] or "▒" in lines[-1]


@pytest.mark.parametrize(
    "changes", [{"width": 60}, {"force_terminal": False}], ids=["narrow", "pipe"]
)
def test_no_picture_where_it_has_no_place(changes: dict[str, object]) -> None:
    assert picture_width(console(**changes)) is None


@pytest.mark.slow
def test_pictures_go_to_terminals_only(tmp_path: Path, mono: Path) -> None:
    source = write_audio(tmp_path / "a.wav", 36_000)
    coloured = {"TERM": "xterm-256color"}
    wide = run("roundtrip", source, "-m", mono, terminal=("stdout",), environment=coloured).ok()
    assert "▀" in wide.text
    assert "▀" not in run("roundtrip", source, "-m", mono).ok().text
    plain = run(
        "roundtrip",
        source,
        "-m",
        mono,
        terminal=("stdout",),
        environment={**coloured, "NO_COLOR": "1"},
    )
    assert "▒" in plain.ok().text
    assert "38;2" not in plain.text
