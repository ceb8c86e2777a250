"""Training as a whole: it learns, it can be killed anywhere, it goes on exactly."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from cases import mostly_slow
from cli_samples import run
from torch import Tensor

from encodec_cli.checkpoints.card import read_card
from encodec_cli.checkpoints.load import load_model
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.config.codec import load_codec_config
from encodec_cli.errors import CheckpointError, ConfigError, TrainingError
from encodec_cli.model.module import CompressionModel
from encodec_cli.train import loop
from encodec_cli.train.config import AdversaryConfig, LossConfig, TrainConfig, load_train_config
from encodec_cli.train.data import Corpus
from encodec_cli.train.loop import Trainer
from encodec_cli.train.searched import SearchedCodes
from encodec_cli.train.step import TrainingStep

RATE = 8000
CODEC = {
    "name": "learner",
    "sample_rate": RATE,
    "channels": 1,
    "target_bandwidths": [1.6, 3.2, 6.4],
    "seanet": {
        "dimension": 8,
        "n_filters": 4,
        "n_residual_layers": 1,
        "ratios": [5, 4],
        "causal": True,
        "pad_mode": "constant",
    },
    "quantizer": {"n_q": 4, "bins": 16},
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of 12 steps: quantizer from step 4, adversary from step 8, a report every step."""
    monkeypatch.setattr(loop, "_REPORT_EVERY", 1)
    rng = np.random.default_rng(3)
    for name, seconds in (("train", 4), ("held", 1)):
        t = np.arange(seconds * RATE) / RATE
        wave = 0.2 * np.sin(2 * np.pi * 300 * t) * (1 + np.sin(2 * np.pi * 2 * t))
        wave += 0.01 * rng.standard_normal(len(t))
        soundfile.write(tmp_path / f"{name}.wav", wave, RATE)
        text = f"file,kind,seconds,source_rate\n{name}.wav,sound,{seconds},{RATE}\n"
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "codec.yaml").write_text(yaml.safe_dump(CODEC))
    settings = {
        "model": "codec.yaml",
        "output": str(tmp_path / "run"),
        "licence": "CC0",
        "training_data": "a tone",
        "data": {
            "manifest": str(tmp_path / "train.csv"),
            "validation": str(tmp_path / "held.csv"),
            "cache": str(tmp_path / "cache"),
            "weights": {"sound": 1.0},
            "crop_seconds": 0.25,
        },
        "loss": {"windows": [64, 256]},
        "adversary": {"start": 8, "filters": 2, "n_ffts": [128, 64]},
        "steps": 12,
        "batch": 4,
        "warmup": 2,
        "decay": 4,
        "quantizer_start": 4,
        "kmeans_batches": 2,
        "validate_every": 6,
        "precision": "fp32",
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def configured(recipe: Path, **changes: Any) -> TrainConfig:
    return replace(load_train_config(recipe), **changes)


def finish(trainer: Trainer) -> Trainer:
    """Take all steps that remain."""
    for _ in trainer.run(Corpus(trainer.config.data, RATE)):
        pass
    return trainer


def make(config: TrainConfig, recipe: Path) -> Trainer:
    return Trainer(config, recipe, torch.device("cpu"))


def everything(trainer: Trainer) -> dict[str, Tensor]:
    """Every number that training changes."""
    assert trainer.take.discriminator is not None
    numbers = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
    numbers |= {f"average.{k}": v for k, v in trainer.average.items()}
    numbers |= {f"judge.{k}": v for k, v in trainer.take.discriminator.state_dict().items()}
    for name, optimizer in (("adam", trainer.take.optimizer), ("adam_d", trainer.take.d_optimizer)):
        for index, state in optimizer.state_dict()["state"].items():
            numbers |= {f"{name}.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    averages = trainer.take.balancer.state_dict()["averages"]
    return numbers | {f"balancer.{k}": v for k, v in averages.items()}


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = [json.loads(x) for x in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("audio_per_second", None)
    return lines


class Killed(Exception):
    """Stands for kill -9: nothing runs after it."""


def killed_at(
    step: int, config: TrainConfig, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run `config` until `step` steps are taken, then die without a word."""
    real: Callable[..., Any] = TrainingStep.__call__

    def take(self: TrainingStep, x: Tensor, level: Tensor, number: int) -> dict[str, Tensor]:
        if number == step:
            raise Killed("kill -9")
        return real(self, x, level, number)  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "__call__", take)
        trainer = make(config, recipe)
        with pytest.raises(Killed, match="kill -9"):
            finish(trainer)


@pytest.mark.slow
def test_killed_runs_go_on_to_the_same_bits(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after the quantizer, k-means, the adversary and a validation."""
    straight = finish(make(configured(recipe), recipe))
    # A save after every step, so that a run goes on where it died ...
    often = configured(recipe, output=str(tmp_path / "often"), save_every_seconds=0.0)
    for step in (4, 5, 8):
        killed_at(step, often, recipe, monkeypatch)
    resumed = finish(make(often, recipe))
    # ... and saves long before its death, so that steps are taken twice.
    seldom = configured(recipe, output=str(tmp_path / "seldom"))
    killed_at(3, replace(seldom, save_every_seconds=0.0), recipe, monkeypatch)
    killed_at(10, seldom, recipe, monkeypatch)
    assert (
        json.loads((tmp_path / "seldom" / "log.jsonl").read_text().splitlines()[-1])["step"] == 10
    )
    repeated = finish(make(seldom, recipe))

    expected = everything(straight)
    assert len(expected) > 100
    for trainer in (resumed, repeated):
        found = everything(trainer)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(found[name], value), name
        assert log_of(trainer.folder) == log_of(straight.folder)
        checkpoints = [t.checkpoint.read_bytes() for t in (trainer, straight)]
        assert checkpoints[0] == checkpoints[1]
        assert not list(trainer.folder.glob("*.partial"))


@pytest.mark.slow
def test_a_finished_run_started_again_does_nothing(recipe: Path) -> None:
    first = finish(make(configured(recipe), recipe))
    before = first.checkpoint.read_bytes(), log_of(first.folder)
    again = make(configured(recipe), recipe)
    assert again.step == 12
    assert list(again.run(Corpus(again.config.data, RATE))) == []
    assert (first.checkpoint.read_bytes(), log_of(first.folder)) == before


@pytest.mark.slow
def test_a_longer_recipe_goes_on(recipe: Path) -> None:
    finish(make(configured(recipe), recipe))
    longer = make(configured(recipe, steps=14), recipe)
    assert longer.step == 12
    assert finish(longer).step == 14


@pytest.mark.slow
def test_training_learns(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # From torch's own weights: the linear start leaves too little to learn of a tone.
    monkeypatch.setattr(loop, "initialize", lambda model, batches: None)
    config = configured(recipe, steps=160, quantizer_start=60, validate_every=160, decay=20)
    config = replace(config, adversary=replace(config.adversary, start=None), learning_rate=5e-3)
    trainer = finish(make(config, recipe))
    log = [line for line in log_of(trainer.folder) if "spectral" in line]
    assert len(log) == 160
    early, late = (
        {name: np.mean([line[name] for line in part]) for name in ("spectral", "waveform")}
        for part in (log[:10], log[-10:])
    )
    assert late["spectral"] < 0.8 * early["spectral"]
    assert late["waveform"] < 0.8 * early["waveform"]
    assert log[59]["commitment"] == 0
    assert log[60]["commitment"] > 0
    quality = log_of(trainer.folder)[-1]["validation"]
    assert quality.keys() == {"1.6 kb/s", "3.2 kb/s", "6.4 kb/s"}
    assert quality["6.4 kb/s"]["sound"]["si_sdr"] > quality["1.6 kb/s"]["sound"]["si_sdr"] > -5
    assert 0 < quality["6.4 kb/s"]["perplexity"] <= 1


@pytest.mark.slow
def test_the_adversary_joins_when_told(recipe: Path) -> None:
    trainer = make(configured(recipe), recipe)
    assert trainer.take.discriminator is not None
    before = {k: v.clone() for k, v in trainer.take.discriminator.state_dict().items()}
    for record in trainer.run(Corpus(trainer.config.data, RATE)):
        untouched = all(
            torch.equal(v, before[k]) for k, v in trainer.take.discriminator.state_dict().items()
        )
        assert untouched == (trainer.step <= 8)
        if "mel" in record:
            assert ("adversarial" in record) == ("discriminator" in record) == (trainer.step > 8)


@pytest.mark.slow
def test_quantizer_dropout_is_over_the_target_bandwidths(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(configured(recipe, batch=16), recipe)
    seen: list[int] = []
    real = trainer.model.quantizer.forward

    def forward(x: Tensor, frame_rate: Any, n_q: Tensor) -> Any:
        seen.extend(n_q.tolist())
        return real(x, frame_rate, n_q)

    monkeypatch.setattr(trainer.model.quantizer, "forward", forward)
    finish(trainer)
    assert len(seen) == 16 * 8
    assert set(seen) == {1, 2, 4}
    assert min(seen.count(n) for n in (1, 2, 4)) > 20


@pytest.mark.slow
def test_the_checkpoint_is_the_average_and_says_what_it_is(recipe: Path) -> None:
    trainer = finish(make(configured(recipe, name="renamed"), recipe))
    card = read_card(trainer.checkpoint)
    assert (card.name, card.licence, card.training_data) == ("renamed", "CC0", "a tone")
    assert card.metrics["steps"] == 12
    assert card.metrics["validation"].keys() == {"1.6 kb/s", "3.2 kb/s", "6.4 kb/s"}
    saved = load_module(trainer.checkpoint).state_dict()
    for name, value in trainer.average.items():
        if name.endswith(("weight", "bias", "embed")):
            torch.testing.assert_close(saved[name], value, rtol=1e-3, atol=1e-4)
    assert sorted(p.name for p in trainer.folder.iterdir()) == [
        "log.jsonl",
        "model.safetensors",
        "state.pt",
    ]


@pytest.mark.slow
def test_warm_start_begins_with_the_weights_and_keeps_the_codebooks(
    recipe: Path, tmp_path: Path
) -> None:
    source = finish(make(configured(recipe), recipe))
    start = load_module(source.checkpoint).state_dict()
    config = configured(
        recipe,
        output=str(tmp_path / "warm"),
        warm_start=(str(source.checkpoint),),
        quantizer_start=0,
        steps=1,
        warmup=1000,
    )
    warm = make(config, recipe)
    for name, value in warm.model.state_dict().items():
        if name.endswith(("weight", "bias", "embed")):
            assert torch.equal(value, start[name]), name
    finish(warm)
    for book, name in (
        (b, f"quantizer.vq.layers.{k}._codebook.embed")
        for k, b in enumerate(warm.model.quantizer.codebooks)
    ):
        moved = (book.embed - start[name]).norm() / start[name].norm()
        assert float(moved) < 0.5, name


@pytest.mark.slow
def test_warm_start_refuses_another_config(recipe: Path, tmp_path: Path) -> None:
    source = finish(make(configured(recipe), recipe))
    other = CODEC | {"quantizer": {"n_q": 5, "bins": 16}}
    (tmp_path / "codec.yaml").write_text(yaml.safe_dump(other))
    config = configured(recipe, output=str(tmp_path / "w"), warm_start=(str(source.checkpoint),))
    with pytest.raises(ConfigError, match=r"warm_start: .*was made with another model config"):
        make(config, recipe)


@pytest.mark.slow
def test_warm_start_takes_the_mean_of_several(recipe: Path, tmp_path: Path) -> None:
    sources = [
        finish(make(configured(recipe, seed=seed, output=str(tmp_path / f"s{seed}")), recipe))
        for seed in (1, 2)
    ]
    paths = tuple(str(source.checkpoint) for source in sources)
    states = [load_module(source.checkpoint).state_dict() for source in sources]
    soup = make(configured(recipe, output=str(tmp_path / "w"), warm_start=paths), recipe)
    for name, value in soup.model.state_dict().items():
        if name.endswith(("weight", "bias", "embed")):
            mean = (states[0][name] + states[1][name]) / 2
            torch.testing.assert_close(value, mean, rtol=0, atol=0)


@pytest.mark.slow
def test_decoder_only_leaves_the_codes_alone(recipe: Path, tmp_path: Path) -> None:
    source = finish(make(configured(recipe), recipe))
    config = configured(
        recipe,
        output=str(tmp_path / "tuned"),
        warm_start=(str(source.checkpoint),),
        decoder_only=True,
        quantizer_start=0,
    )
    tuned = finish(make(config, recipe))
    before = load_module(source.checkpoint).state_dict()
    after = load_module(tuned.checkpoint).state_dict()
    names = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in names} == {"decoder"}
    assert len(names) > 5
    # So files that either coded decode with both, and with what is trained on from there.
    assert load_model(tuned.checkpoint).sha256 == load_model(source.checkpoint).sha256
    more = configured(
        recipe,
        output=str(tmp_path / "more"),
        warm_start=(str(tuned.checkpoint),),
        decoder_only=True,
        quantizer_start=0,
        search=4,
        batch=6,
        steps=2,
        adversary=AdversaryConfig(),
    )
    searched = finish(make(more, recipe))
    assert load_model(searched.checkpoint).sha256 == load_model(source.checkpoint).sha256
    # A run that goes on knows it from its state, whatever lies at `warm_start` by now.
    tuned.checkpoint.write_bytes((tmp_path / "run" / "model.safetensors").read_bytes())
    again = make(replace(more, steps=3), recipe)
    assert again.identity == load_model(source.checkpoint).sha256
    assert again.notes == []


@pytest.mark.slow
def test_encoder_only_leaves_what_codes_mean_alone(recipe: Path, tmp_path: Path) -> None:
    source = finish(make(configured(recipe), recipe))
    config = configured(
        recipe,
        output=str(tmp_path / "tuned"),
        warm_start=(str(source.checkpoint),),
        encoder_only=True,
        quantizer_start=0,
        search=2,
        batch=6,
        steps=40,
        warmup=2,
        learning_rate=3e-3,
        adversary=AdversaryConfig(),
    )
    trainer = make(config, recipe)
    records = list(trainer.run(Corpus(trainer.config.data, RATE)))
    before = load_module(source.checkpoint).state_dict()
    after = load_module(trainer.checkpoint).state_dict()
    names = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in names} == {"encoder"}
    assert load_model(trainer.checkpoint).sha256 == load_model(source.checkpoint).sha256
    waveform = [record["waveform"] for record in records if "waveform" in record]
    assert np.mean(waveform[-10:]) < 0.95 * np.mean(waveform[:10])


def test_one_side_alone_needs_a_model_to_start_from(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="blend: needs decoder_only or encoder_only"):
        configured(recipe, blend=True)
    with pytest.raises(ConfigError, match="encoder_only: needs warm_start"):
        configured(recipe, encoder_only=True)
    with pytest.raises(ConfigError, match="decoder_only, encoder_only: give one of them"):
        configured(recipe, encoder_only=True, decoder_only=True)


@pytest.mark.slow
def test_codes_of_two_models_are_not_one(recipe: Path, tmp_path: Path) -> None:
    """The mean of two models, or one whose encoder learns, has codes of its own."""
    source = finish(make(configured(recipe, steps=4, quantizer_start=0), recipe))
    start = str(source.checkpoint)
    for name, changes in (
        ("soup", {"warm_start": (start, start), "decoder_only": True}),
        ("both", {"warm_start": (start,)}),
    ):
        config = configured(recipe, output=str(tmp_path / name), **changes)
        assert make(config, recipe).identity is None


def test_searched_codes_are_those_of_encode(recipe: Path) -> None:
    """Each bandwidth has its share of the batch, and the search's choice at its own depth."""
    torch.manual_seed(0)
    model = CompressionModel(load_codec_config(recipe.parent / "codec.yaml"))
    latents = torch.randn(6, 8, 20)
    found = SearchedCodes(model, 4, 6)(latents)
    for i, depth in enumerate((1, 2, 4, 1, 2, 4)):
        engine = model.codec().engine
        codes = engine.quantizer().encode(latents[i].t().contiguous().numpy(), depth, 4)
        expected = model.quantizer.decode(torch.from_numpy(codes.astype(np.int64))[None])
        torch.testing.assert_close(found[i], expected[0], rtol=0, atol=1e-6)


def test_a_search_needs_a_decoder_alone_and_whole_batches(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="search: 4: needs decoder_only"):
        configured(recipe, search=4)
    model = CompressionModel(load_codec_config(recipe.parent / "codec.yaml"))
    with pytest.raises(ConfigError, match="batch: 4: with search, give a multiple of 3"):
        SearchedCodes(model, 4, 4)


def test_decoder_only_needs_a_model_to_start_from(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="decoder_only: needs warm_start"):
        configured(recipe, decoder_only=True)


@pytest.mark.slow
def test_a_step_neither_reads_from_its_device_nor_leaves_it(recipe: Path) -> None:
    """On a device without numbers the host cannot wait for one, and no CPU tensor fits in."""
    config = configured(
        recipe,
        quantizer_start=0,
        loss=LossConfig(intelligibility=1.0, loudness=1.0, level=1.0, complex=1.0),
        adversary=AdversaryConfig(start=0, filters=2, n_ffts=(128,)),
    )
    nowhere = torch.device("meta")
    model = CompressionModel(load_codec_config(recipe.parent / "codec.yaml")).to(nowhere)
    # The codebooks as if k-means had been there: it is allowed to look.
    model.load_state_dict(
        {k: v if "inited" not in k else torch.ones(1) for k, v in model.state_dict().items()},
        assign=True,
    )
    take = TrainingStep(model.to(nowhere), config, nowhere)
    x, level = torch.empty(4, 1, RATE // 2, device="meta"), torch.empty(4, device="meta")
    for step in range(2):
        losses = take(x, level, step)
    assert all(loss.device == nowhere and loss.shape == () for loss in losses.values())
    assert len(losses) == 9


@pytest.mark.slow
def test_state_of_another_model_is_refused(recipe: Path, tmp_path: Path) -> None:
    finish(make(configured(recipe), recipe))
    (tmp_path / "codec.yaml").write_text(
        yaml.safe_dump(CODEC | {"quantizer": {"n_q": 5, "bins": 16}})
    )
    with pytest.raises(CheckpointError, match=r"state.pt: does not fit this recipe"):
        make(configured(recipe), recipe)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"PK\x03\x04 half a zip", b"\x80\x02]q\x00."],
    ids=["empty", "text", "zip", "list"],
)
def test_a_corrupt_state_is_one_clear_error(recipe: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").write_bytes(content)
    result = run("train", recipe, "--device", "cpu")
    result.refused(1, str(tmp_path / "run" / "state.pt"), "does not fit this recipe")


@pytest.mark.slow
def test_a_truncated_state_is_one_clear_error(recipe: Path) -> None:
    trainer = finish(make(configured(recipe), recipe))
    state = trainer.folder / "state.pt"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"state.pt: does not fit this recipe"):
        make(configured(recipe), recipe)


# The command


@pytest.fixture
def one_thread() -> Iterator[None]:
    """`--threads` is for the process: give the number back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_train_command_makes_a_model_that_codes(recipe: Path, tmp_path: Path) -> None:
    result = run("train", recipe, "--device", "cpu", "--threads", "1").ok()
    assert result.stdout == b""
    model = tmp_path / "run" / "model.safetensors"
    assert result.stderr.splitlines()[-1] == f"wrote {model}"
    assert "step 6: " in result.stderr
    assert "step 12: " in result.stderr
    assert re.search(
        r"^step 12 of 12: spectral [0-9.]+, .* s of audio a second, .* left$", result.stderr, re.M
    )
    assert re.search(r"^step 12: validation at \S+ kb/s: \w+: mel ", result.stderr, re.M)
    assert "{" not in result.stderr
    assert "\x1b" not in result.stderr
    run("encode", tmp_path / "held.wav", "-m", model, "-b", "3.2").ok()
    run("decode", tmp_path / "held.ecdc", tmp_path / "back.wav", "-m", model).ok()
    assert soundfile.info(tmp_path / "back.wav").frames == RATE
    again = run("train", recipe, "--device", "cpu").ok()
    assert "step 12: " not in again.stderr


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"stepz": 1}, 1, "recipe.yaml: unknown key 'stepz'"),
        ({"model": "gone.yaml"}, 1, "gone.yaml: cannot read"),
        ({"warm_start": ["gone.safetensors"]}, 1, "gone.safetensors': no such file"),
        ({"data": "nothing"}, 1, "data: not a mapping"),
    ],
)
def test_train_command_refuses(recipe: Path, change: dict[str, Any], code: int, words: str) -> None:
    settings = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump(settings | change))
    run("train", recipe, "--device", "cpu").refused(code, words)


def test_train_command_names_what_is_missing(recipe: Path, tmp_path: Path) -> None:
    run("train", tmp_path / "gone.yaml").refused(1, "gone.yaml: cannot read: No such file")
    run("train", recipe, "--device", "warp9").refused(2, "--device warp9: no device that codes")
    held = (tmp_path / "held.csv").rename(tmp_path / "away.csv")
    run("train", recipe, "--device", "cpu").refused(1, "held.csv: cannot read")
    assert not (tmp_path / "run" / "log.jsonl").exists()
    held.rename(tmp_path / "held.csv")
    (tmp_path / "train.csv").unlink()
    run("train", recipe, "--device", "cpu").refused(1, "train.csv: cannot read")


# Divergence


def poisoned(step: int, name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `step` on, the loss `name` is `value`."""
    real: Callable[..., Any] = TrainingStep.__call__

    def take(self: TrainingStep, x: Tensor, level: Tensor, number: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = real(self, x, level, number)
        return losses | ({name: torch.tensor(value)} if number >= step else {})

    monkeypatch.setattr(TrainingStep, "__call__", take)


@pytest.mark.parametrize("value", mostly_slow([float("nan"), float("inf"), -float("inf")]))
@pytest.mark.parametrize(
    ("name", "step", "key"),
    mostly_slow(
        [
            ("spectral", 0, "learning_rate"),
            ("commitment", 5, "loss.commitment"),
            ("waveform", 7, "learning_rate"),
            ("discriminator", 9, "adversary.learning_rate"),
            ("feature", 11, "adversary.learning_rate"),
        ],
        2,
    ),
)
def test_the_first_loss_that_is_not_finite_ends_the_run(
    name: str, step: int, key: str, value: float, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(step, name, value, monkeypatch)
    monkeypatch.setattr(loop, "_REPORT_EVERY", 50)
    trainer = make(configured(recipe), recipe)
    with pytest.raises(TrainingError, match=rf"{name}: not finite at step {step}; lower {key} "):
        finish(trainer)
    assert not (trainer.folder / "state.pt").exists()
    log = trainer.folder / "log.jsonl"
    assert not log.exists() or ("NaN" not in log.read_text() and "Infinity" not in log.read_text())


@pytest.mark.slow
def test_the_last_good_state_stays(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(recipe, save_every_seconds=0.0)
    with monkeypatch.context() as patch:
        poisoned(7, "spectral", float("nan"), patch)
        with pytest.raises(TrainingError, match=r"at step 7; .*state\.pt holds the state before"):
            finish(make(config, recipe))
    again = make(config, recipe)
    assert again.step == 7
    assert all(torch.isfinite(value).all() for value in everything(again).values())
    assert finish(again).step == 12


def test_weights_that_are_not_finite_are_not_saved(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step may spoil them though its loss was finite."""
    config = configured(recipe, save_every_seconds=0.0)
    trainer = make(config, recipe)
    real = TrainingStep.__call__

    def take(self: TrainingStep, x: Tensor, level: Tensor, number: int) -> dict[str, Tensor]:
        losses = real(self, x, level, number)
        if number == 3:
            with torch.no_grad():
                next(self.model.decoder.parameters()).fill_(torch.inf)
        return losses

    monkeypatch.setattr(TrainingStep, "__call__", take)
    with pytest.raises(
        TrainingError, match=r"weights \(.*\): not finite after step 3; lower learn"
    ):
        finish(trainer)
    assert make(config, recipe).step == 3


def test_the_command_says_it_in_one_line(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(2, "spectral", float("nan"), monkeypatch)
    result = run("train", recipe, "--device", "cpu")
    result.refused(1, "training diverged: spectral: not finite at step 2", "lower learning_rate")
