"""Code models: round trips, files, and what no bytes can do to them."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from cases import mostly_slow
from code_model_reference import reference_frequencies
from code_model_samples import SMALL, USUAL, random_arrays, random_codes, random_model
from safetensors.numpy import save

from encodec_cli.entropy.integer.frequencies import FREQUENCIES
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.errors import CheckpointError, ContainerError

LENGTHS = (5, 1, 0, 90, 33, 2)


@pytest.mark.parametrize("codebooks", [1, 2, 3])
def test_codes_come_back(codebooks: int) -> None:
    model = random_model()
    chunks = [random_codes(SMALL, codebooks, t, seed=t) for t in LENGTHS]
    runs = model.encode_chunks(chunks)
    found = model.decode_chunks([(r, codebooks, t) for r, t in zip(runs, LENGTHS, strict=True)])
    for codes, chunk in zip(found, chunks, strict=True):
        assert codes.dtype == np.uint16
        np.testing.assert_array_equal(codes, chunk)


@pytest.mark.slow
def test_chunks_do_not_depend_on_those_beside_them() -> None:
    model = random_model()
    chunks = [random_codes(SMALL, 1 + t % 3, t, seed=t) for t in (*LENGTHS, *range(70))]
    runs = model.encode_chunks(chunks)
    assert runs == [model.encode_chunks([chunk])[0] for chunk in chunks]
    asked = [(run, *chunk.shape) for run, chunk in zip(runs, chunks, strict=True)]
    for codes, one in zip(model.decode_chunks(asked), asked, strict=True):
        np.testing.assert_array_equal(codes, model.decode_chunks([one])[0])


@pytest.mark.slow
def test_a_chunk_longer_than_what_is_encoded_at_a_time() -> None:
    model = random_model()
    chunk = random_codes(SMALL, 3, 3000)
    [run] = model.encode_chunks([chunk])
    np.testing.assert_array_equal(model.decode_chunks([(run, 3, 3000)])[0], chunk)


def test_size_is_what_the_frequencies_say() -> None:
    model = random_model(USUAL)
    chunk = random_codes(USUAL, 4, 80)
    frequencies = model.frequencies(chunk).astype(np.float64)
    own = np.take_along_axis(frequencies, chunk.T[:, :, None].astype(np.intp), 2)[..., 0]
    bits = -np.log2(own / frequencies.sum(2)).sum()
    assert bits < 8 * len(model.encode_chunks([chunk])[0]) < bits + 17


def test_frequencies_equal_whole_numbers() -> None:
    arrays = random_arrays(SMALL)
    chunk = random_codes(SMALL, 3, 12)
    found = CodeModel(arrays, SMALL, "").frequencies(chunk)
    assert found.tolist() == reference_frequencies(arrays, SMALL, chunk)
    # The numbers are worth comparing: neither all alike nor mostly at an end.
    assert len(np.unique(found)) > 50


def test_frequencies_of_fewer_codebooks_take_the_next_larger_tag() -> None:
    arrays = random_arrays(SMALL)
    chunk = random_codes(SMALL, 2, 6)
    found = CodeModel(arrays, SMALL, "").frequencies(chunk)
    assert found.tolist() == reference_frequencies(arrays, SMALL, chunk)


def test_the_table_of_frequencies() -> None:
    assert FREQUENCIES[:2].tolist() == [65537, 64831]
    assert FREQUENCIES[64] == 32769
    assert FREQUENCIES[-1] == 1
    assert (np.diff(FREQUENCIES.astype(np.int64)) <= 0).all()


def test_golden_bytes() -> None:
    """Files hold such bytes: others need a format version of their own."""
    model = random_model()
    [run] = model.encode_chunks([random_codes(SMALL, 3, 20)])
    assert (
        run.hex()
        == "bb053f3bc355c538afd9243085f0b3c913aa6fc36f2f1394e4e1e1360be4f9ed7ca276787fc131"
    )
    assert model.sha256 == "43a0911148a489254e55b72272a65a8a760be90c7955598fb76a715a718e6263"


# ---- damage


@pytest.mark.parametrize("seed", mostly_slow(range(3, 7)))
def test_damaged_runs_give_codes(seed: int) -> None:
    model = random_model()
    random = np.random.RandomState(seed)
    [run] = model.encode_chunks([random_codes(SMALL, 3, 40)])
    damaged = [b"", b"\xff" * 500, run[:7], run + b"\x01" * 9]
    for _ in range(60):
        bad = bytearray(run)
        bad[random.randint(len(bad))] ^= random.randint(1, 256)
        damaged.append(bytes(bad))
    together = model.decode_chunks([(bad, 3, 40) for bad in damaged])
    for codes, bad in zip(together, damaged, strict=True):
        assert codes.shape == (3, 40)
        assert codes.max() < SMALL.bins
        np.testing.assert_array_equal(model.decode_chunks([(bad, 3, 40)])[0], codes)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (np.zeros((4, 2), np.uint16), "4 codebooks: the code model has 1 to 3"),
        (np.zeros((0, 2), np.uint16), "0 codebooks"),
        (np.full((1, 1), 16, np.uint16), "code 16: there are 0 to 15"),
        (np.zeros((1, 2), np.int64), "must be uint16"),
        (np.zeros(3, np.uint16), "must be uint16"),
    ],
)
def test_codes_that_the_model_has_not(chunk: np.ndarray, words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        random_model().encode_chunks([chunk])


@pytest.mark.parametrize(("codebooks", "frames"), [(0, 1), (4, 1), (1, -1)])
def test_chunks_that_cannot_be(codebooks: int, frames: int) -> None:
    with pytest.raises(ContainerError, match=r"codebooks|frames"):
        random_model().decode_chunks([(b"", codebooks, frames)])


# ---- files


def write(path: Path, **changes: object) -> Path:
    """A code model's file; `changes` are to its metadata, or to an array."""
    arrays = random_arrays(SMALL)
    metadata = {
        "format": "encodec-cli-codes",
        "format_version": "1",
        "sizes": json.dumps(asdict(SMALL)),
        "model": "ab" * 32,
    }
    for name, value in changes.items():
        if isinstance(value, str):
            metadata[name] = value
        else:
            arrays[name] = np.asarray(value)
    path.write_bytes(save(arrays, metadata))
    return path


