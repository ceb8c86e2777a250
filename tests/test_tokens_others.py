"""Token files as other programs write them: shapes, types, offsets, patterns; no guesses."""

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_samples import make_model, mono_config, run, stereo_config, write_model
from numpy.typing import NDArray
from safetensors.numpy import save_file

from encodec_cli.errors import ContainerError, UsageError
from encodec_cli.tokens import Reading, TokenItem, arranged, read_items, undelay, undelay_stereo

BINS, BOOKS, FRAMES = 1024, 8, 30
CODES = np.random.default_rng(5).integers(0, BINS, (BOOKS, FRAMES))
READING = Reading(BOOKS, BINS)


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("m") / "m.safetensors", make_model(mono_config()))


def saved(path: Path, codes: "NDArray[Any]") -> Path:
    """`codes` in the format of the suffix, as a few lines of another program would do it."""
    if path.suffix == ".npy":
        np.save(path, codes)
    elif path.suffix == ".npz":
        np.savez(path, codes=codes)
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps({"codes": codes.tolist()}) + "\n\n")
    else:
        save_file({"codes": np.ascontiguousarray(codes)}, path)
    return path


SHAPES: dict[str, Callable[["NDArray[Any]"], "NDArray[Any]"]] = {
    "K T": lambda c: c,
    "K 1 T": lambda c: c[:, None],
    "1 K T": lambda c: c[None],
    "1 1 K T": lambda c: c[None, None],
    "K T 1": lambda c: c[..., None],
    "T K": lambda c: c.T,
    "1 T K": lambda c: c.T[None],
    "floats": lambda c: c.astype(np.float32),
    "int64": lambda c: c.astype(np.int64),
    "uint8 order F": lambda c: np.asfortranarray(c.astype(np.int32)),
    "offsets": lambda c: c + BINS * np.arange(BOOKS)[:, None],
    "flat by frame": lambda c: (c + BINS * np.arange(BOOKS)[:, None]).T.ravel(),
    "flat by book": lambda c: (c + BINS * np.arange(BOOKS)[:, None]).ravel(),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".jsonl", ".safetensors"])
@pytest.mark.parametrize("shape", SHAPES)
def test_codes_of_every_shape_are_the_same_codes(shape: str, suffix: str, tmp_path: Path) -> None:
    [item] = read_items(saved(tmp_path / f"a{suffix}", SHAPES[shape](CODES)))
    assert isinstance(item, TokenItem)
    np.testing.assert_array_equal(arranged(item, READING), CODES)


def item_of(codes: "NDArray[Any]", tmp_path: Path) -> TokenItem:
    [item] = read_items(saved(tmp_path / "x.npy", codes))
    assert isinstance(item, TokenItem)
    return item


def test_what_could_be_either_is_refused_until_it_is_said(tmp_path: Path) -> None:
    square = item_of(CODES[:6, :8], tmp_path)
    with pytest.raises(UsageError, match="both axes could be frames; say layout=KT or layout=TK"):
        arranged(square, READING)
    assert arranged(square, Reading(8, BINS, "KT")).shape == (6, 8)
    assert arranged(square, Reading(8, BINS, "TK")).shape == (8, 6)
    with pytest.raises(UsageError, match="neither axis is the model's, which has 4 codebooks"):
        arranged(item_of(CODES, tmp_path), Reading(4, BINS))


def test_the_length_tells_the_axes(tmp_path: Path) -> None:
    said = {"hop": np.array(320), "num_samples": np.array(6 * 320 - 5)}
    for codes in (CODES[:8, :6], CODES[:8, :6].T):
        np.savez(tmp_path / "a.npz", codes=codes, **said)
        [item] = read_items(tmp_path / "a.npz")
        assert isinstance(item, TokenItem)
        np.testing.assert_array_equal(arranged(item, READING), CODES[:8, :6])


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (CODES + 0.5, "not whole"),
        (CODES * np.nan, "not whole"),
        (CODES.astype(np.float64) * 1e300, "not whole"),
        (np.stack([CODES, CODES]), "one recording by itself"),
        (np.zeros((129, 129), int), "K up to 128"),
        (CODES[:, :0], "give 1 to"),
        (np.array(5), "give .K, T."),
        (CODES.astype(str), "not what belongs there"),
        (CODES > 3, "not what belongs there"),
    ],
)
def test_what_are_no_codes_is_refused(codes: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ContainerError, match=words):
        list(read_items(saved(tmp_path / "a.npy", codes)))


