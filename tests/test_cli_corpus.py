"""`tokens` from the command line: the same recordings in every kind of corpus, the same codes."""

import csv
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from cli_samples import RATE, run, shell, write_audio
from numpy.typing import NDArray

Codes = NDArray[np.uint16]
TEXTS = {"a": "ja, gut", "b": "so", "c": "hé"}


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of several formats and rates."""
    folder = tmp_path_factory.mktemp("talks")
    write_audio(folder / "a.wav", 9_001)
    write_audio(folder / "b.flac", 9000, rate=16_000, channels=2)
    write_audio(folder / "c.ogg", 12_000, rate=48_000)
    return folder


@pytest.fixture(scope="module")
def expected(talks: Path, mono: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Codes]:
    """The codes of each recording in the folder."""
    out = tmp_path_factory.mktemp("expected")
    run("tokens", talks, "-r", "--to", "npz", "-o", out, "-m", mono).ok()
    return codes_in(out)


def codes_in(folder: Path) -> dict[str, Codes]:
    found = {}
    for path in sorted(folder.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found[path.relative_to(folder).with_suffix("").as_posix()] = arrays["codes"]
    return found


def recordings(talks: Path) -> list[Path]:
    return sorted(talks.iterdir())


def as_nemo(talks: Path, folder: Path) -> list[str | Path]:
    rows = [
        {"audio_filepath": str(p), "id": p.stem, "text": TEXTS[p.stem]} for p in recordings(talks)
    ]
    (folder / "m.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return ["--manifest", folder / "m.json"]


def as_packed(talks: Path, folder: Path) -> list[str | Path]:
    [_, path] = as_nemo(talks, folder)
    packed = folder / "m.jsonl.gz"
    packed.write_bytes(gzip.compress(Path(path).read_bytes()))
    return ["--manifest", packed]


def as_csv(talks: Path, folder: Path) -> list[str | Path]:
    with (folder / "m.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "text"])
        writer.writerows([p.name, TEXTS[p.stem]] for p in recordings(talks))
    return ["--manifest", folder / "m.csv", "--audio-root", talks]


def as_lhotse(talks: Path, folder: Path) -> list[str | Path]:
    rows = []
    for path in recordings(talks):
        info = soundfile.info(path)
        channels = list(range(info.channels))
        source = {"type": "file", "channels": channels, "source": str(path)}
        numbers = {"sampling_rate": info.samplerate, "num_samples": info.frames}
        duration = info.frames / info.samplerate
        row = {"id": path.stem, "sources": [source], "duration": duration, "channel_ids": channels}
        rows.append(row | numbers)
    (folder / "recordings.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return ["--manifest", folder / "recordings.jsonl"]


def as_tar(talks: Path, folder: Path) -> list[str | Path]:
    with tarfile.open(folder / "s.tar", "w") as tar:
        for path in recordings(talks):
            tar.add(path, path.name)
            text = TEXTS[path.stem].encode()
            entry = tarfile.TarInfo(f"{path.stem}.txt")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    return [folder / "s.tar"]


def table_of(talks: Path) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for path in recordings(talks):
        audio = {"bytes": path.read_bytes(), "path": path.name}
        rows.append({"audio": audio, "text": TEXTS[path.stem]})
    return pa.Table.from_pylist(rows)


def as_parquet(talks: Path, folder: Path) -> list[str | Path]:
    pq.write_table(table_of(talks), folder / "train.parquet", row_group_size=2)
    return [folder]


def as_dataset(talks: Path, folder: Path) -> list[str | Path]:
    table = table_of(talks)
    with (
        pa.OSFile(str(folder / "data.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    return [folder]


KINDS = {
    "nemo": as_nemo,
    "packed": as_packed,
    "csv": as_csv,
    "lhotse": as_lhotse,
    "tar": as_tar,
    "parquet": as_parquet,
    "dataset": as_dataset,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_corpus_gives_the_codes_of_the_folder(
    kind: str, talks: Path, expected: dict[str, Codes], mono: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    out = tmp_path / "out"
    run("tokens", *KINDS[kind](talks, source), "--to", "npz", "-o", out, "-m", mono).ok()
    found = codes_in(out)
    assert found.keys() == expected.keys() == {"a", "b", "c"}
    for key, codes in expected.items():
        np.testing.assert_array_equal(found[key], codes)


@pytest.mark.parametrize("kind", ["nemo", "tar", "parquet"])
def test_text_goes_into_the_outputs(kind: str, talks: Path, mono: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    run("tokens", *KINDS[kind](talks, source), "--to", "parquet", "-o", out, "-m", mono).ok()
    rows = pq.read_table(out / "tokens-00000.parquet", columns=["key", "text"]).to_pylist()
    assert {row["key"]: row["text"] for row in rows} == TEXTS


def test_a_part_has_the_codes_of_the_part_alone(mono: Path, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "long.flac", 3 * RATE)
    samples, _ = soundfile.read(path, dtype="int16")
    soundfile.write(tmp_path / "part.wav", samples[RATE : RATE + 7200], RATE)
    rows = [
        {"path": "long.flac", "id": "cut", "offset": 1.0, "duration": 0.3},
        {"path": "part.wav", "id": "whole"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run("tokens", "--manifest", manifest, "--to", "npz", "-o", tmp_path / "out", "-m", mono).ok()
    found = codes_in(tmp_path / "out")
    np.testing.assert_array_equal(found["cut"], found["whole"])


@pytest.mark.slow
def test_an_archive_comes_through_a_pipe(
    talks: Path, expected: dict[str, Codes], mono: Path, tmp_path: Path
) -> None:
    [path] = as_tar(talks, tmp_path)
    out = tmp_path / "out"
    done = shell(f"cat {path} | python -m encodec_cli tokens - --to npz -o {out} -m {mono}")
    assert done.returncode == 0, done.stderr
    found = codes_in(out)
    assert found.keys() == expected.keys()
    for key, codes in expected.items():
        np.testing.assert_array_equal(found[key], codes)


def test_what_is_wrong_is_one_line_each_and_the_rest_is_done(
    talks: Path, mono: Path, tmp_path: Path
) -> None:
    rows = [
        {"path": str(talks / "a.wav"), "id": "good"},
        {"path": "none.wav"},
        {"path": str(talks / "a.wav"), "offset": 99},
        {"path": str(talks / "a.wav"), "offset": -1},
        {"path": str(talks / "a.wav"), "duration": 5},
        {"path": "m.jsonl"},
        "nonsense",
        {"path": str(talks / "a.wav"), "id": "good"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = tmp_path / "out"
    result = run("tokens", "--manifest", manifest, "--to", "npz", "-o", out, "-m", mono)
    assert result.code == 1
    assert len(result.errors) == 6
    for words in (
        *("none.wav: no such file", "begins at 99.000 s, but the recording ends at 0.375 s"),
        *("line 4: offset: -1", "ends at 5.000 s, but the recording at 0.375 s"),
        *("not audio in a format", "line 7: not a JSON object"),
    ):
        assert sum(words in line for line in result.errors) == 1, words
    assert sorted(codes_in(out)) == ["good", "good-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name recordings: IN..., or --manifest FILE"),
        (["--audio-root", "FOLDER"], "name recordings"),
        (["x.wav", "--audio-root", "FOLDER"], "--audio-root: is for --manifest"),
        (["--manifest", "m.json", "--audio-root", "none"], "--audio-root none: is no folder"),
        (["FOLDER"], "add --recursive"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], words: str, tmp_path: Path) -> None:
    named = [str(tmp_path) if each == "FOLDER" else each for each in arguments]
    result = run("tokens", *named, "--to", "npz", "-o", tmp_path / "out")
    result.refused(2, words)
    assert not (tmp_path / "out").exists()
