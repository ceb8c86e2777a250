"""Training for people with recordings and no recipe: defaults, a starter, faults, weights kept."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from cli_samples import REPOSITORY, run
from test_train_loop import configured, finish, make, recipe  # noqa: F401
from tiny_models import tiny_model

from encodec_cli.checkpoints.card import file_sha256
from encodec_cli.config.schema import faults_in
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.train import validate as validate_module
from encodec_cli.train.blend import best_share, blended, mel_distance
from encodec_cli.train.cache import read_manifest
from encodec_cli.train.config import TrainConfig, load_train_config
from encodec_cli.train.data import Corpus
from encodec_cli.train.own_data import prepare_run
from encodec_cli.train.starter import STARTER
from encodec_cli.train.telling import validation_lines, verdict


def clips(folder: Path, count: int) -> dict[Path, str | None]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(count):
        x = 0.1 * np.sin(np.arange(16_000) * (0.05 + 0.02 * n)) + 0.01 * rng.normal(size=16_000)
        soundfile.write(folder / f"{n:02d}.wav", x, 16_000)
    return {folder / f"{n:02d}.wav": None for n in range(count)}


@pytest.mark.slow
def test_ten_clips_and_no_recipe_make_a_model(tmp_path: Path) -> None:
    clips(tmp_path / "clips", 10)
    (tmp_path / "clips" / "broken.wav").write_bytes(b"RIFF nothing")
    out = tmp_path / "run"
    common = ("--data", tmp_path / "clips", "--output", out, "--device", "cpu")
    first = run("train", *common, "--steps", "1").ok()
    assert "broken.wav" in first.stderr
    model = ("-m", out / "model.safetensors")
    run("roundtrip", tmp_path / "clips" / "00.wav", tmp_path / "x.wav", *model).ok()
    again = run("train", *common).ok()
    assert "goes on with its recipe.yaml" in again.stderr
    run("train", *common, "--steps", "9").refused(2, "--steps 9", "recipe.yaml is there")


def test_a_tenth_of_the_recordings_judges(tmp_path: Path) -> None:
    recordings = clips(tmp_path / "clips", 12)
    path = prepare_run(recordings, tmp_path / "run", 7)
    recipe_made = load_train_config(path)
    learnt = read_manifest(Path(recipe_made.data.manifest))
    held = read_manifest(Path(recipe_made.data.validation))
    assert (len(learnt), len(held)) == (10, 2)
    assert not {r.file for r in learnt} & {r.file for r in held}
    assert (recipe_made.steps, recipe_made.data.cache) == (7, str(tmp_path / "run" / "cache"))
    with pytest.raises(UsageError, match="change it there"):
        prepare_run(recordings, tmp_path / "run", 7)


def test_one_recording_is_enough_and_none_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    path = prepare_run(clips(tmp_path / "one", 1), tmp_path / "run", None, said.append)
    assert len(read_manifest(Path(load_train_config(path).data.manifest))) == 1
    assert any("judged by what it learns from" in line for line in said)
    (tmp_path / "x.wav").write_bytes(b"no sound")
    with pytest.raises(ConfigError, match="none of 1 recordings can be read"):
        prepare_run({tmp_path / "x.wav": None}, tmp_path / "other", None)
    assert not (tmp_path / "other").exists()


def test_the_starter_is_a_recipe() -> None:
    printed = run("train", "--init").ok()
    assert printed.text == STARTER
    assert faults_in(TrainConfig, yaml.safe_load(printed.text)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.yaml", "--init"),
        ("a.yaml", "--data", "x"),
        ("--data", "x"),
        ("--output", "x"),
        ("a.yaml", "--steps", "3"),
    ],
)
def test_half_a_run_is_refused(arguments: tuple[str, ...]) -> None:
    run("train", *arguments).refused(2, "give")


def test_all_faults_of_a_recipe_are_named_at_once(tmp_path: Path) -> None:
    faults: dict[str, Any] = {
        "stepz": 1,
        "batch": 0,
        "learning_rate": "fast",
        "output": "run",
        "data": {"manifest": "a.csv", "crop_seconds": 100, "augment": {"noise": 2, "hum": 1}},
        "loss": {"spectral": -1, "windows": [1]},
        "adversary": 3,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(faults))
    words = (
        "12 faults",
        "unknown key 'stepz'",
        "model: missing",
        "batch: 0: give at least 1",
        "learning_rate: 'fast' is not a number",
        "data: validation: missing",
        "data: augment: unknown key 'hum'",
        "data: augment: noise: 2",
        "loss: spectral: -1",
        "loss: windows: [1]",
        "adversary: not a mapping",
        "data: manifest: a.csv: cannot read",
    )
    message = run("train", path).refused(1).errors[0]
    for word in words:
        assert word in message, word


def test_missing_files_are_faults_like_others(tmp_path: Path) -> None:
    """Those that a recipe names, and those that its manifests list."""
    clips(tmp_path / "clips", 2)
    lists = tmp_path / "lists.csv"
    names = ["clips/00.wav", *(f"gone{n}.wav" for n in range(5))]
    lists.write_text("file,kind\n" + "".join(f"{name},speech\n" for name in names))
    settings = {
        "model": "nowhere.yaml",
        "warm_start": ["ecli_24khz", "gone.safetensors", "ecli_24kh"],
        "output": str(tmp_path / "run"),
        "batch": -1,
        "data": {"manifest": str(lists), "validation": str(tmp_path / "gone.csv")},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    words = (
        "6 faults",
        "batch: -1",
        "model: ",
        "nowhere.yaml: cannot read",
        "warm_start: model 'gone.safetensors': no such file",
        "warm_start: model 'ecli_24kh': no such file or bundled model; did you mean ecli_24khz?",
        "data: manifest: ",
        "lists.csv: 5 of 6 recordings are not there",
        "gone0.wav, gone1.wav, gone2.wav and 2 more",
        "data: validation: ",
        "gone.csv: cannot read",
    )
    message = run("train", path).refused(1).errors[0]
    for word in words:
        assert word in message, word
    assert not (tmp_path / "run").exists()


def test_a_manifest_without_rates_takes_those_of_the_files(tmp_path: Path) -> None:
    clips(tmp_path / "clips", 1)
    (tmp_path / "m.csv").write_text("file,kind\nclips/00.wav,speech\n")
    assert read_manifest(tmp_path / "m.csv")[0].source_rate == 16_000
    (tmp_path / "m.csv").write_text("file,kind\ngone.wav,speech\n")
    with pytest.raises(ConfigError, match=r"gone\.wav"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.slow
def test_going_on_keeps_the_weights_there_were(recipe: Path) -> None:  # noqa: F811
    folder = finish(make(configured(recipe, steps=4), recipe)).folder
    (folder / "model.codes").write_bytes(b"a code model")
    before = file_sha256(folder / "model.safetensors")
    longer = finish(make(configured(recipe, steps=6), recipe))
    assert file_sha256(folder / "model.safetensors") != before
    assert file_sha256(folder / f"model-{before[:12]}.safetensors") == before
    assert any(before[:12] in line for line in longer.notes)
    assert (folder / f"model-{before[:12]}.codes").read_bytes() == b"a code model"
    done = make(configured(recipe, steps=6), recipe)
    assert done.notes == []
    assert len(list(folder.glob("model-*.safetensors"))) == 1


@pytest.mark.slow
def test_a_changed_key_is_said_when_a_run_goes_on(recipe: Path) -> None:  # noqa: F811
    finish(make(configured(recipe, steps=2), recipe))
    config = configured(recipe, steps=3, batch=2)
    config = replace(config, data=replace(config.data, crop_seconds=0.3))
    notes = make(config, recipe).notes
    assert any("batch was 4 until step 2, now it is 2" in line for line in notes)
    assert any("data.crop_seconds was 0.25" in line for line in notes)
    assert not any("steps" in line for line in notes)


def test_the_page_of_keys_is_that_of_the_schema() -> None:
    spec = importlib.util.spec_from_file_location(
        "make_recipe_doc", REPOSITORY / "scripts" / "make_recipe_doc.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (REPOSITORY / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page == module.page(), "run: python scripts/make_recipe_doc.py"


def test_scores_stand_beside_those_before_the_run() -> None:
    before = {"6 kb/s": {"speech": {"mel": 1.44, "pesq": 2.8}, "used": 0.5}}
    after = {"6 kb/s": {"speech": {"mel": 1.34, "pesq": 2.97}, "used": 0.5}}
    lines = list(validation_lines(after, 9, before))
    assert "speech: mel 1.44 -> 1.34, pesq 2.8 -> 2.97" in lines[0]
    assert "mel 1.44, pesq" in next(validation_lines(before, 0, before))
    assert list(verdict(before, after)) == []
    assert list(verdict({}, after)) == []
    [warning] = verdict(after, before)
    assert "was 1.34, and is 1.44 now" in warning


@pytest.mark.slow
def test_a_run_with_a_start_judges_it_first(recipe: Path) -> None:  # noqa: F811
    source = finish(make(configured(recipe), recipe))
    config = configured(
        recipe,
        output=str(recipe.parent / "tuned"),
        warm_start=(str(source.checkpoint),),
        decoder_only=True,
        quantizer_start=0,
        steps=2,
    )
    trainer = make(config, recipe)
    trainer.save()
    finish(trainer)
    before, at_end = trainer.quality_before, source.quality  # which was before rounding to fp16
    assert before.keys() == at_end.keys() == trainer.quality.keys()
    assert before["3.2 kb/s"]["sound"]["mel"] == pytest.approx(
        at_end["3.2 kb/s"]["sound"]["mel"], rel=0.01
    )
    assert make(replace(config, steps=3), recipe).quality_before == before


def test_the_middle_of_long_recordings_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def measured(x: Any, y: Any, rate: int, *, speech: bool) -> dict[str, float]:
        heard.append(len(x))
        assert float(x.abs().max()) < 0.2, "the loud ends are not in the middle"
        return {"mel": 1.0}

    monkeypatch.setattr(validate_module, "measure", measured)
    wave = np.full(16 * 1000, 0.1, np.float32)
    wave[:2000] = wave[-2000:] = 0.9
    soundfile.write(tmp_path / "long.wav", wave, 1000)
    soundfile.write(tmp_path / "short.wav", wave[4000:7000], 1000)
    (tmp_path / "m.csv").write_text("file,kind\nlong.wav,music\nshort.wav,music\n")
    validate_module.validate(tiny_model(), tmp_path / "m.csv")
    assert heard == [10_000, 3000]


def test_the_share_with_the_least_distance_is_kept() -> None:
    assert best_share(lambda share: abs(share - 0.6)) == 0.5
    assert best_share(lambda share: share) == 0.0
    assert best_share(lambda share: 1.0) == 1.0
    start, end = {"a": torch.zeros(2)}, {"a": torch.ones(2)}
    assert blended(start, end, 0.25)["a"].tolist() == [0.25, 0.25]
    assert torch.equal(blended(start, end, 0.0)["a"], start["a"])
    found = {"1 kb/s": {"speech": {"mel": 1.0}, "used": 0.5}, "2 kb/s": {"speech": {"mel": 3.0}}}
    assert mel_distance(found) == 2.0


@pytest.mark.slow
def test_a_run_that_only_does_harm_ends_where_it_began(recipe: Path) -> None:  # noqa: F811
    source = finish(make(configured(recipe), recipe))
    config = configured(
        recipe,
        output=str(recipe.parent / "tuned"),
        warm_start=(str(source.checkpoint),),
        decoder_only=True,
        blend=True,
        quantizer_start=0,
        learning_rate=0.5,
        steps=3,
        warmup=0,
        decay=0,
    )
    trainer = make(config, recipe)
    began = trainer.averaged_model().state_dict()
    trainer.save()
    again = make(config, recipe)
    records = list(again.run(Corpus(again.config.data, 8000)))
    assert {"share_learnt": 0.0} in records
    assert all(torch.equal(v, began[k]) for k, v in again.averaged_model().state_dict().items())
    assert again.quality == again.quality_before
    assert list(verdict(again.quality_before, again.quality)) == []
