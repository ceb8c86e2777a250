"""`tokens --to` every format and `decode`, from the command line, with the options between."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from cases import mostly_slow
from cli_samples import run, write_audio
from safetensors import safe_open
from token_samples import FORMATS, imported, others_warn

from encodec_cli.container import read_ecdc
from encodec_cli.tokens import READ_SUFFIXES, TokenItem, read_items

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT / "samples" / "speech.wav"
REAL = ROOT.parent / "shared" / "audio"
OPTIONS: list[tuple[str, str]] = [
    *((to, "") for to in FORMATS),
    ("npz", "--layout TK --code-dtype int64"),
    ("safetensors", "--pattern delay --code-dtype int16 --special -1"),
    ("parquet", "--pattern delay --layout TK"),
    ("parquet", "--flat books --offset 128266 --code-dtype int32 --separator 5"),
    ("webdataset", "--flat frames --bos 8192 --eos 8193"),
    ("shar", "--pattern delay --code-dtype int32"),
    ("jsonl", "--layout TK"),
    ("jsonl", "--flat frames --offset 128266 --bos 1 --eos 2 --separator 3"),
]


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """Two recordings of a second and a half, and of a fiftieth of one; and what they decode to."""
    folder = tmp_path_factory.mktemp("coded")
    write_audio(folder / "in" / "a.wav", 36_000)
    write_audio(folder / "in" / "day 1" / "b.wav", 480)
    run("encode", folder / "in", "-r", "-o", folder / "ecdc", "-m", mono).ok()
    run("decode", folder / "ecdc", "-r", "-o", folder / "wav", "-m", mono).ok()
    return folder


def wavs(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.wav")}


@pytest.mark.parametrize(("to", "options"), mostly_slow(OPTIONS, 6))
def test_decode_needs_no_word_of_how_they_were_written(
    to: str, options: str, coded: Path, mono: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tokens"
    run("tokens", coded / "ecdc", "-r", "--to", to, "-o", out, *options.split()).ok()
    run("decode", out, "-r", "-o", tmp_path / "back", "-m", mono).ok()
    assert len(wavs(coded / "wav")) == 2
    assert wavs(tmp_path / "back") == wavs(coded / "wav")


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_speech_by_the_bundled_model(to: str, tmp_path: Path) -> None:
    """With its levels, one a second, and the frame that it codes beyond the end."""
    run("encode", SPEECH, tmp_path / "speech.ecdc").ok()
    run("decode", tmp_path / "speech.ecdc", tmp_path / "speech.wav").ok()
    run("tokens", SPEECH, "--to", to, "-o", tmp_path / "tokens").ok()
    run("decode", tmp_path / "tokens", "-r", "-o", tmp_path / "back").ok()
    assert wavs(tmp_path / "back") == {"speech.wav": (tmp_path / "speech.wav").read_bytes()}


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no shared recordings here")
def test_recordings_of_every_kind_in_every_format(tmp_path: Path) -> None:
    """The codes are those of the `.ecdc` files, whatever the format."""
    found = sorted(p for p in (REAL / "train").rglob("*.*") if p.suffix in (".opus", ".flac"))[:6]
    assert found
    run("encode", *found, "-o", tmp_path / "ecdc", "--quiet").ok()
    expected = {p.stem: read_ecdc(p).codes for p in (tmp_path / "ecdc").glob("*.ecdc")}
    for to in FORMATS:
        out = tmp_path / to
        run("tokens", *found, "--to", to, "-o", out, "--quiet").ok()
        files = [p for p in out.rglob("*.*") if p.suffix in READ_SUFFIXES]
        items = {}
        for item in (item for file in files for item in read_items(file)):
            assert isinstance(item, TokenItem)
            items[item.key] = item.codes
        assert items.keys() == {name.replace(".", "_") for name in expected}
        for name, codes in expected.items():
            np.testing.assert_array_equal(items[name.replace(".", "_")], codes)


# What a corpus says of its recordings


@pytest.fixture(scope="module")
def manifest(coded: Path) -> Path:
    rows = [
        {"audio_filepath": "in/a.wav", "text": "hällo", "speaker": 7, "words": ["h", "o"]},
        {"audio_filepath": "in/day 1/b.wav", "text": "two", "speaker": "x", "sample_rate": 8000},
        {
            "audio_filepath": "in/a.wav",
            "offset": 0.25,
            "duration": 0.5,
            "text": None,
            "n": {"a": 1},
        },
    ]
    path = coded / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(to: str, folder: Path) -> list[dict[str, Any]]:
    """What other programs find in a folder: a mapping for each recording, in order of texts."""
    if to == "npz":
        found = []
        for path in folder.rglob("*.npz"):
            with np.load(path, allow_pickle=False) as arrays:
                found.append({name: arrays[name].tolist() for name in arrays.files})
    elif to == "safetensors":
        found = []
        for path in folder.rglob("*.safetensors"):
            with safe_open(path, framework="numpy") as file:
                found.append({**file.metadata(), "codes": file.get_tensor("codes").tolist()})
    elif to == "parquet":
        found = pyarrow.parquet.read_table(folder / "tokens-00000.parquet").to_pylist()
    elif to == "jsonl":
        lines = (folder / "tokens-00000.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
    elif to == "webdataset":
        with others_warn():
            data = imported("webdataset").WebDataset(
                str(folder / "tokens-00000.tar"), shardshuffle=False
            )
            found = [{**s["json"], "codes": s["codes.npy"].tolist()} for s in data.decode()]
    else:
        with others_warn():
            cuts = imported("lhotse").CutSet.from_shar(in_dir=folder / "shar")
            found = [{**cut.custom, "codes": cut.load_codes().T.tolist()} for cut in cuts]
    return sorted(found, key=lambda row: str(row.get("text")))


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_columns_of_a_manifest_are_in_every_format(
    to: str, manifest: Path, coded: Path, mono: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("tokens", "--manifest", manifest, "--to", to, "-o", out, "-m", mono).ok()
    silent, first, second = rows_of(to, out)
    assert (first["text"], second["text"]) == ("hällo", "two")
    assert silent.get("text") is None
    assert [str(row["speaker"]) for row in (first, second)] == ["7", "x"]
    assert first["words"] == ('["h", "o"]' if to in ("npz", "safetensors") else ["h", "o"])
    assert silent["n"] == ({"a": 1} if to in ("jsonl", "webdataset") else '{"a": 1}')
    assert str(second["corpus_sample_rate"]) == "8000"
    assert str(second["sample_rate"]) == "24000"
    assert first["codes"] == read_ecdc(coded / "ecdc" / "a.ecdc").codes.tolist()
    assert len(silent["codes"][0]) == 38
    assert not (tmp_path / "failures.jsonl").exists()


@pytest.mark.slow
def test_datasets_loads_the_folder_with_typed_columns(
    manifest: Path, mono: Path, tmp_path: Path
) -> None:
    """The card, `.done` and a file of failures lie in the same folder."""
    datasets = imported("datasets")
    (tmp_path / "bad.wav").write_bytes(b"RIFF nothing")
    arguments = ("tokens", tmp_path / "bad.wav", "--manifest", manifest)
    result = run(*arguments, "--to", "parquet", "-o", tmp_path / "out", "-m", mono)
    assert result.code == 1
    assert (tmp_path / "out" / "failures.jsonl").is_file()
    assert "| failed | 1 |" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    with others_warn():
        datasets.disable_progress_bars()
        cache = str(tmp_path / "cache")
        table = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=cache)
    assert len(table) == 3
    assert table.features["speaker"] == datasets.Value("string")
    assert table.features["words"] == datasets.List(datasets.Value("string"))
    assert table.features["codes"] == datasets.List(datasets.List(datasets.Value("uint16")))
    assert table["speaker"][:] == ["7", "x", None]


@pytest.mark.slow
def test_lhotse_reads_what_the_command_wrote(coded: Path, tmp_path: Path) -> None:
    """A card, failures and records of the run lie beside the shards, which it must not take."""
    lhotse = imported("lhotse")
    run("tokens", coded / "ecdc", "-r", "--to", "shar", "-o", tmp_path / "out").ok()
    with others_warn():
        cuts = list(lhotse.CutSet.from_shar(in_dir=tmp_path / "out" / "shar"))
        found = {cut.id: cut.load_codes() for cut in cuts}
    for key, file in (("a", "a.ecdc"), ("day 1/b", "day 1/b.ecdc")):
        np.testing.assert_array_equal(found[key].T, read_ecdc(coded / "ecdc" / file).codes)


def test_lines_are_lines_of_json(coded: Path, tmp_path: Path) -> None:
    how = ("--flat", "frames", "--offset", "1000", "--bos", "5")
    run("tokens", coded / "ecdc", "-r", "--to", "jsonl", "-o", tmp_path, *how).ok()
    lines = (tmp_path / "tokens-00000.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    codes = read_ecdc(coded / "ecdc" / "a.ecdc").codes
    assert [row["key"] for row in rows] == ["a", "day 1/b"]
    assert rows[0]["codes"][:3] == [5, 1000 + int(codes[0, 0]), 2024 + int(codes[1, 0])]
    assert rows[0]["n_q"] == 8
    assert rows[0]["codes_arrangement"] == "flat=frames offset=1000 bins=1024 bos=5"


def test_decode_passes_over_failures(coded: Path, mono: Path, tmp_path: Path) -> None:
    run("tokens", coded / "ecdc" / "a.ecdc", "--to", "jsonl", "-o", tmp_path / "t").ok()
    (tmp_path / "t" / "failures.jsonl").write_text('{"source": "x.wav", "reason": "empty"}\n')
    result = run("decode", tmp_path / "t", "-r", "-o", tmp_path / "back", "-m", mono).ok()
    assert "failures" not in result.stderr
    assert list(wavs(tmp_path / "back")) == ["a.wav"]


def test_separators_of_other_programs_are_an_option(
    coded: Path, mono: Path, tmp_path: Path
) -> None:
    codes = read_ecdc(coded / "ecdc" / "a.ecdc").codes.astype(int)
    rows = codes + 1024 * np.arange(8)[:, None] + 500
    flat = [7, *(n for frame in rows.T.tolist() for n in (*frame, 9))]
    (tmp_path / "lm.jsonl").write_text(json.dumps({"input_ids": flat}) + "\n")
    common = ("decode", tmp_path / "lm.jsonl", "-o", tmp_path, "-m", mono, "--offset", "500")
    result = run(*common)
    assert result.code == 1
    assert "see --offset and --separator" in result.errors[0]
    run(*common, "--separator", "9").ok()
    np.savez(tmp_path / "plain.npz", codes=codes)
    run("decode", tmp_path / "plain.npz", "-m", mono).ok()
    assert (tmp_path / "line-00001.wav").read_bytes() == (tmp_path / "plain.wav").read_bytes()


def test_options_that_files_make_needless_are_ignored(
    coded: Path, mono: Path, tmp_path: Path
) -> None:
    """What a file states holds; the options are for files that state nothing."""
    options = ("--pattern", "delay", "--layout", "TK")
    run("tokens", coded / "ecdc" / "a.ecdc", "--to", "npz", "-o", tmp_path, *options).ok()
    run("decode", tmp_path / "a.npz", "-m", mono, *options).ok()
    assert (tmp_path / "a.wav").read_bytes() == (coded / "wav" / "a.wav").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--to jsonl --code-dtype int32", "--code-dtype: JSON's numbers have no types"),
        ("--to shar --layout KT", "--layout KT: codes of Shar are [T, K]"),
        ("--to shar --flat books", "--flat: codes of Shar have an axis of time"),
        ("--to npz --offset 5", "--offset: is for flat codes; see --flat"),
        ("--to npz --flat frames --pattern delay", "--pattern: flat codes have none"),
        ("--to npz --special 5", "--special: is for --pattern delay"),
        ("--to npz --pattern delay --special 5", "--special 5: is a code's number"),
        ("--to npz --flat frames --offset 60000", "give --code-dtype int32"),
        ("--to parquet --flat frames --offset 60000", "give --code-dtype int32"),
        ("--to npz --shard-size 5", "--shard-size: is for --to parquet, webdataset, shar and"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    options: str, words: str, coded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run("tokens", coded / "ecdc" / "a.ecdc", "-o", out, *options.split()).refused(2, words)
    assert not [p for p in out.rglob("*") if p.is_file()]
