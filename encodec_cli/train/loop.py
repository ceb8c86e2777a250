"""The loop of a training run.

A run is a folder: `state.pt` (everything needed to go on, written every few minutes and at the
end), `log.jsonl` (one line per report or validation), `model.safetensors` (averaged weights, ready
for `--model`), and `model-HASH.safetensors`: what a run that goes on found there, and what `encode`
took of its way (`checkpoints/lasting.py`). Starting the same recipe again goes on from `state.pt`;
because each step draws its randomness from (seed, step) alone, a killed run takes the same steps as
one left alone.
"""

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from encodec_cli.checkpoints.card import file_sha256, find_model, read_card
from encodec_cli.checkpoints.lasting import keep_weights
from encodec_cli.checkpoints.modules import save_model
from encodec_cli.config.codec import load_codec_config
from encodec_cli.errors import CheckpointError, TrainingError
from encodec_cli.model.module import CompressionModel
from encodec_cli.train.blend import best_share, blended, mel_distance
from encodec_cli.train.config import TrainConfig
from encodec_cli.train.course import changes, course_of
from encodec_cli.train.data import Corpus
from encodec_cli.train.divergence import DivergenceWatch
from encodec_cli.train.init import initialize
from encodec_cli.train.level import match_level
from encodec_cli.train.log import log, shorten_log
from encodec_cli.train.named_files import networks_config
from encodec_cli.train.step import TrainingStep
from encodec_cli.train.validate import validate
from encodec_cli.train.warm_start import warm_start

__all__ = ["Trainer"]

_REPORT_EVERY = 50


