"""The residual vector quantizer as the model sees it: bandwidths, dropout, code layout."""

import dataclasses
import inspect
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from encodec_cli.config.quantizer import QuantizerConfig
from encodec_cli.errors import UsageError
from encodec_cli.nn.codebook import EuclideanCodebook
from encodec_cli.nn.vq import ResidualVectorQuantization

__all__ = ["QuantizedResult", "ResidualVectorQuantizer"]


@dataclass
class QuantizedResult:
    """What a quantizer made of latents `[B, D, T]`."""

    x: Tensor
    """Quantized latents, `[B, D, T]`."""
    codes: Tensor
    """Codes, `[B, K, T]`, int64."""
    bandwidth: Tensor
    """kb/s spent on each item, `[B]`."""
    penalty: Tensor | None = None
    """Commitment and orthogonality, mean over the codebooks; scalar."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """Scalars worth logging."""


class ResidualVectorQuantizer(nn.Module):
    """Drop-in for audiocraft's class; takes the fields of `QuantizerConfig`, or one as `config`.

    With `q_dropout`, each training item uses a random number of codebooks, so that the first
    ones learn to do without the later ones. `n_q` can be lowered at run time.

    Raises:
        ConfigError: arguments out of range.

    Source: SoundStream (Zeghidour et al. 2021, section III.C).
    """

    def __init__(self, *args: Any, config: QuantizerConfig | None = None, **kwargs: Any) -> None:
        super().__init__()
        if config is None:
            config = QuantizerConfig(*args, **kwargs)
        elif args:
            raise TypeError("give either config, or the arguments one by one")
        self.config = c = dataclasses.replace(config, **kwargs) if args == () else config
        self._n_q = c.n_q
        self.vq = ResidualVectorQuantization(
            num_quantizers=c.n_q,
            dim=c.dimension,
            codebook_size=c.bins,
            decay=c.decay,
            kmeans_init=c.kmeans_init,
            kmeans_iters=c.kmeans_iters,
            threshold_ema_dead_code=c.threshold_ema_dead_code,
            orthogonal_reg_weight=c.orthogonal_reg_weight,
            orthogonal_reg_active_codes_only=c.orthogonal_reg_active_codes_only,
            orthogonal_reg_max_codes=c.orthogonal_reg_max_codes,
        )

    @property
    def n_q(self) -> int:
        """Codebooks in use; settable from 1 to `max_n_q`."""
        return self._n_q

    @n_q.setter
    def n_q(self, value: int) -> None:
        if not 1 <= value <= self.max_n_q:
            raise UsageError(f"{value} codebooks: this quantizer has 1 to {self.max_n_q}")
        self._n_q = value

    @property
    def max_n_q(self) -> int:
        """Codebooks there are."""
        return len(self.vq.layers)

    @property
    def codebooks(self) -> list[EuclideanCodebook]:
        """All codebooks, coarse first."""
        return [layer._codebook for layer in self.vq.first(None)]

    def forward(
        self, x: Tensor, frame_rate: float | Fraction, n_q: Tensor | None = None
    ) -> QuantizedResult:
        """Quantize latents `[B, D, T]` at `frame_rate` frames/s.

        `n_q` (`[B]`, int) sets the number of codebooks of each item; by default it is `self.n_q`,
        or random up to it in training with `q_dropout`.
        """
        batch = x.shape[0]
        if n_q is None and self.training and self.config.q_dropout:
            n_q = torch.randint(1, self.n_q + 1, (batch,), device=x.device)
        quantized, codes, penalties = self.vq(x, self.n_q if n_q is None else n_q)
        counts = torch.full((batch,), self.n_q, device=x.device) if n_q is None else n_q
        bandwidth = counts * float(self.config.bits * frame_rate / 1000)
        return QuantizedResult(quantized, codes.transpose(0, 1), bandwidth, penalties.mean())

    def encode(self, x: Tensor) -> Tensor:
        """Codes of latents. `[B, D, T] -> [B, n_q, T]`."""
        return self.vq.encode(x, self.n_q).transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents of codes. `[B, K, T] -> [B, D, T]`, K from 1 to `max_n_q`.

        Raises:
            UsageError: more codebooks than there are.
        """
        if not 1 <= codes.shape[1] <= self.max_n_q:
            raise UsageError(f"{codes.shape[1]} codebooks: this quantizer has 1 to {self.max_n_q}")
        out: Tensor = self.vq.decode(codes.transpose(0, 1))
        return out


ResidualVectorQuantizer.__signature__ = inspect.signature(  # type: ignore[attr-defined]
    QuantizerConfig
)