def test_a_file_gives_the_same_model(tmp_path: Path) -> None:
    model = CodeModel.load(write(tmp_path / "x.codes"))
    assert (model.bins, model.codebooks) == (16, 3)
    assert model.model_sha256 == "ab" * 32
    assert model.sha256 == random_model().sha256
    chunk = random_codes(SMALL, 2, 9)
    assert model.encode_chunks([chunk]) == random_model().encode_chunks([chunk])


def test_the_hash_is_that_of_the_numbers_alone(tmp_path: Path) -> None:
    one = CodeModel.load(write(tmp_path / "a", name="one"))
    other = CodeModel.load(write(tmp_path / "b", name="other"))
    assert one.sha256 == other.sha256
    arrays = random_arrays(SMALL)
    arrays["logits.bias"][2, 5] += 1
    assert CodeModel(arrays, SMALL, "").sha256 != one.sha256


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "encodec-cli"}, "not a code model"),
        ({"format_version": "2"}, "version 2; this program reads 1; upgrade"),
        ({"sizes": "{}"}, "damaged sizes"),
        ({"sizes": json.dumps({**asdict(SMALL), "bins": 1 << 40})}, "bins"),
        ({"sizes": json.dumps({**asdict(SMALL), "trained": [3, 1]})}, "rising"),
        ({"sizes": json.dumps({**asdict(SMALL), "trained": 3})}, "lists"),
        ({"sizes": json.dumps({**asdict(SMALL), "hidden": 7.0})}, "no whole number"),
        ({"sizes": json.dumps({**asdict(SMALL), "hidden": True})}, "no whole number"),
        ({"sizes": json.dumps({**asdict(SMALL), "dilations": [1, 4]})}, None),
        ({"sizes": json.dumps({**asdict(SMALL), "hidden": 8})}, r"mix.weight: int8 \[3, 7, 11\]"),
        ({"tags": np.zeros((2, 6), np.int64)}, "tags: int64"),
        ({"more": np.zeros(3, np.int8)}, "left over: more"),
        ({"mix.shift": np.full((3, 7), 40, np.uint8)}, "mix.shift: shifts are"),
        ({"mix.weight": np.full((3, 7, 11), -128, np.int8)}, "mix.weight: weights are"),
        ({"mix.bias": np.full((3, 7), 1 << 24, np.int32)}, r"mix: a sum can reach \d+, past"),
        ({"mix.bias": np.full((3, 7), -(1 << 31), np.int32)}, "mix: a sum"),
        ({"logits.bias": np.full((3, 16), 1 << 23, np.int32)}, "logits: a sum"),
        ({"tags": np.full((2, 6), 1 << 24, np.int32)}, "blocks: a sum|context: a sum"),
        ({"tables.shift": np.full(3, 22, np.uint8)}, "tables: a sum"),
    ],
)
def test_files_that_are_refused(
    changes: dict[str, object], words: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.codes", **changes)
    if words is None:  # nothing in the arrays says otherwise
        CodeModel.load(path)
        return
    with pytest.raises(CheckpointError, match=words):
        CodeModel.load(path)


def test_files_that_are_no_safetensors(tmp_path: Path) -> None:
    path = write(tmp_path / "x.codes")
    whole = path.read_bytes()
    for data in (b"", b"\xff" * 100, whole[:100], whole[:-1], b"RIFF" + whole, whole + b"x"):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"x\.codes"):
            CodeModel.load(path)
    with pytest.raises(CheckpointError, match="cannot read"):
        CodeModel.load(tmp_path / "none")
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(CheckpointError, match="too large"):
        CodeModel.load(path)


def test_files_with_a_bit_turned_are_refused_or_another_model(tmp_path: Path) -> None:
    path = write(tmp_path / "x.codes")
    whole, model = path.read_bytes(), CodeModel.load(path)
    random = np.random.RandomState(4)
    refused = 0
    for at in random.randint(0, len(whole), 200):
        bad = bytearray(whole)
        bad[at] ^= 1 << random.randint(8)
        path.write_bytes(bad)
        try:
            found = CodeModel.load(path)
        except CheckpointError:
            refused += 1
            continue
        assert (found.sha256, found.metadata) != (model.sha256, model.metadata)
    assert 20 < refused < 180
