"""`evaluate`: which recordings, which codecs, what is printed, and how it fails."""

import csv
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_samples import RATE, Result, run, tone, write_audio

from encodec_cli.cli.recordings import decoded_files, find_recordings
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.evaluation.metric_names import METRICS


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """speech/a, speech/b, music/c, and d in none of them."""
    folder = tmp_path / "recordings"
    for name in ("speech/a.wav", "speech/b.wav", "music/c.wav", "d.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_audio(folder / name, RATE // 2)
    (folder / "notes.txt").write_text("no recording")
    return folder


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.ok().text.splitlines()]


# ---- which recordings


def test_kinds_are_names_of_sub_folders(recordings: Path) -> None:
    found = find_recordings([str(recordings)], recursive=True)
    assert {path.name: kind for path, kind in found.items()} == {
        "a.wav": "speech",
        "b.wav": "speech",
        "c.wav": "music",
        "d.flac": None,
    }
    file = recordings / "speech" / "a.wav"
    assert find_recordings([str(file), str(file)], recursive=False) == {file: None}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("old music.wav", "music"),
        ("songs/a.wav", "music"),
        ("Sound_3.wav", "sound"),
        ("musical.wav", None),
        ("speech over music.wav", None),
        ("music/talk.wav", None),
        ("a.wav", None),
    ],
)
def test_a_name_tells_that_pesq_and_estoi_are_not_for_it(
    tmp_path: Path, name: str, kind: str | None
) -> None:
    file = write_audio(tmp_path / "files" / name, 1000)
    assert find_recordings([str(file)], recursive=False) == {file: kind}


def test_kinds_of_a_manifest(recordings: Path) -> None:
    manifest = recordings / "manifest.csv"
    manifest.write_text("file,kind,seconds\nspeech/a.wav,audiobook,0.5\nd.flac,song,0.5\n")
    a, d = recordings / "speech" / "a.wav", recordings / "d.flac"
    assert find_recordings([str(manifest)], recursive=False) == {a: "audiobook", d: "song"}
    # One that lies beside a file is asked as well; sub-folders have their own.
    assert find_recordings([str(d)], recursive=False) == {d: "song"}
    assert find_recordings([str(recordings)], recursive=True)[a] == "speech"
    manifest.write_text("something,else\n1,2\n")
    assert find_recordings([str(d)], recursive=False) == {d: None}
    with pytest.raises(ConfigError, match="not a manifest with file, kind: line 2 lacks file"):
        find_recordings([str(manifest)], recursive=False)


