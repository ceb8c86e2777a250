"""Encoding by trying: latents are fitted to the recording through the decoder, then coded.

    samples --encoder, refined--> latents --a few gradient steps--> latents --search--> codes
                                             ^                 |
                                             '-- losses <-- decoder

One pass of an encoder cannot foresee what a decoder makes of its latents; gradients tell. The
decoder, the codebooks and the format stay as they are. Each block is fitted after those before it
are coded, with what the decoder will have of them. The losses are those of training; a pull
towards the nearest codes keeps latents where the codebooks can follow.

Source: analysis by synthesis, as in speech coders since Atal and Remde 1982 ("A new model of LPC
excitation for producing natural-sounding speech at low bit rates"), here by gradients through the
decoder (Campos et al. 2019, "Content adaptive optimization for neural image compression").
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encodec_cli.config.timing import decoder_history, decoder_lookahead
from encodec_cli.errors import UsageError
from encodec_cli.model.codec import Codec
from encodec_cli.model.module import CompressionModel
from encodec_cli.runtime.protocol import Engine, EngineQuantizer, Rows, Stepper
from encodec_cli.stream.refining import encoder_of
from encodec_cli.train.losses import level_loss, spectral_loss, waveform_loss
from encodec_cli.train.perception import intelligibility_loss, loudness_loss

__all__ = ["fitting_codec"]

_RATE = 0.06
"""First step of a latent, over the deviation of the block's latents; falls to 0."""
_PULL = 1.0
_NEAR_EVERY = 8
"""Steps after which the nearest codes are searched again."""
_BEAMS = 4
_WINDOWS = (256, 512, 1024, 2048)
_FLOOR = 1e-3
_SILENCE = 1e-3
"""RMS of a block at the model's level, below which it is left as it is."""


def fitting_codec(codec: Codec, model: CompressionModel, n_q: int, steps: int) -> Codec:
    """`codec`, whose encoders fit latents for `n_q` codebooks by `steps` gradient steps.

    `model` has the same weights as modules. The steps start from refined latents.

    Raises:
        UsageError: a model that codes segments by themselves.
    """
    if codec.config.segment_samples is not None:
        raise UsageError(f"--fit: model {codec.config.name} codes segments, which cannot be fitted")
    model.requires_grad_(False)
    fitter = _Fitter(model, codec.engine, n_q, steps)
    return replace(codec, engine=_FittingEngine(codec, fitter))


@dataclass
class _StreamState:
    """One stream: what the encoder keeps, and what the decoder will have had before a block."""

    encoder: Any
    samples: Rows
    """Not yet matched by latents, `[n, C]`."""
    past_latents: Rows
    past_samples: Rows = field(default_factory=lambda: np.zeros((0, 1), np.float32))


class _FittingEngine:
    """An engine whose encoders fit what they give."""

    def __init__(self, codec: Codec, fitter: "_Fitter") -> None:
        self._codec = codec
        self._engine = codec.engine
        self._fitter = fitter

    @property
    def streams(self) -> int:
        return 1  # a block's fitting fills the processor by itself

    @property
    def takes_all_threads(self) -> bool:
        return True

    def overlapped(self) -> "_FittingEngine":
        return self

    def encoder(self, block_frames: int | None) -> Stepper:
        assert block_frames is not None  # segments are refused
        n_q = self._fitter.n_q
        encoder = encoder_of(self._codec, block_frames, n_q, refine=True)
        return _FittingStepper(encoder, self._fitter)

    def decoder(self, block_frames: int | None) -> Stepper:
        return self._engine.decoder(block_frames)

    def quantizer(self) -> EngineQuantizer:
        return self._engine.quantizer()


class _FittingStepper:
    def __init__(self, stepper: Stepper, fitter: "_Fitter") -> None:
        self._stepper = stepper
        self._fitter = fitter

    def new_state(self) -> _StreamState:
        return self._fitter.new_state(self._stepper.new_state())

    def step(self, inputs: list[Rows], states: list[_StreamState], last: list[bool]) -> list[Rows]:
        found = self._stepper.step(inputs, [state.encoder for state in states], last)
        return [
            self._fitter.fit(rows, latents, state, end)
            for rows, latents, state, end in zip(inputs, found, states, last, strict=True)
        ]


