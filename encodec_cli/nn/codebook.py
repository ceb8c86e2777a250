"""One Euclidean codebook that learns by exponential moving averages, without gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EuclideanCodebook", "kmeans", "sample_vectors"]


def sample_vectors(vectors: Tensor, count: int) -> Tensor:
    """`count` rows of `[N, D]`, without repetition as long as there are enough."""
    n = vectors.shape[0]
    if n >= count:
        index = torch.randperm(n, device=vectors.device)[:count]
    else:
        index = torch.randint(n, (count,), device=vectors.device)
    return vectors[index]


def kmeans(vectors: Tensor, clusters: int, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm. `[N, D]` -> means `[clusters, D]`, members per cluster `[clusters]`.

    An empty cluster keeps the mean it had.
    """
    means = sample_vectors(vectors, clusters)
    counts = vectors.new_zeros(clusters)
    for _ in range(iterations):
        nearest = _nearest(vectors, means)
        counts = torch.bincount(nearest, minlength=clusters).to(vectors.dtype)
        sums = torch.zeros_like(means).index_add_(0, nearest, vectors)
        means = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], means)
    return means, counts


def _nearest(vectors: Tensor, means: Tensor) -> Tensor:
    """Index `[N]` of the row of `means` `[K, D]` nearest to each row of `vectors` `[N, D]`.

    The squared norm of the vector itself is the same for all rows and left out.
    """
    half_norms = 0.5 * means.pow(2).sum(1)
    return torch.addmm(half_norms, vectors, means.t(), beta=-1).argmax(1)


class EuclideanCodebook(nn.Module):
    """`codebook_size` vectors of `dim` numbers.

    In training each forward pass moves the vectors towards the means of what was assigned to
    them (decay `decay`), replaces those used less than `threshold_ema_dead_code` times per batch
    on average by vectors of the batch, and on the very first pass (`kmeans_init`) starts them
    from k-means.

    Buffers: `embed` `[codebook_size, dim]` is the codebook; `embed_avg`, `cluster_size` and
    `inited` are training state, named as in Meta's checkpoints.

    Source: van den Oord et al. 2017, appendix A.1; SoundStream (Zeghidour et al. 2021, III.C).
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        kmeans_init: bool = False,
        kmeans_iters: int = 10,
        decay: float = 0.8,
        epsilon: float = 1e-5,
        threshold_ema_dead_code: float = 2.0,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.epsilon = epsilon
        self.codebook_size = codebook_size
        self.kmeans_iters = kmeans_iters
        self.threshold_ema_dead_code = threshold_ema_dead_code
        embed = torch.zeros(codebook_size, dim)
        if not kmeans_init:
            nn.init.kaiming_uniform_(embed)
        self.register_buffer("inited", torch.tensor([float(not kmeans_init)]))
        # One member each, whose mean is the vector itself: averages start where the codebook does.
        self.register_buffer("cluster_size", torch.full((codebook_size,), float(not kmeans_init)))
        self.register_buffer("embed", embed)
        self.register_buffer("embed_avg", embed.clone())
        # A Python flag beside the buffer: reading the buffer would make the host wait for the GPU.
        self._started = not kmeans_init

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._started = bool(self.inited.item())

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Initialise from k-means over `[N, dim]`, unless already initialised."""
        if self._started:
            return
        embed, counts = kmeans(vectors.float(), self.codebook_size, self.kmeans_iters)
        self.embed.copy_(embed)
        self.embed_avg.copy_(embed * counts.clamp(min=1.0)[:, None])
        self.cluster_size.copy_(counts.clamp(min=1.0))
        self.inited.fill_(1.0)
        self._started = True

    def encode(self, x: Tensor) -> Tensor:
        """Nearest codes. `[..., dim] -> [...]` (int64)."""
        return _nearest(x.reshape(-1, x.shape[-1]), self.embed.to(x.dtype)).view(x.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors of codes. `[...] -> [..., dim]`."""
        return F.embedding(codes, self.embed)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize `[..., dim]`; learn from it in training mode.

        Returns the quantized vectors `[..., dim]` and their codes `[...]`.
        """
        vectors = x.detach().reshape(-1, x.shape[-1])
        if self.training:
            self.start(vectors)
        codes = self.encode(x.detach())
        quantized = self.decode(codes)
        if self.training:
            self._learn(vectors.float(), codes.reshape(-1))
        return quantized, codes

    @torch.no_grad()
    def _learn(self, vectors: Tensor, codes: Tensor) -> None:
        if isinstance(self.embed, nn.Parameter):  # an optimizer may have moved it
            self.embed_avg.copy_(self.embed * self._weights()[:, None])
        dead = self.cluster_size < self.threshold_ema_dead_code
        # The few that are needed may repeat; a permutation would be sorted for nothing.
        index = torch.randint(len(vectors), (self.codebook_size,), device=vectors.device)
        fresh = vectors[index]
        # A fresh vector starts with the weight of one that is alive: it neither dies again at
        # once, nor drags along the average of the one it replaces.
        alive = max(2 * self.threshold_ema_dead_code, 1.0)
        self.embed_avg.copy_(torch.where(dead[:, None], fresh * alive, self.embed_avg))
        self.cluster_size.masked_fill_(dead, alive)

        counts = torch.zeros_like(self.cluster_size).index_add_(
            0, codes, torch.ones_like(codes, dtype=self.cluster_size.dtype)
        )
        sums = torch.zeros_like(self.embed_avg).index_add_(0, codes, vectors)
        # What was assigned to a dead code belongs to another one from now on.
        counts.masked_fill_(dead, 0.0)
        sums.masked_fill_(dead[:, None], 0.0)
        keep = torch.where(dead, 1.0, self.decay)
        self.cluster_size.mul_(keep).add_(counts, alpha=1 - self.decay)
        self.embed_avg.mul_(keep[:, None]).add_(sums, alpha=1 - self.decay)
        self.embed.copy_(self.embed_avg / self._weights()[:, None])

    def _weights(self) -> Tensor:
        """Members per code `[codebook_size]`, smoothed so that none is zero (Laplace)."""
        total = self.cluster_size.sum()
        count = self.codebook_size * self.epsilon
        return (self.cluster_size + self.epsilon) / (total + count) * total
