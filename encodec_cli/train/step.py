"""One training step: codec forward, losses, adversary, backward, optimizers.

x --encoder--> latents --RVQ, several K--> --decoder--> y --losses of x, y--> balancer
                                                                                  |
encoder, decoder <-- AdamW <-- gradients <-- commitment <-- backward <------------+
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from encodec_cli.model.module import CompressionModel
from encodec_cli.train.balancer import Balancer
from encodec_cli.train.config import TrainConfig
from encodec_cli.train.discriminator import MultiScaleSTFTDiscriminator
from encodec_cli.train.graph import Replayed
from encodec_cli.train.losses import (
    discriminator_loss,
    feature_loss,
    generator_loss,
    level_loss,
    spectral_loss,
    waveform_loss,
)
from encodec_cli.train.perception import intelligibility_loss, loudness_loss
from encodec_cli.train.searched import SearchedCodes

__all__ = ["TrainingStep"]


class TrainingStep:
    """Trains `model` in place; owns the adversary, the optimizers and the balancer."""

    def __init__(self, model: CompressionModel, config: TrainConfig, device: torch.device) -> None:
        self.model = model
        self.config = config
        self.device = device
        c = model.config
        self._n_q = torch.tensor(
            [c.codebooks_for(kbps) for kbps in c.target_bandwidths], device=device
        )
        # The codebooks are buffers with averages of their own, not parameters.
        self._search: SearchedCodes | None = None
        if config.search > 1 or config.encoder_only:
            self._search = SearchedCodes(model, config.search, config.batch)
        # The other side gets no gradients of its weights, which would take time.
        model.encoder.requires_grad_(not config.decoder_only)
        model.decoder.requires_grad_(not config.encoder_only)
        trained: nn.Module = model
        if config.decoder_only or config.encoder_only:
            trained = model.decoder if config.decoder_only else model.encoder
        self.optimizer = self._adamw(trained, config.learning_rate)
        self.discriminator: MultiScaleSTFTDiscriminator | None = None
        adversary = config.adversary
        if adversary.start is not None:
            self.discriminator = MultiScaleSTFTDiscriminator(adversary.filters, adversary.n_ffts)
            layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
            self.discriminator.to(device, memory_format=layout)  # type: ignore[call-overload]
            self.d_optimizer = self._adamw(self.discriminator, adversary.learning_rate)
        weights = config.loss
        self.balancer = Balancer(
            {
                "spectral": weights.spectral,
                "waveform": weights.waveform,
                "intelligibility": weights.intelligibility,
                "loudness": weights.loudness,
                "level": weights.level,
                "adversarial": weights.adversarial,
                "feature": weights.feature,
            }
        )
        self._phases: dict[tuple[bool, bool], Replayed] = {}

    def __call__(self, x: Tensor, level: Tensor, step: int) -> dict[str, Tensor]:
        """Learn from crops `[B, 1, N]` with RMS levels `[B]`; returns the losses, scalars.

        `step` decides the learning rate and what takes part. On a GPU the losses are overwritten
        by the next call.
        """
        c = self.config
        factor = self._learning_rate_factor(step)
        _set_rate(self.optimizer, c.learning_rate * factor)
        start = c.adversary.start
        adversarial = start is not None and step >= start
        if adversarial:
            _set_rate(self.d_optimizer, c.adversary.learning_rate * factor)
        phase = (step >= c.quantizer_start, adversarial)
        if phase not in self._phases:
            self._phases[phase] = Replayed(partial(self._take, *phase))
        self.model.train()
        self.model.quantizer.train(not (c.decoder_only or c.encoder_only))
        return self._phases[phase](x, level)

    def _learning_rate_factor(self, step: int) -> float:
        c = self.config
        rise = min(1.0, (step + 1) / max(1, c.warmup))
        fall = min(1.0, (c.steps - step) / max(1, c.decay))
        return min(rise, fall)

    def _take(
        self, quantized: bool, adversarial: bool, x: Tensor, level: Tensor
    ) -> dict[str, Tensor]:
        with torch.set_grad_enabled(not self.config.decoder_only):
            latents, penalty = self._latents(x, quantized)
        with self._autocast():
            y = self.model.decoder(latents)[..., : x.shape[-1]]
        y = y.float()

        # Losses see unit level: a quiet crop teaches as much as a loud one.
        target = (x / level[:, None, None])[:, 0]
        output = y.detach().requires_grad_()
        estimate = (output / level[:, None, None])[:, 0]
        losses = self._reconstruction_losses(estimate, target)
        extra = {"commitment": penalty.detach()}
        if adversarial:
            extra["discriminator"] = self._train_discriminator(target, estimate.detach())
            losses |= self._adversarial_losses(estimate, target)
        self.balancer.backward(losses, output)

        self.optimizer.zero_grad(set_to_none=True)
        gradient = output.grad
        assert gradient is not None
        # Outside the balancer and weak: the codebooks follow the latents by themselves, and a
        # commitment that outweighs the reconstruction shrinks the latents to nothing.
        torch.autograd.backward((y * gradient).sum() + self.config.loss.commitment * penalty)
        self._apply(self.model, self.optimizer)
        return {k: v.detach() for k, v in (losses | extra).items()}

    def _latents(self, x: Tensor, quantized: bool) -> tuple[Tensor, Tensor]:
        """Of crops, quantized with some number of codebooks each; and the commitment."""
        with self._autocast():
            latents = self.model.encoder(x)
        latents = latents.float()  # the nearest of 1024 codes is a matter of small differences
        if not quantized:
            return latents, latents.new_zeros(())
        if self._search is not None:
            found = self._search(latents.detach())
            if self.config.decoder_only:
                return found, latents.new_zeros(())
            # Straight through, as in the quantizer.
            return latents + (found - latents).detach(), mse_loss(latents, found)
        n_q = self._n_q[torch.randint(len(self._n_q), (len(x),), device=self.device)]
        result = self.model.quantizer(latents, self.model.frame_rate, n_q)
        return result.x, latents.new_zeros(()) if result.penalty is None else result.penalty

    def _reconstruction_losses(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        c, rate = self.config.loss, self.model.sample_rate
        losses = {
            "spectral": spectral_loss(estimate, target, rate, c.windows, c.floor, c.complex),
            "waveform": waveform_loss(estimate, target),
        }
        if c.intelligibility > 0:
            losses["intelligibility"] = intelligibility_loss(estimate, target, rate)
        if c.loudness > 0:
            losses["loudness"] = loudness_loss(estimate, target, rate)
        if c.level > 0:
            losses["level"] = level_loss(estimate, target, rate, c.missing)
        return losses

    def _adversarial_losses(self, estimate: Tensor, target: Tensor) -> dict[str, Tensor]:
        assert self.discriminator is not None
        with self._autocast():
            with torch.no_grad():
                _, real = self.discriminator(target)
            scores, fake = self.discriminator(estimate)
        return {
            "adversarial": generator_loss([s.float() for s in scores]),
            "feature": feature_loss(real, fake),
        }

    def _train_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        assert self.discriminator is not None
        self.d_optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            scores, _ = self.discriminator(torch.cat((real, fake)))
        pairs = [score.float().chunk(2) for score in scores]
        loss = discriminator_loss([r for r, _ in pairs], [f for _, f in pairs])
        torch.autograd.backward(loss)
        self._apply(self.discriminator, self.d_optimizer)
        return loss.detach()

    def _apply(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        optimizer.step()

    def _autocast(self) -> AbstractContextManager[Any]:
        precision = self.config.precision
        if precision == "auto":
            precision = "bf16" if _computes_bf16(self.device) else "fp32"
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _adamw(self, module: nn.Module, rate: float) -> torch.optim.AdamW:
        c = self.config
        parameters = list(module.parameters())
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": c.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        gpu = self.device.type == "cuda"
        # A graph reads the rate from where it lies; a number would be captured with it.
        return torch.optim.AdamW(
            groups,
            lr=torch.tensor(rate, device=self.device) if gpu else rate,
            betas=(c.betas[0], c.betas[1]),
            fused=gpu,
            capturable=gpu,
        )

    def state_dict(self) -> dict[str, Any]:
        """All but the codec's own weights."""
        state = {
            "optimizer": self.optimizer.state_dict(),
            "balancer": self.balancer.state_dict(),
        }
        if self.discriminator is not None:
            state["discriminator"] = self.discriminator.state_dict()
            state["d_optimizer"] = self.d_optimizer.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a `state_dict` whose tensors lie on this device; it may lack the adversary.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: the state belongs to other networks.
        """
        _load_optimizer(self.optimizer, state["optimizer"])
        self.balancer.load_state_dict(state["balancer"])
        if self.discriminator is not None and "discriminator" in state:
            self.discriminator.load_state_dict(state["discriminator"])
            _load_optimizer(self.d_optimizer, state["d_optimizer"])


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the averages of an optimizer; its options depend on the device and stay."""
    own = [{k: group[k] for k in ("lr", "fused", "capturable")} for group in optimizer.param_groups]
    groups = [group | mine for group, mine in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict(state | {"param_groups": groups})


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