class Trainer:
    """The state of one run: networks, optimizers, averages, step."""

    def __init__(self, config: TrainConfig, recipe: Path, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.folder = Path(config.output)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.folder / "model.safetensors"

        # Networks. The seed fixes the initial weights, steps reseed for themselves.
        torch.manual_seed(config.seed)
        codec = load_codec_config(networks_config(recipe, config.model))
        if config.name is not None:
            codec = replace(codec, name=config.name)
        self.model = CompressionModel(codec)
        self.identity: str | None = None
        """The SHA-256 that names the codes, where they stay those of another model."""
        if config.warm_start:
            identities = warm_start(self.model, [find_model(p) for p in config.warm_start])
            if (config.decoder_only or config.encoder_only) and len(identities) == 1:
                self.identity = identities[0]
        self.model.to(device)
        self.average = {k: v.clone() for k, v in _floats(self.model).items()}
        self.start: dict[str, Tensor] = {}
        """What it began with, if it goes back towards that in the end."""
        if config.blend:
            self.start = {k: v.clone() for k, v in self.average.items()}
        self.take = TrainingStep(self.model, config, device)
        self._watch = DivergenceWatch(device, partial(_advice, config))
        self.step = 0
        self.seconds_trained = 0.0
        self.quality: dict[str, Any] = {}
        """The last validation; it goes into the checkpoint."""
        self.quality_before: dict[str, Any] = {}
        """That of the weights it began with, at each target bandwidth; empty without any."""
        self.notes: list[str] = []
        """What a run that goes on should know, a line each."""
        state = self.folder / "state.pt"
        if state.exists():
            self._load(state)
            shorten_log(self.folder, self.step)
        self._keep_weights()

    def run(self, corpus: Corpus) -> Iterator[dict[str, Any]]:
        """Take the remaining steps; yields what is also logged, every few steps.

        Raises:
            TrainingError: a loss is not finite; nothing of the steps since the last save stays.
        """
        try:
            yield from self._run(corpus)
        except TrainingError as error:
            state = self.folder / "state.pt"
            kept = f"{state} holds the state before" if state.exists() else "nothing was saved yet"
            raise TrainingError(f"{error}; {kept}") from error

    def _run(self, corpus: Corpus) -> Iterator[dict[str, Any]]:
        c = self.config
        saved = reported = time.monotonic()
        sums: dict[str, Tensor] = {}
        first = self.step
        if self.step == 0 and c.warm_start:
            self.quality_before = self._validate(at_each_rate=True)
            yield self._log({"validation": self.quality_before})
        while self.step < c.steps:
            rng = self._reseed(self.step)
            if self.step == 0 and not c.warm_start:
                initialize(self.model, self._batches(corpus, rng))
                self._restart_average("")
            if self.step == c.quantizer_start and not self._quantizer_inited():
                self._watch.check()
                self._start_quantizer(corpus, rng)
            losses = self.take(*corpus.batch(c.batch, rng), self.step)
            self._watch.note(losses, self.step)
            self._update_average()
            for name, loss in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(loss)) + loss
            self.step += 1
            self.seconds_trained += c.batch * c.data.crop_seconds

            if self.step % _REPORT_EVERY == 0 or self.step == c.steps:
                now = time.monotonic()
                # The only place where the host waits for the device.
                self._watch.check()
                steps = self.step - first
                record = {k: float(v) / steps for k, v in sums.items()}
                seconds = steps * c.batch * c.data.crop_seconds
                record["audio_per_second"] = seconds / (now - reported)
                sums, reported, first = {}, now, self.step
                yield self._log(record)
            if self.step % c.validate_every == 0 or self.step == c.steps:
                self._watch.check_weights(self._numbers(), self.step)
            if self.step == c.steps and self._quantizer_inited() and not c.encoder_only:
                yield self._log({"gain_db": self._match_level(corpus)})
            if self.step % c.validate_every == 0 or self.step == c.steps:
                if self.step == c.steps and self.start:
                    yield self._log({"share_learnt": self._blend()})
                else:
                    at_end = self.step == c.steps and self._quantizer_inited()
                    self.quality = self._validate(at_each_rate=at_end)
                yield self._log({"validation": self.quality})
                reported = time.monotonic()
            if time.monotonic() - saved > c.save_every_seconds or self.step == c.steps:
                self.save()
                saved = time.monotonic()

    def _reseed(self, step: int) -> np.random.Generator:
        seeds = np.random.SeedSequence((self.config.seed, step))
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        return np.random.default_rng(seeds)

    def _start_quantizer(self, corpus: Corpus, rng: np.random.Generator) -> None:
        """k-means over the latents of many batches, codebook after codebook."""
        self.model.eval()
        with torch.no_grad():
            batches = self._batches(corpus, rng)
            latents = torch.cat([self.model.encoder(x) for x in batches])
            residual = latents.transpose(1, 2).flatten(0, 1).float()
            for book in self.model.quantizer.codebooks:
                book.start(residual)
                residual = residual - book.decode(book.encode(residual))
        self._restart_average("quantizer.")

    def _batches(self, corpus: Corpus, rng: np.random.Generator) -> Iterator[Tensor]:
        for _ in range(self.config.kmeans_batches):
            yield corpus.batch(self.config.batch, rng)[0]

    def _restart_average(self, prefix: str) -> None:
        for name, value in _floats(self.model).items():
            if name.startswith(prefix):
                self.average[name].copy_(value)

    def _quantizer_inited(self) -> bool:
        return bool(self.model.quantizer.codebooks[0].inited.item())

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly: a tenth of its age, up to the full memory.
        decay = min(self.config.ema_decay, 1 - 1 / (1 + self.step / 10))
        current = _floats(self.model)
        names = list(current)
        torch._foreach_lerp_(
            [self.average[n] for n in names], [current[n] for n in names], 1 - decay
        )

    def _match_level(self, corpus: Corpus) -> float:
        """Give the averaged weights the level of the corpus; returns the gain in dB."""
        model = self.averaged_model().to(self.device)
        batches = self._batches(corpus, self._reseed(self.step))
        gain_db = match_level(model, batches, max(1, model.config.quantizer.n_q // 2))
        self.average = _floats(model)
        return gain_db

    def _blend(self) -> float:
        """Go back towards the start as far as is best, which is the last validation.

        Returns how much of the way stays.
        """
        end = self.average
        found: dict[float, dict[str, Any]] = {}

        def distance(share: float) -> float:
            self.average = blended(self.start, end, share)
            found[share] = self._validate(at_each_rate=True)
            return mel_distance(found[share])

        share = best_share(distance)
        self.average, self.quality = blended(self.start, end, share), found[share]
        return share

    def averaged_model(self) -> CompressionModel:
        """A copy of the model with the averaged weights, in evaluation mode, on the CPU."""
        model = CompressionModel(self.model.config)
        model.load_state_dict({k: v.cpu() for k, v in self.model.state_dict().items()})
        model.load_state_dict({k: v.cpu() for k, v in self.average.items()}, strict=False)
        return model.eval()

    def _validate(self, *, at_each_rate: bool) -> dict[str, Any]:
        """Quality at each target bandwidth, or at half the codebooks."""
        model, manifest = self.averaged_model(), Path(self.config.data.validation)
        if not at_each_rate:
            return validate(model, manifest, quantized=self._quantizer_inited())
        return {
            f"{kbps:g} kb/s": validate(model, manifest, n_q=model.config.codebooks_for(kbps))
            for kbps in model.target_bandwidths
        }

    def _log(self, record: dict[str, Any]) -> dict[str, Any]:
        seconds = round(self.seconds_trained)
        log(self.folder, {"step": self.step, "audio_seconds": seconds, **record})
        return record

    def _keep_weights(self) -> None:
        """Give the weights that going on will replace a name of their own: files may need them."""
        if self.step >= self.config.steps or not self.checkpoint.is_file():
            return
        if self.identity is not None and self.identity == self._identity_found():
            return  # what these weights code, those of this run decode
        kept = keep_weights(self.checkpoint)
        self.notes.append(f"{kept}: the weights so far, which files coded with them need")

    def _identity_found(self) -> str | None:
        """What names the codes of the weights in the run's folder."""
        try:
            return read_card(self.checkpoint).identity or file_sha256(self.checkpoint)
        except CheckpointError:
            return None

    def save(self) -> None:
        """Write `state.pt` and `model.safetensors`, each complete or not at all.

        Raises:
            TrainingError: weights that are not finite; what was saved before stays.
        """
        self._watch.check_weights(self._numbers(), self.step)
        state = {
            "step": self.step,
            "seconds_trained": self.seconds_trained,
            "quality": self.quality,
            "quality_before": self.quality_before,
            "course": course_of(self.config),
            "identity": self.identity,
            "model": self.model.state_dict(),
            "average": self.average,
            "start": self.start,
            **self.take.state_dict(),
        }
        temporary = self.folder / "state.pt.partial"
        torch.save(state, temporary)
        temporary.replace(self.folder / "state.pt")
        save_model(
            self.averaged_model(),
            self.checkpoint,
            licence=self.config.licence,
            training_data=self.config.training_data,
            metrics={
                "steps": self.step,
                "audio_seconds": round(self.seconds_trained),
                "validation": self.quality,
            },
            identity=self.identity,
            # Where codes keep their meaning, nothing is lost with weights that are replaced.
            unfinished=self.step < self.config.steps and self.identity is None,
            half=True,
            force=True,
        )

    def _numbers(self) -> dict[str, Tensor]:
        return _floats(self.model) | {f"average of {k}": v for k, v in self.average.items()}

    def _load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average = {k: v.to(self.device) for k, v in state["average"].items()}
            if self.start and state.get("start"):  # whatever lies at `warm_start` by now
                self.start = {k: v.to(self.device) for k, v in state["start"].items()}
            self.take.load_state_dict(state)
            self.step = int(state["step"])
            self.seconds_trained = float(state["seconds_trained"])
            self.quality = dict(state.get("quality", {}))
            self.quality_before = dict(state.get("quality_before", {}))
            self.identity = state.get("identity")
            self.notes += changes(state.get("course"), self.config, self.step)
        except (
            *(RuntimeError, KeyError, ValueError, TypeError, AttributeError),
            *(OSError, EOFError, pickle.UnpicklingError),
        ) as error:
            line = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{path}: does not fit this recipe; name another output folder ({line})"
            ) from error


def _advice(config: TrainConfig, losses: Sequence[str]) -> str:
    """Which keys to change if these `losses`, none for weights, are not finite."""
    if {"discriminator", "adversarial", "feature"} & set(losses):
        return (
            f"lower adversary.learning_rate ({config.adversary.learning_rate:g}) or raise "
            f"adversary.start ({config.adversary.start})"
        )
    if list(losses) == ["commitment"]:
        return f"lower loss.commitment ({config.loss.commitment:g})"
    return f"lower learning_rate ({config.learning_rate:g}) or raise warmup ({config.warmup})"


def _floats(model: nn.Module) -> dict[str, Tensor]:
    """What is averaged: parameters and codebooks."""
    return {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
