"""Weights that a training run replaces: what was coded with them can be decoded for ever."""

from pathlib import Path

import numpy as np
import pytest
from cli_samples import make_model, mono_config, run, write_audio, write_model
from test_train_loop import configured, finish, make, recipe  # noqa: F401

from encodec_cli import decode, encode, load_model, load_module
from encodec_cli.checkpoints.card import file_sha256, read_card
from encodec_cli.checkpoints.modules import save_model
from encodec_cli.errors import CheckpointError, UsageError
from encodec_cli.io.kept import find_kept, is_kept, keep


def saved_on_the_way(folder: Path, *, seed: int) -> Path:
    """What a run leaves in its folder when it saves in the midst."""
    folder.mkdir(exist_ok=True)
    (folder / "state.pt").touch()
    path = folder / "model.safetensors"
    model = make_model(mono_config(), seed=seed)
    save_model(
        model, path, licence="MIT", training_data="none", unfinished=True, half=False, force=True
    )
    return path


def copies(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*"))


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_what_was_coded_before_the_next_save_decodes(tmp_path: Path, device: str) -> None:
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    write_audio(tmp_path / "x.wav", 9000)
    where = ("--device", device)
    said = run("encode", tmp_path / "x.wav", "-m", weights, *where).ok()
    kept = weights.with_name(f"model-{file_sha256(weights)[:12]}.safetensors")
    assert kept.read_bytes() == weights.read_bytes()
    assert f"{weights}: its training goes on; what is coded now decodes with {kept}" in said.stderr
    run("decode", tmp_path / "x.ecdc", tmp_path / "before.wav", "-m", weights, *where).ok()

    saved_on_the_way(tmp_path / "run", seed=2)
    late = ("decode", tmp_path / "x.ecdc", tmp_path / "late.wav", *where)
    run(*late, "-m", weights).refused(2, "coded by other weights", f"name {kept}", "--model")
    run(*late, "-m", kept).ok()
    assert (tmp_path / "late.wav").read_bytes() == (tmp_path / "before.wav").read_bytes()


def test_the_copy_is_made_once_for_each_save(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", 3000)
    for seed in (1, 1, 2):
        weights = saved_on_the_way(tmp_path / "run", seed=seed)
        for _ in range(2):
            run("encode", "--force", "-q", tmp_path / "x.wav", "-m", weights).ok()
    assert len(copies(tmp_path / "run")) == 2
    kept = copies(tmp_path / "run")[0]
    run("encode", "--force", tmp_path / "x.wav", "-m", kept).ok()
    assert len(copies(tmp_path / "run")) == 2


def test_tokens_are_codes_as_well(tmp_path: Path) -> None:
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    write_audio(tmp_path / "in" / "x.wav", 3000)
    run("tokens", "-r", tmp_path / "in", "--to", "npz", "-o", tmp_path / "out", "-m", weights).ok()
    [kept] = copies(tmp_path / "run")
    saved_on_the_way(tmp_path / "run", seed=2)
    tokens = tmp_path / "out" / "x.npz"
    run("decode", tokens, "-m", weights).refused(2, "other weights", str(kept))
    run("decode", tokens, "-m", kept).ok()


@pytest.mark.parametrize("load", [load_model, load_module])
def test_python_codes_with_what_stays(tmp_path: Path, load: object) -> None:
    assert callable(load)
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    model = load(weights)
    coded = encode(model, np.zeros((1, 3000), np.float32), n_q=2)
    saved_on_the_way(tmp_path / "run", seed=2)
    [kept] = copies(tmp_path / "run")
    with pytest.raises(UsageError, match=f"other weights.*{kept.name}"):
        decode(load(weights), coded)
    assert decode(load(kept), coded).shape == (1, 3000)


def test_nothing_is_kept_where_nothing_is_coded(tmp_path: Path) -> None:
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    write_audio(tmp_path / "x.wav", 3000)
    run("roundtrip", tmp_path / "x.wav", "-m", weights).ok()
    run("models", "show", weights).ok()
    run("encode", "--dry-run", tmp_path / "x.wav", "-m", weights).ok()
    load_model(weights, to_code=False)
    assert copies(tmp_path / "run") == []


def test_weights_that_nobody_replaces_are_not_copied(tmp_path: Path) -> None:
    write_audio(tmp_path / "x.wav", 3000)
    way = saved_on_the_way(tmp_path / "run", seed=1)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "model.safetensors").write_bytes(way.read_bytes())
    finished = tmp_path / "finished"
    finished.mkdir()
    (finished / "state.pt").touch()
    write_model(finished / "model.safetensors", make_model(mono_config()))
    for folder in (alone, finished):
        run("encode", "--force", tmp_path / "x.wav", "-m", folder / "model.safetensors").ok()
        assert copies(folder) == []


def test_where_no_copy_can_be_kept_nothing_is_coded(tmp_path: Path) -> None:
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    name = f"model-{file_sha256(weights)[:12]}.safetensors"
    (tmp_path / "run" / name).mkdir()
    write_audio(tmp_path / "x.wav", 3000)
    refused = run("encode", tmp_path / "x.wav", "-m", weights)
    refused.refused(1, "a training run will replace these weights", "copy them to another folder")
    assert not (tmp_path / "x.ecdc").exists()
    with pytest.raises(CheckpointError, match="no copy can be kept"):
        load_model(weights)


def test_the_code_model_beside_is_kept_with_them(tmp_path: Path) -> None:
    weights = saved_on_the_way(tmp_path / "run", seed=1)
    (tmp_path / "run" / "model.codes").write_bytes(b"a code model")
    load_model(weights)
    kept = find_kept(weights, file_sha256(weights))
    assert kept is not None
    assert kept.with_suffix(".codes").read_bytes() == b"a code model"


def test_a_copy_is_known_by_its_name_and_content(tmp_path: Path) -> None:
    path = tmp_path / "a-b.bin"
    path.write_bytes(b"one")
    first = keep(path)
    assert (is_kept(path), is_kept(first)) == (False, True)
    assert first.name.startswith("a-b-")
    path.write_bytes(b"two")
    second = keep(path)
    assert keep(first) == first
    assert find_kept(path, file_sha256(first)) == first
    assert find_kept(second, file_sha256(first)[:16]) == first
    assert find_kept(path, file_sha256(first)[:8]) is None
    assert find_kept(path, "0" * 64) is None
    first.write_bytes(b"not that content")
    assert not is_kept(first)


@pytest.mark.slow
def test_a_run_says_which_of_its_weights_are_unfinished(recipe: Path) -> None:  # noqa: F811
    config = configured(recipe, steps=4, save_every_seconds=0.0)
    trainer = make(config, recipe)
    said = []
    trainer.save()
    said.append(read_card(trainer.checkpoint).unfinished)
    finish(trainer)
    said.append(read_card(trainer.checkpoint).unfinished)
    assert said == [True, False]
    decoder = configured(
        recipe,
        steps=2,
        output=str(recipe.parent / "decoder"),
        warm_start=(str(trainer.checkpoint),),
        decoder_only=True,
        quantizer_start=0,
    )
    same_codes = make(decoder, recipe)
    same_codes.save()
    assert not read_card(same_codes.checkpoint).unfinished


@pytest.mark.slow
def test_a_run_that_starts_anew_keeps_the_weights_it_finds(recipe: Path) -> None:  # noqa: F811
    first = finish(make(configured(recipe, steps=2), recipe))
    before = file_sha256(first.checkpoint)
    (first.folder / "state.pt").unlink()
    again = finish(make(configured(recipe, steps=3), recipe))
    assert file_sha256(again.checkpoint) != before
    kept = find_kept(again.checkpoint, before)
    assert kept is not None
    assert file_sha256(kept) == before