@pytest.mark.parametrize(
    ("tokens", "reading", "words"),
    [
        (CODES.T.ravel(), READING, "no codebooks by offsets; .* say layout=KT"),
        ([0, 1030, 5, 6], READING, "neither frame by frame nor book by book"),
        ([0, 1030, 99999, 5, 1031], READING, "flat token 2 is 99999"),
        ([99999, -4], READING, "no flat tokens from 0 to 8191"),
        ([7, 8], Reading(8, BINS, offset=128_000), "no flat tokens from 128000"),
    ],
)
def test_flat_tokens_that_tell_nothing_are_refused(
    tokens: Any, reading: Reading, words: str, tmp_path: Path
) -> None:
    with pytest.raises((ContainerError, UsageError), match=words):
        arranged(item_of(np.array(tokens), tmp_path), reading)


def test_flat_tokens_of_a_vocabulary(tmp_path: Path) -> None:
    """Offsets begin after the words, special tokens stand around, the last frame is cut."""
    flat = (CODES + BINS * np.arange(BOOKS)[:, None]).T.ravel() + 128_266
    around = np.concatenate([[1, 2], flat, flat[:3], [2]])
    reading = Reading(BOOKS, BINS, offset=128_266)
    np.testing.assert_array_equal(arranged(item_of(around, tmp_path), reading), CODES)
    one = item_of(CODES[0], tmp_path)
    np.testing.assert_array_equal(arranged(one, Reading(8, BINS, "KT")), CODES[:1])


def test_barks_prompts(tmp_path: Path) -> None:
    semantic = np.arange(50)
    prompts = {"semantic_prompt": semantic, "coarse_prompt": CODES[:2], "fine_prompt": CODES}
    for names, books in ((list(prompts), 8), (["semantic_prompt", "coarse_prompt"], 2)):
        np.savez(tmp_path / "v.npz", **{name: prompts[name] for name in names})
        [item] = read_items(tmp_path / "v.npz")
        assert isinstance(item, TokenItem)
        np.testing.assert_array_equal(arranged(item, READING), CODES[:books])
    np.savez(tmp_path / "v.npz", semantic_prompt=semantic, speaker=semantic)
    with pytest.raises(ContainerError, match="semantic tokens alone"):
        list(read_items(tmp_path / "v.npz"))


