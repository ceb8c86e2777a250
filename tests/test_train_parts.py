"""The trainer's parts: balancer, losses, corpus, recipe."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import tiny_model
from torch import Tensor

from encodec_cli.errors import ConfigError
from encodec_cli.train.balancer import Balancer
from encodec_cli.train.cache import read_manifest
from encodec_cli.train.config import AugmentConfig, DataConfig, load_train_config
from encodec_cli.train.data import Corpus
from encodec_cli.train.discriminator import MultiScaleSTFTDiscriminator
from encodec_cli.train.level import match_level
from encodec_cli.train.losses import (
    discriminator_loss,
    feature_loss,
    generator_loss,
    level_loss,
    spectral_loss,
    waveform_loss,
)

RATE = 8000


# Level


@pytest.mark.parametrize("norm", ["none", "weight_norm"])
def test_the_level_of_what_comes_back_is_matched(norm: str) -> None:
    torch.manual_seed(0)
    model = tiny_model(seanet={"norm": norm})
    batches = [0.3 * torch.randn(5, model.channels, 400) for _ in range(3)]

    def level_db() -> Tensor:
        with torch.no_grad():
            codes = [model.encode(x)[0][:, :1] for x in batches]
            decoded = [model.decode(c)[..., :400] for c in codes]
        powers = zip(decoded, batches, strict=True)
        ratios = [y.square().mean((1, 2)) / x.square().mean((1, 2)) for y, x in powers]
        return 10 * torch.cat(ratios).median().log10()

    before = float(level_db())
    assert match_level(model, batches, 1) == pytest.approx(-before, abs=1e-3)
    assert float(level_db()) == pytest.approx(0.0, abs=1e-3)
    assert match_level(model, batches, 1) == pytest.approx(0.0, abs=1e-3)


def test_a_decoder_that_ends_in_an_activation_keeps_its_level() -> None:
    model = tiny_model(seanet={"decoder": {"final_activation": "Tanh"}})
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    assert match_level(model, [torch.randn(2, model.channels, 400)], 1) == 0.0
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


# Balancer


def gradient_of(balancer: Balancer, weights: dict[str, Tensor], output: Tensor) -> Tensor:
    """What the balancer sends into `output` for losses that are linear in it."""
    leaf = output.clone().requires_grad_()
    y = leaf * 1.0
    balancer.backward({name: (w * y).sum() for name, w in weights.items()}, y)
    assert leaf.grad is not None
    return leaf.grad


def test_shares_are_those_of_the_weights_whatever_the_scales() -> None:
    balancer = Balancer({"a": 3.0, "b": 1.0}, total_norm=2.0)
    output = torch.zeros(1, 2)
    scales = {"a": torch.tensor([[1000.0, 0.0]]), "b": torch.tensor([[0.0, 0.001]])}
    torch.testing.assert_close(gradient_of(balancer, scales, output), torch.tensor([[1.5, 0.5]]))


def test_norms_are_means_over_items_and_averaged_over_steps() -> None:
    balancer = Balancer({"a": 1.0}, decay=0.9)
    output = torch.zeros(2, 2)
    first = torch.tensor([[3.0, 4.0], [0.0, 0.0]])  # norms 5 and 0, mean 2.5
    torch.testing.assert_close(gradient_of(balancer, {"a": first}, output), first / 2.5)
    second = torch.tensor([[0.0, 0.0], [0.0, 10.0]])  # mean 5
    average = (0.9 * 0.1 * 2.5 + 0.1 * 5) / (1 - 0.9**2)
    torch.testing.assert_close(gradient_of(balancer, {"a": second}, output), second / average)


def test_a_loss_without_weight_gets_no_share() -> None:
    balancer = Balancer({"a": 1.0, "b": 0.0})
    losses = {"a": torch.tensor([[1.0, 0.0]]), "b": torch.tensor([[0.0, 1.0]])}
    gradient = gradient_of(balancer, losses, torch.zeros(1, 2))
    torch.testing.assert_close(gradient, torch.tensor([[1.0, 0.0]]))


def test_a_loss_that_joins_later_shares_with_those_present() -> None:
    balancer = Balancer({"a": 1.0, "b": 1.0})
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 7.0]])
    alone = gradient_of(balancer, {"a": a}, torch.zeros(1, 2))
    torch.testing.assert_close(alone, torch.tensor([[1.0, 0.0]]))
    both = gradient_of(balancer, {"a": a, "b": b}, torch.zeros(1, 2))
    torch.testing.assert_close(both, torch.tensor([[0.5, 0.5]]))


def test_balancer_goes_on_from_its_state() -> None:
    one, other = Balancer({"a": 1.0}), Balancer({"a": 1.0})
    output = torch.zeros(1, 3)
    for _ in range(3):
        gradient_of(one, {"a": torch.randn(1, 3)}, output)
    other.load_state_dict(one.state_dict())
    loss = {"a": torch.randn(1, 3)}
    torch.testing.assert_close(
        gradient_of(one, loss, output), gradient_of(other, loss, output), rtol=0, atol=0
    )


# Losses


def test_losses_are_zero_for_equal_signals_and_grow() -> None:
    x = torch.randn(2, 4000)
    x /= x.pow(2).mean(-1, keepdim=True).sqrt()
    near, far = x + 0.01 * torch.randn_like(x), x + torch.randn_like(x)

    def all_losses(y: Tensor) -> list[float]:
        mel = spectral_loss(y, x, RATE, (128, 512), 1e-3, 0.0)
        both = spectral_loss(y, x, RATE, (128, 512), 1e-3, 2.0)
        return [float(loss) for loss in (waveform_loss(y, x), mel, both - mel)]

    assert all_losses(x) == pytest.approx([0, 0, 0], abs=1e-6)
    for equal, small, large in zip(*map(all_losses, (x, near, far)), strict=True):
        assert equal < small < large
    assert all_losses(far)[0] == pytest.approx(1.0, rel=0.1)
    assert float(waveform_loss(x + 100, x)) == 10.0


def test_the_complex_distance_sees_what_magnitudes_do_not() -> None:
    x = torch.randn(2, 4000)
    mel = spectral_loss(-x, x, RATE, (256,), 1e-3, 0.0)
    assert float(mel) == pytest.approx(0, abs=1e-6)
    assert float(spectral_loss(-x, x, RATE, (256,), 1e-3, 1.0)) > 1


def test_the_level_of_noise_is_met_by_other_noise_of_that_level() -> None:
    torch.manual_seed(4)
    x, other = torch.randn(2, 8, 24_000)
    by_chance = float(level_loss(other, x, 24_000))
    assert float(level_loss(x, x, 24_000)) == 0
    # 3 dB are 0.3 bel, everywhere.
    assert by_chance < 0.12 < 0.28 < float(level_loss(0.7 * x, x, 24_000)) < 0.33
    # The top quarter 6 dB down: a quarter of the narrow bands and 2 of 18 thirds of octaves.
    spectrum = torch.fft.rfft(x)
    spectrum[:, 9000:] *= 0.5
    dull = float(level_loss(torch.fft.irfft(spectrum), x, 24_000))
    assert dull == pytest.approx(0.6 * (1 / 4 + 1.3 / 18) / 2, rel=0.2)


def test_missing_level_counts_as_the_recipe_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 24_000)
    for loud, factor in ((0.7 * x, 2.0), (x / 0.7, 1.0)):
        plain = float(level_loss(loud, x, 24_000))
        assert float(level_loss(loud, x, 24_000, 2.0)) == pytest.approx(factor * plain, rel=1e-5)


def test_lines_in_noise_are_out_of_level() -> None:
    """What is left of an up-sampling by 40 sounds every 600 Hz."""
    torch.manual_seed(5)
    x, other = torch.randn(2, 8, 24_000)
    t = torch.arange(24_000) / 24_000
    lines = torch.stack([torch.sin(2 * torch.pi * 600 * k * t + k * k) for k in range(10, 20)])
    buzz = 0.8 * other + 0.3 * lines.sum(0)
    buzz /= buzz.square().mean(1, keepdim=True).sqrt()
    assert float(level_loss(buzz, x, 24_000)) > 1.3 * float(level_loss(other, x, 24_000))


def test_level_and_its_gradient_are_finite_of_silence() -> None:
    y = torch.zeros(1, 2_000, requires_grad=True)
    (gradient,) = torch.autograd.grad(level_loss(y, torch.randn(1, 2_000), 24_000), [y])
    assert bool(gradient.isfinite().all())


def test_adversarial_losses_by_hand() -> None:
    real, fake = [torch.tensor([2.0, 0.5])], [torch.tensor([-2.0, 0.0])]
    assert float(discriminator_loss(real, fake)) == pytest.approx(0.25 + 0.5)
    assert float(generator_loss(fake)) == pytest.approx((3 + 1) / 2)
    features = [[torch.tensor([1.0, -3.0])]]
    assert float(feature_loss(features, [[torch.tensor([1.0, -1.0])]])) == pytest.approx(0.5)
    assert float(feature_loss(features, features)) == 0


def test_discriminator_has_a_score_and_features_per_scale() -> None:
    judge = MultiScaleSTFTDiscriminator(filters=2, n_ffts=(128, 64))
    scores, features = judge(torch.randn(3, 1000))
    assert [score.shape[:2] for score in scores] == [(3, 1), (3, 1)]
    assert [len(scale) for scale in features] == [5, 5]
    assert scores[0].shape[2] == 1000 // 32 + 1


# Corpus


def write_corpus(folder: Path, files: dict[str, tuple[str, np.ndarray]]) -> Path:
    """Recordings by name with their kind, and the manifest that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "kind", "seconds", "source_rate"])
        for name, (kind, samples) in files.items():
            soundfile.write(folder / name, samples, RATE)
            writer.writerow([name, kind, len(samples) / RATE, RATE])
    return folder / "manifest.csv"


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    samples = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return np.clip(level * samples, -1, 1)


