"""A code model's training, from codes to a file; it goes on where it was stopped.

    folder/codes     codes of the recordings, see `codes`
    folder/state.pt  everything that training goes on from
    folder/log.jsonl a line every half minute; lines with "held_out" are the curve

The learning rate rises in the first hundredth and falls to zero along a half cosine (SGDR,
Loshchilov & Hutter 2017); the network rounds in the last fifth. The weights judged and written
are running means.
"""

import copy
import json
import math
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encodec_cli.errors import CheckpointError, TrainingError, parameter
from encodec_cli.train.divergence import DivergenceWatch
from encodec_cli.train.entropy.codes import CodedRecording
from encodec_cli.train.entropy.corpus import CodeCorpus
from encodec_cli.train.entropy.judge import bits_per_code
from encodec_cli.train.entropy.loss import code_loss
from encodec_cli.train.entropy.network import CodeNetwork

__all__ = ["CodeTrainer", "Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How long and how; the defaults are what the bundled model was trained with.

    The end is after so many `minutes` of training, or so many `steps` if they are given.
    """

    minutes: float
    steps: int | None = None
    windows: int = 16
    """In a batch."""
    frames: int = 80
    """Of a window, as long as a chunk, where context begins anew."""
    books: int = 6
    """Codebooks that a batch learns, drawn anew each time."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.01
    rounding: float = 0.8
    ema: float = 0.998
    judge_seconds: float = 300.0
    save_seconds: float = 180.0

    def done(self, steps: int, seconds: float) -> float:
        """The share of the training that has passed."""
        return seconds / (60 * self.minutes) if self.steps is None else steps / self.steps

    def rate(self, done: float) -> float:
        """Learning rate when the share `done` of the training has passed."""
        rise = min(1.0, done / self.warmup)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class CodeTrainer:
    """Trains `network` on `corpus`; `judged` are recordings to judge by, under a name each."""

    def __init__(
        self,
        network: CodeNetwork,
        corpus: CodeCorpus,
        judged: Mapping[str, Sequence[CodedRecording]],
        schedule: Schedule,
        folder: Path,
    ) -> None:
        self.network, self.corpus, self.schedule, self.folder = network, corpus, schedule, folder
        self._judged = judged
        self._device = network.tags.device
        self.average = copy.deepcopy(network).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=schedule.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self.step = 0
        self.seconds = 0.0
        self._watch = DivergenceWatch(self._device, self._advice)
        self._load()

    def run(self) -> Iterator[dict[str, Any]]:
        """Train to the end of the schedule; yields what it logs.

        Raises:
            TrainingError: bits or weights are not finite; what was saved before stays.
        """
        try:
            yield from self._run()
        except TrainingError as error:
            state = self.folder / "state.pt"
            kept = f"{state} holds the state before" if state.exists() else "nothing was saved yet"
            raise TrainingError(f"{error.args[0]}; {kept}") from error

    def _run(self) -> Iterator[dict[str, Any]]:
        logged = judged = saved = before = time.monotonic()
        bits: list[Tensor] = []
        while (done := self.schedule.done(self.step, self.seconds)) < 1:
            if done >= self.schedule.rounding and not bool(self.network.rounding):
                self._start_rounding()
                yield self._log({"rounding": self.network.exponents.tolist()})
            bits.append(self._step(self.schedule.rate(done)))
            self._watch.note({"bits": bits[-1]}, self.step - 1)
            now = time.monotonic()
            self.seconds += now - before
            before = now
            if now - logged > 30:
                self._watch.check()
                yield self._log({"bits": round(float(torch.stack(bits).mean()), 4)})
                bits, logged = [], now
            if now - judged > self.schedule.judge_seconds:
                yield self.judge()
                judged = before = time.monotonic()
            if now - saved > self.schedule.save_seconds:
                self._save()
                saved = before = time.monotonic()
        yield self.judge()
        self._save()

    def result(self) -> CodeNetwork:
        """The averaged network; it rounds, however short the training was."""
        if not bool(self.network.rounding):
            self._start_rounding()
        return self.average

    def judge(self) -> dict[str, Any]:
        """Log bits per code of the recordings to judge by.

        Raises:
            TrainingError: weights that are not finite.
        """
        self._check_weights()
        return self._log(
            {name: bits_per_code(self.average, some) for name, some in self._judged.items()}
        )

    def _step(self, rate: float) -> Tensor:
        """One batch; returns its mean bits per code."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((17, self.step))
        loss = self._loss(rng)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self._update_average()
        self.step += 1
        return loss.detach()

    def _loss(self, rng: np.random.Generator) -> Tensor:
        s, network = self.schedule, self.network
        trained = network.sizes.trained
        k = trained[int(rng.integers(len(trained)))]
        codes, inside = self.corpus.windows(k, s.windows, s.frames, rng)
        some = np.sort(rng.permutation(k)[: s.books])
        books = torch.from_numpy(some).to(self._device)
        with torch.no_grad():
            sums = network.sums(codes)
        context = network.context(network.inputs(sums[-1]), network.sizes.tag(k)).flatten(0, 1)
        outputs = network.outputs(context, sums[books].flatten(1, 2), books)
        total = code_loss(
            outputs, *network.scores(books), codes[books].flatten(1), inside.flatten()
        )
        return total / (inside.sum() * len(books))

    def _start_rounding(self) -> None:
        """See how large activations get, on many batches of all K, and round from now on."""
        self.network.watch()
        rng = np.random.default_rng(18)
        with torch.no_grad():
            for k in self.network.sizes.trained * 24:
                codes, _ = self.corpus.windows(k, self.schedule.windows, self.schedule.frames, rng)
                sums = self.network.sums(codes)
                context = self.network.context(sums[-1], self.network.sizes.tag(k))
                books = torch.arange(k, device=self._device)
                self.network.outputs(context.flatten(0, 1), sums[:-1].flatten(1, 2), books)
        self.network.start_rounding()
        self.average.round_like(self.network)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly.
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )

    def _log(self, record: dict[str, Any]) -> dict[str, Any]:
        line = {"step": self.step, "seconds": round(self.seconds), **record}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def _check_weights(self) -> None:
        average = {f"average of {k}": v for k, v in self.average.state_dict().items()}
        numbers = {
            k: v for k, v in (self.network.state_dict() | average).items() if v.is_floating_point()
        }
        self._watch.check_weights(numbers, self.step)

    def _advice(self, losses: Sequence[str]) -> str:
        option = parameter("learning_rate")
        return f"give a lower {option} than {self.schedule.learning_rate:g}"

    def _save(self) -> None:
        self._check_weights()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        temporary = self.folder / "state.pt.partial"
        torch.save(state, temporary)
        temporary.replace(self.folder / "state.pt")

    def _load(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (
            *(RuntimeError, KeyError, ValueError, TypeError, AttributeError),
            *(OSError, EOFError, pickle.UnpicklingError),
        ) as error:
            line = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{path}: does not fit; name another folder, or remove it ({line})"
            ) from error