def test_lines_of_json(tmp_path: Path) -> None:
    lines = [
        {"id": "talks/anna", "audio_codes": CODES.tolist(), "sample_rate": 24_000, "text": "hi"},
        CODES.T.ravel().tolist(),
        {"text": "no codes"},
        {"codes": [[1, 2], [3]]},
        {"codes": {"a": 1}},
        {"key": "../x", "codes": [[1]]},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n{\n" + "[" * 100_000
    (tmp_path / "a.jsonl").write_text(text)
    good, flat, *bad = read_items(tmp_path / "a.jsonl")
    assert isinstance(good, TokenItem)
    assert isinstance(flat, TokenItem)
    assert (good.key, good.info.sample_rate, flat.key) == ("talks/anna", 24_000, "line-00002")
    assert [type(item).__name__ for item in bad] == ["BadItem"] * 6


# Patterns


def delayed(codes: "NDArray[Any]", delays: Any, special: int = -1) -> "NDArray[Any]":
    books, frames = codes.shape
    out = np.full((books, frames + max(delays)), special)
    for k, late in enumerate(delays):
        out[k, late : late + frames] = codes[k]
    return out


@pytest.mark.parametrize("special", [-1, BINS, BINS + 7])
@pytest.mark.parametrize("around", [(0, 0), (1, 0), (0, 1), (2, 3)])
def test_a_delay_with_specials_around_it(around: tuple[int, int], special: int) -> None:
    whole = delayed(CODES, range(BOOKS), special)
    padded = np.pad(whole, ((0, 0), around), constant_values=special)
    np.testing.assert_array_equal(undelay(padded, BINS), CODES)


@pytest.mark.parametrize("columns", [FRAMES + 6, FRAMES + 1, FRAMES, FRAMES - 5, BOOKS])
def test_a_delay_that_was_cut_keeps_whole_frames(columns: int) -> None:
    cut = delayed(CODES, range(BOOKS))[:, :columns]
    np.testing.assert_array_equal(undelay(cut, BINS), CODES[:, : columns - BOOKS + 1])


def test_a_stereo_delay_is_two_recordings() -> None:
    left, right = CODES[:4], CODES[4:]
    both = np.stack([left, right], axis=1).reshape(8, FRAMES)
    for columns in (FRAMES + 3, FRAMES):
        found = undelay_stereo(delayed(both, [0, 0, 1, 1, 2, 2, 3, 3])[:, :columns], BINS)
        np.testing.assert_array_equal(found[0], left[:, : columns - 3])
        np.testing.assert_array_equal(found[1], right[:, : columns - 3])
    with pytest.raises(ContainerError, match=r"not a delay pattern|special token"):
        undelay(delayed(both, [0, 0, 1, 1, 2, 2, 3, 3]), BINS)
    with pytest.raises(ContainerError, match="3 rows: a stereo pattern has two"):
        undelay_stereo(CODES[:3], BINS)


def test_codes_without_delay_are_no_delay_pattern() -> None:
    with pytest.raises(ContainerError, match="not a delay pattern: codebook 1, column 0"):
        undelay(CODES, BINS)


# The command


def test_decode_reads_them_all(own_model: Path, tmp_path: Path) -> None:
    model = ("-m", own_model)
    run("decode", saved(tmp_path / "a.npy", CODES), *model).ok()
    expected = (tmp_path / "a.wav").read_bytes()
    others = {
        "tk.npy": (CODES.T, ()),
        "said.npz": (CODES.T, ("--layout", "TK")),
        "float.safetensors": (CODES.astype(np.float32)[None], ()),
        "flat.npy": (SHAPES["flat by frame"](CODES) + 500, ("--offset", "500")),
        "late.npy": (delayed(CODES, range(BOOKS)), ("--pattern", "delay")),
    }
    for name, (codes, options) in others.items():
        path = saved(tmp_path / name, codes)
        run("decode", path, tmp_path / f"{name}.wav", *model, *options).ok()
        assert (tmp_path / f"{name}.wav").read_bytes() == expected, name
    path = saved(tmp_path / "b.jsonl", CODES)
    run("decode", path, "-o", tmp_path / "out", *model).ok()
    assert (tmp_path / "out" / "line-00001.wav").read_bytes() == expected


def test_decode_refuses_what_could_be_either(own_model: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", CODES[:6, :8])
    run("decode", path, "-m", own_model).refused(2, "a.npy: codes of shape [6, 8]", "--layout KT")
    assert not (tmp_path / "a.wav").exists()


def test_a_stereo_delay_makes_one_stereo_file(own_model: Path, tmp_path: Path) -> None:
    both = np.stack([CODES[:4], CODES[4:]], axis=1).reshape(8, FRAMES)
    path = saved(tmp_path / "a.npy", delayed(both, [0, 0, 1, 1, 2, 2, 3, 3]))
    path.chmod(0o600)
    options = ("-m", own_model, "--sample-rate", "16000", "--start", "0.1")
    stereo = (*options, "--pattern", "stereo-delay")
    run("decode", path, *stereo).ok()
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == 16_000
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o600
    for channel, codes in enumerate((CODES[:4], CODES[4:])):
        run("decode", saved(tmp_path / "side.npy", codes), *options, "--force").ok()
        side, _ = soundfile.read(tmp_path / "side.wav", dtype="int16")
        np.testing.assert_array_equal(found[:, channel], side)
    assert not np.array_equal(found[:, 0], found[:, 1])
    said = run("decode", path, *stereo, "--skip-existing").ok()
    assert "a.wav: exists, skipped" in said.stderr
    piped = run("decode", path, "-", *stereo).ok()
    assert len(piped.stdout) >= found.nbytes


def test_a_stereo_delay_is_rescaled_as_one(own_model: Path, tmp_path: Path) -> None:
    both = np.stack([CODES[:4], CODES[4:]], axis=1).reshape(8, FRAMES)
    path = saved(tmp_path / "a.npy", delayed(both, [0, 0, 1, 1, 2, 2, 3, 3]))
    stereo = ("-m", own_model, "--pattern", "stereo-delay", "--encoding", "float")
    run("decode", path, tmp_path / "as-is.wav", *stereo).ok()
    run("decode", path, tmp_path / "lower.wav", *stereo, "--rescale").ok()
    loud, low = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("as-is", "lower"))
    gain = min(1.0, 1 / abs(loud).max())
    np.testing.assert_allclose(low, loud * gain, atol=1e-4)


def test_a_stereo_delay_takes_a_mono_model(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors", make_model(stereo_config()))
    path = saved(tmp_path / "a.npy", CODES)
    result = run("decode", path, "-m", model, "--pattern", "stereo-delay")
    result.refused(2, "--pattern stereo-delay", "coded by a mono model", "2 channels")


@pytest.mark.parametrize("suffix", [".pt", ".pkl"])
def test_a_pickle_is_called_one(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"x{suffix}").write_bytes(b"\x80\x02.")
    run("decode", tmp_path / f"x{suffix}").refused(2, "a pickle", "numpy.save", "weights_only")
    run("decode", tmp_path / "x.ecdc", "--layout", "KT").refused(2, "--layout: is for token files")


def test_an_npy_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "a.npy").write_bytes(file.getvalue())
    with pytest.raises(ContainerError, match="object of shape"):
        list(read_items(tmp_path / "a.npy"))