def data_config(manifest: Path, **changes: Any) -> DataConfig:
    base: dict[str, Any] = {
        "manifest": str(manifest),
        "validation": str(manifest),
        "cache": str(manifest.parent / "cache"),
        "weights": {"speech": 1.0},
        "crop_seconds": 0.25,
        "mix_probability": 0.0,
    }
    return DataConfig(**(base | changes))


def levels_db(corpus: Corpus, count: int) -> np.ndarray:
    x, level = corpus.batch(count, np.random.default_rng(2))
    torch.testing.assert_close(level, x.pow(2).mean(dim=(1, 2)).sqrt())
    return 20 * np.log10(level.numpy())


def test_levels_are_as_configured(tmp_path: Path) -> None:
    manifest = write_corpus(
        tmp_path, {"a.wav": ("speech", noise(3)), "b.wav": ("speech", noise(2, 0.004))}
    )
    exact = levels_db(Corpus(data_config(manifest, level_jitter_db=0.0, level_db=-30.0), RATE), 20)
    np.testing.assert_allclose(exact, -30, atol=0.01)
    mixed = data_config(manifest, level_jitter_db=0.0, level_db=-30.0, mix_probability=1.0)
    np.testing.assert_allclose(levels_db(Corpus(mixed, RATE), 20), -30, atol=0.01)
    spread = levels_db(
        Corpus(data_config(manifest, level_jitter_db=3.0, level_db=-30.0), RATE), 400
    )
    assert spread.mean() == pytest.approx(-30, abs=0.6)
    assert spread.std() == pytest.approx(3, abs=0.4)