def test_inputs_that_are_none(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-: a stream can be read only once"):
        find_recordings(["-"], recursive=False)
    with pytest.raises(UsageError, match="is a folder; add --recursive"):
        find_recordings([str(recordings)], recursive=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="files found"):
        find_recordings([str(tmp_path / "empty")], recursive=True)


def test_decoded_files_have_the_names_of_their_sources(recordings: Path, tmp_path: Path) -> None:
    decoded = tmp_path / "decoded"
    (decoded / "speech").mkdir(parents=True)
    for name in ("speech/a.ogg", "b.wav", "d.wav"):
        soundfile.write(decoded / name, tone(0.1), RATE)
    assert decoded_files(recordings, decoded) == {
        recordings / "speech" / "a.wav": decoded / "speech" / "a.ogg",
        recordings / "d.flac": decoded / "d.wav",
    }
    soundfile.write(decoded / "d.flac", tone(0.1), RATE)
    with pytest.raises(UsageError, match=r"d\.flac and .*d\.wav have the same name"):
        decoded_files(recordings, decoded)
    with pytest.raises(UsageError, match="is no folder"):
        decoded_files(recordings, decoded / "b.wav")


# ---- what is printed


@pytest.mark.slow
def test_json_has_a_line_for_each_recording_and_bandwidth(mono: Path, recordings: Path) -> None:
    result = run("evaluate", recordings, "-r", "-m", mono, "--bandwidths", "1.5,3", "--json")
    rows = objects(result)
    assert [(Path(row["recording"]).name, row["bandwidth"]) for row in rows] == [
        (name, rate) for name in ("d.flac", "c.wav", "a.wav", "b.wav") for rate in (1.5, 3.0)
    ]
    for row in rows:
        assert row.keys() == {
            *("recording", "kind", "codec", "bandwidth", "seconds", "bytes", "kbps"),
            *("encode_speed", "decode_speed", "clipped", *METRICS),
        }
        assert (row["codec"], row["seconds"]) == ("tiny24", 0.5)
        assert row["kbps"] == pytest.approx(row["bytes"] * 8 / 0.5 / 1000, abs=1e-3)
        assert (row["estoi"] is None) == (row["kind"] == "music")
        assert math.isfinite(row["si_sdr"])
    assert result.stderr == ""


def test_rows_say_what_a_bandwidth_became(mono: Path, recordings: Path) -> None:
    arguments = ("evaluate", recordings / "music" / "c.wav", "-m", mono, "--no-speech")
    rows = objects(run(*arguments, "-b", "2,1.6,5,1.5", "--json"))
    assert [row["bandwidth"] for row in rows] == [1.5, 4.5]


def test_names_of_codecs_say_how_they_searched(mono: Path, recordings: Path) -> None:
    file = recordings / "speech" / "a.wav"
    for options, words in (
        (["--search", "2"], "search 2"),
        (["--refine"], "refined"),
        (["--fit", "2"], "fit 2"),
        (["--fit", "2", "--refine", "--search", "2"], "search 2 fit 2"),
        (["--fit", "2", "--device", "cpu,cpu"], "fit 2"),
    ):
        rows = objects(run("evaluate", file, "-m", mono, "--json", *options))
        assert {row["codec"].partition(" ")[2] for row in rows} == {words}


def test_csv_says_the_same(mono: Path, recordings: Path) -> None:
    arguments = ("evaluate", recordings / "music" / "c.wav", "-m", mono, "--no-speech")
    (_, six) = objects(run(*arguments, "--json"))
    rows = list(csv.DictReader(io.StringIO(run(*arguments, "--csv").ok().text)))
    assert [row["bandwidth"] for row in rows] == ["1.5", "6.0"]
    for name, value in six.items():
        if not name.endswith("_speed"):
            assert rows[1][name] == ("" if value is None else str(value))


@pytest.mark.slow
def test_tables_by_kind(mono: Path, recordings: Path) -> None:
    wide = {"COLUMNS": "200"}
    text = run("evaluate", recordings, "-r", "-m", mono, environment=wide).ok().text
    assert text.count("| tiny24 1.5 ") == text.count("| tiny24 6 ") == 3
    lines = text.splitlines()
    for title in ("others, 1 recording", "music, 1 recording", "speech, 2 recordings"):
        assert title in lines
    speech = text[text.index("speech, 2 recordings") :]
    head, six = (
        next(line for line in speech.splitlines() if line.startswith(start)).split("|")[1:-1]
        for start in ("| codec", "| tiny24 6")
    )
    cells = dict(zip((cell.strip() for cell in head), (cell.strip() for cell in six), strict=True))
    assert "±" not in text  # of two recordings
    assert float(cells["kb/s"]) > 6
    music = text[text.index("music, 1 recording") : text.index("speech, 2 recordings")]
    assert "PESQ-WB" not in music
    assert "Student's t" not in text
    assert "kb/s: bytes of tiny24, whole .ecdc files" in text.splitlines()


@pytest.mark.slow
def test_narrow_terminals_get_columns_for_lines(mono: Path, recordings: Path) -> None:
    arguments = ("evaluate", recordings / "d.flac", "-m", mono, "--quiet")
    for columns, first in (("200", "codec"), ("60", "kb/s")):
        text = run(*arguments, terminal=("stdout",), environment={"COLUMNS": columns}).ok().text
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert all(len(line) <= int(columns) for line in table)
        assert ("tiny24 1.5" in table[0]) == ("tiny24 6" in table[0]) == (first == "kb/s")


# ---- against others, and decoded already


@pytest.mark.slow
def test_decoded_folders_are_compared(mono: Path, recordings: Path, tmp_path: Path) -> None:
    for name, gain in (("half", 0.5), ("late", 1.0)):
        (tmp_path / name / "speech").mkdir(parents=True)
        for file in ("speech/a.wav", "speech/b.wav"):
            x, _ = soundfile.read(recordings / file, dtype="float32")
            late = np.concatenate((np.zeros(2000 if name == "late" else 0, np.float32), x))
            soundfile.write(tmp_path / name / file, gain * late, RATE, subtype="FLOAT")
    (recordings / "d.flac").unlink()
    (recordings / "music" / "c.wav").unlink()
    folders = ("--decoded", tmp_path / "half", "--decoded", tmp_path / "late")
    result = run("evaluate", "--reference", recordings, *folders, "-m", mono, "--json")
    rows = objects(result)
    assert [row["codec"] for row in rows] == ["half", "late", "half", "late"]
    for row in rows:
        assert row["si_sdr"] > 60
        assert row["level_db"] == pytest.approx(-6.02 if row["codec"] == "half" else 0, abs=0.01)
        assert {row[name] for name in ("bytes", "kbps", "bandwidth", "encode_speed")} == {None}
        assert row["kind"] == "speech"
    (tmp_path / "half" / "speech" / "b.wav").unlink()
    result = run("evaluate", "--reference", recordings, *folders, "-m", mono, "--json")
    assert result.code == 1
    assert len(result.text.splitlines()) == 2
    assert "b.wav: there is no file of this name in" in result.errors[0]


@pytest.mark.slow
def test_a_bad_file_does_not_stop_the_others(mono: Path, recordings: Path) -> None:
    (recordings / "speech" / "a.wav").write_bytes(b"RIFF")
    result = run("evaluate", recordings, "-r", "-m", mono, "-b", "6", "--json")
    assert result.code == 1
    assert len(result.text.splitlines()) == 3
    assert len(result.errors) == 1
    assert "a.wav" in result.errors[0]


@pytest.mark.slow
def test_without_the_extra_one_line_names_it(
    mono: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    arguments = ("-r", "-m", mono, "-b", "6", "--json")
    result = run("evaluate", recordings, *arguments)
    assert result.stderr.count("run: pip install pesq") == 1
    assert "without pesq;" in result.stderr
    assert all(row["pesq"] is None for row in objects(result))
    for unasked in ((recordings, "--no-speech"), (recordings / "music",)):
        found = run("evaluate", *unasked, *arguments).ok()
        assert "pesq" not in found.stderr or unasked == (recordings / "music",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name recordings, or --reference and --decoded"),
        (["IN", "--json", "--csv"], "--json or --csv, not both"),
        (["IN", "-b", "3,x"], "--bandwidths 3,x: give kb/s with commas between"),
        (["IN", "-b", "-3"], "give kb/s"),
        (["IN", "-b", "nan"], "give kb/s"),
        (["IN", "-b", "24"], "kb/s"),
        (["IN", "-b", "none"], "give --against, or there is nothing to measure"),
        (["IN", "--against", "lyra:6"], "lyra: no codec to compare with"),
        (["IN", "--against", "opus"], "--against opus: give kb/s with commas between"),
        (["IN", "--reference", "DIR"], "--reference and --decoded go together"),
        (["--decoded", "DIR"], "--reference and --decoded go together"),
        (["IN", "--reference", "DIR", "--decoded", "DIR"], "nothing is coded; leave out IN"),
        (["DIR"], "is a folder; add --recursive"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    words: str,
    mono: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    places = {"IN": str(recordings / "d.flac"), "DIR": str(recordings)}
    given = [places.get(argument, argument) for argument in arguments]
    run("evaluate", *given, "-m", mono).refused(2, words)