class _Fitter:
    """Fits latents `[T, D]` of one block after the other to samples `[n, C]`."""

    def __init__(self, model: CompressionModel, engine: Engine, n_q: int, steps: int) -> None:
        self._model = model
        self._engine = engine
        self.n_q = n_q
        self._steps = steps
        config = model.config
        self._hop = config.hop_length
        self._channels = config.channels
        self._ahead = decoder_lookahead(config.decoder)
        self._history = decoder_history(config.decoder)
        self._device = next(model.parameters()).device

    def new_state(self, encoder: Any) -> _StreamState:
        nothing = np.zeros((0, self._channels), np.float32)
        latents = np.zeros((0, self._model.config.seanet.dimension), np.float32)
        return _StreamState(encoder, nothing, latents, nothing)

    def fit(self, rows: Rows, latents: Rows, state: _StreamState, end: bool) -> Rows:
        """`latents` after fitting; `rows` are the samples that came with them, `end` the last."""
        state.samples = np.concatenate((state.samples, rows))
        count = len(latents) * self._hop
        if not count:
            return latents
        own, state.samples = state.samples[:count], state.samples[count:]
        own = np.pad(own, ((0, count - len(own)), (0, 0)))
        target = np.concatenate((state.past_samples, own))
        if float(np.sqrt(np.square(own).mean())) > _SILENCE:
            latents, coded = self._fitted(latents, state.past_latents, target, end)
        else:
            coded = self._near(latents)
        keep = self._history
        state.past_latents = np.concatenate((state.past_latents, coded))[-keep:] if keep else coded
        state.past_samples = target[-len(state.past_latents) * self._hop :]
        return latents

    def _fitted(self, latents: Rows, past: Rows, target: Rows, end: bool) -> tuple[Rows, Rows]:
        """Of a block that `past` latents come before, and what their codes stand for.

        `target` has the samples of both.
        """
        start = self._tensor(latents)
        z = start.clone().requires_grad_()
        start_coded = self._near(latents)
        deviation = float(start.std().clamp(min=1e-6))
        before = self._tensor(past)
        # What the decoder gives of the block now, and of the one before only now.
        first = max(0, len(past) * self._hop - self._ahead)
        stop = len(target) - (0 if end else self._ahead)
        wanted = torch.from_numpy(target[first:stop].T.copy()).to(self._device)
        level = wanted.square().mean().sqrt().clamp(min=_SILENCE)
        wanted = wanted / level

        def distance(latents: Tensor) -> Tensor:
            y = self._model.decoder(torch.cat((before, latents), dim=2))[0]
            return self._distance(y[:, first:stop] / level, wanted)

        optimizer = torch.optim.Adam([z])
        near = start_near = self._tensor(start_coded)
        with torch.enable_grad():
            for step in range(self._steps):
                optimizer.param_groups[0]["lr"] = _RATE * deviation * (1 - step / self._steps)
                if step and step % _NEAR_EVERY == 0:
                    near = self._tensor(self._near(self._rows(z)))
                loss = distance(z) + _PULL * (z - near).square().mean() / deviation**2
                (z.grad,) = torch.autograd.grad(loss, [z])
                optimizer.step()
        fitted = self._rows(z)
        coded = self._near(fitted)
        with torch.no_grad():
            # Steps may lead to latents whose codes are worse; then the encoder's are kept.
            better = distance(self._tensor(coded)) < distance(start_near)
        return (fitted, coded) if better else (latents, start_coded)

    def _distance(self, y: Tensor, wanted: Tensor) -> Tensor:
        """Of `[C, N]`, at about unit level."""
        rate = self._model.sample_rate
        return (
            0.5 * waveform_loss(y, wanted)
            + 4 * spectral_loss(y, wanted, rate, _WINDOWS, _FLOOR, 0.5)
            + 2 * intelligibility_loss(y, wanted, rate)
            + 0.1 * loudness_loss(y, wanted, rate)
            + level_loss(y, wanted, rate)
        )

    def _near(self, latents: Rows) -> Rows:
        """What the codes of latents `[T, D]` stand for."""
        quantizer = self._engine.quantizer()
        return quantizer.decode(quantizer.encode(latents, self.n_q, _BEAMS))

    def _tensor(self, rows: Rows) -> Tensor:
        """`[T, D]` as `[1, D, T]`."""
        return torch.from_numpy(np.ascontiguousarray(rows.T, np.float32))[None].to(self._device)

    def _rows(self, z: Tensor) -> Rows:
        found: Rows = np.ascontiguousarray(z.detach()[0].t().cpu().numpy())
        return found