def test_crops_never_clip(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(2))})
    corpus = Corpus(data_config(manifest, level_db=0.0), RATE)
    x, _ = corpus.batch(30, np.random.default_rng(0))
    assert x.shape == (30, 1, RATE // 4)
    assert float(x.abs().max()) <= 0.99 + 1e-6


def test_silent_crops_are_skipped(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(8 * RATE), noise(2), np.zeros(8 * RATE)])
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", sound)})
    levels = levels_db(Corpus(data_config(manifest), RATE), 40)
    assert levels.min() > -60


def test_a_corpus_of_silence_is_an_error_not_an_endless_loop(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", np.zeros(2 * RATE))})
    corpus = Corpus(data_config(manifest), RATE)
    with pytest.raises(ConfigError, match=r"manifest.csv: 10000 crops in a row are below silence"):
        corpus.batch(1, np.random.default_rng(0))


def test_kinds_are_drawn_by_weight_and_files_by_length(tmp_path: Path) -> None:
    tone = np.sin(np.arange(RATE) * 2 * np.pi * 500 / RATE)
    files = {
        "short.wav": ("speech", noise(1)),
        "long.wav": ("speech", np.tile(0.1 * tone, 4)),
        "music.wav": ("music", np.full(2 * RATE, 0.2)),
    }
    manifest = write_corpus(tmp_path, files)
    config = data_config(manifest, weights={"speech": 3.0, "music": 1.0})
    x, _ = Corpus(config, RATE).batch(400, np.random.default_rng(0))
    steady = x.std(dim=-1)[:, 0] < 1e-3
    assert float(steady.float().mean()) == pytest.approx(0.25, abs=0.06)
    crest = x.abs().amax(dim=-1)[:, 0] / x.pow(2).mean(dim=-1)[:, 0].sqrt()
    tones = (crest < 1.6) & ~steady
    assert float(tones.sum() / (~steady).sum()) == pytest.approx(0.8, abs=0.07)


def test_augmented_crops_are_as_long_and_as_loud(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(3))})
    everything = AugmentConfig(speed=1.0, band_limit=0.5, reverb=0.5, noise=0.5)
    config = data_config(manifest, augment=everything, level_jitter_db=0.0, mix_probability=0.5)
    corpus = Corpus(config, RATE)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, level = corpus.batch(8, rng)
        assert x.shape == (8, 1, RATE // 4)
        torch.testing.assert_close(20 * level.log10(), torch.full((8,), -23.0), rtol=0, atol=0.01)


def test_short_recordings_are_padded(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(0.1))})
    x, _ = Corpus(data_config(manifest), RATE).batch(3, np.random.default_rng(0))
    assert bool((x[:, :, : RATE // 10].abs().amax(dim=-1) > 0).all())
    assert not bool(x[:, :, RATE // 10 :].any())


def test_same_seed_same_crops_and_the_cache_is_built_once(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(3))})
    one = Corpus(data_config(manifest), RATE).batch(5, np.random.default_rng(7))[0]
    (tmp_path / "a.wav").unlink()
    other = Corpus(data_config(manifest), RATE).batch(5, np.random.default_rng(7))[0]
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_cache_that_was_not_finished_is_built_again(tmp_path: Path) -> None:
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(3))})
    Corpus(data_config(manifest), RATE)
    [index] = tmp_path.rglob("index.json")
    index.unlink()
    index.with_name("audio.i16").write_bytes(b"half")
    x, _ = Corpus(data_config(manifest), RATE).batch(2, np.random.default_rng(0))
    assert float(x.abs().max()) > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists no recordings"),
        ("file,kind,seconds,source_rate\n", "lists no recordings"),
        ("file,source_rate\na.wav,8000\n", "not a manifest with file, kind"),
        ("file,kind,source_rate\na.wav,speech,fast\n", "not a manifest"),
        ("file,kind,source_rate\na.wav\n", "not a manifest"),
    ],
)
def test_manifests_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"m.csv: .*{words}|m.csv: {words}"):
        read_manifest(path)


def test_corpora_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.csv: cannot read: No such file"):
        Corpus(data_config(tmp_path / "gone.csv"), RATE)
    manifest = write_corpus(tmp_path, {"a.wav": ("speech", noise(1))})
    with pytest.raises(ConfigError, match="has no recordings of kind 'music'"):
        Corpus(data_config(manifest, weights={"music": 1.0}), RATE)
    with pytest.raises(ConfigError, match="all recordings of kind 'speech' are narrow"):
        Corpus(data_config(manifest, narrow_weight=0.0), 2 * RATE)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(ConfigError, match=r"manifest.csv: .*a.wav: no such file"):
        Corpus(data_config(manifest, cache=str(tmp_path / "other")), RATE)


# Recipe


RECIPE = """
model: m.yaml
output: out
data: {manifest: a, validation: b, cache: c, weights: {speech: 1}}
"""


def test_the_shipped_recipes_are_valid() -> None:
    folder = Path(__file__).resolve().parent.parent / "configs"
    recipes = sorted(folder.glob("train_*.yaml"))
    assert recipes
    for path in recipes:
        assert (path.parent / load_train_config(path).model).is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("stepz: 3", "unknown key 'stepz'"),
        ("steps: 0", "steps: 0: give at least 1"),
        ("steps: many", "steps: 'many' is not a whole number"),
        ("batch: 1.5", "batch: 1.5 is not a whole number"),
        ("learning_rate: 2", "learning_rate: 2.0: give 0 to 1"),
        ("ema_decay: 1", "ema_decay: 1.0: give 0 <= ema_decay < 1"),
        ("betas: [0.9]", "give two numbers"),
        ("precision: fp8", "'fp8' is not one of auto, bf16, fp32"),
        ("loss: {mell: 1}", "loss: unknown key 'mell'"),
        ("loss: 3", "loss: not a mapping"),
        ("data: {augment: 3}", "data: augment: not a mapping"),
        ("data: {augment: {speeed: 1}}", "data: augment: unknown key 'speeed'"),
        ("adversary: {start: soon}", "start: 'soon' is not a whole number or null"),
        ("data: {manifest: a}", "data: validation: missing"),
    ],
)
def test_recipes_with_a_wrong_key(tmp_path: Path, more: str, words: str) -> None:
    path = tmp_path / "r.yaml"
    base = RECIPE if not more.startswith("data") else "model: m.yaml\noutput: out\n"
    path.write_text(base + more)
    with pytest.raises(ConfigError, match=f"r.yaml: .*{words}|r.yaml: {words}"):
        load_train_config(path)


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.yaml: cannot read"):
        load_train_config(tmp_path / "gone.yaml")
    (tmp_path / "r.yaml").write_text("model: [")
    with pytest.raises(ConfigError, match=r"r.yaml: not valid YAML"):
        load_train_config(tmp_path / "r.yaml")
