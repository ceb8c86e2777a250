"""The code model as a network that learns; `quantise` makes the integer one of it.

    codes of frames before t --tables, sum--> [T, I] --causal blocks--> context h [T, C]
    codes of t below book k  --tables, sum--> s [I] --+
    context h of t --------------------------- [C] --+--> relu [H] --> o [D] --> o . v, + bias
                                                          logits [bins] of book k, in octaves

The tables are fixed: the leading principal components of the latents, each scaled to unit
variance. After `start_rounding` the network computes with rounded weights and activations, as
the integer one does (Jacob et al. 2018, "Quantization and training of neural networks for
efficient integer-arithmetic-only inference").
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encodec_cli.entropy.integer.sizes import ACTIVATION_LIMIT, Sizes
from encodec_cli.train.entropy.rounding import rounded_activation, rounded_weight

__all__ = ["INPUT_EXPONENT", "STREAM_EXPONENT", "CodeNetwork"]

INPUT_EXPONENT = 7
"""Steps of inputs of products made from tables, of unit variance: 1/128."""
STREAM_EXPONENT = 9
"""Steps of the sums that go from block to block of the context: 1/512."""


class CodeNetwork(nn.Module):
    """Logits of codes, given those of the frames before and of the codebooks before.

    Args:
        tables: what each code adds to the inputs, `[K, bins, I]`.
        priors: logits of each code when nothing is known, `[K, bins]`, octaves.
        vectors: where the vectors of the logits begin, `[K, bins, D]`.
    """

    tables: Tensor
    exponents: Tensor
    rounding: Tensor

    def __init__(self, sizes: Sizes, tables: Tensor, priors: Tensor, vectors: Tensor) -> None:
        super().__init__()
        self.sizes = s = sizes
        books, blocks = s.codebooks, len(s.dilations)
        self.register_buffer("tables", tables)
        self.register_buffer("exponents", torch.zeros(1 + 2 * blocks + 2 * books, dtype=torch.int))
        self.register_buffer("rounding", torch.zeros((), dtype=torch.bool))
        self.input = _normal(s.channels, s.inputs, gain=1.0)
        self.input_bias = nn.Parameter(torch.zeros(s.channels))
        self.tags = nn.Parameter(torch.zeros(len(s.trained), s.channels))
        self.first = _normal(blocks, s.channels, 2 * s.channels, gain=math.sqrt(2))
        self.first_bias = nn.Parameter(torch.zeros(blocks, s.channels))
        self.second = _normal(blocks, s.channels, s.channels, gain=0.3 * math.sqrt(2))
        self.second_bias = nn.Parameter(torch.zeros(blocks, s.channels))
        self.mix = _normal(books, s.hidden, s.channels + s.inputs, gain=1.4)
        self.mix_bias = nn.Parameter(torch.zeros(books, s.hidden))
        self.out = _normal(books, s.outputs, s.hidden, gain=0.3 * math.sqrt(2))
        self.vectors = nn.Parameter(vectors.clone())
        self.biases = nn.Parameter(priors.clone())
        self._largest: dict[int, float] | None = None
        self._rounding = False

    def sums(self, codes: Tensor) -> Tensor:
        """Inputs of codes `[K, B, T]` and of those below each book: `[K + 1, B, T, I]`."""
        parts = torch.stack([self.tables[k][codes[k]] for k in range(codes.shape[0])])
        return F.pad(parts, (0, 0) * 3 + (1, 0)).cumsum(0)

    def context(self, sums: Tensor, tag: int) -> Tensor:
        """Context `[B, T, C]` of the frames before each, given whole frames `[B, T, I]`."""
        weight, first, second = (self._weight(w) for w in (self.input, self.first, self.second))
        past = F.pad(sums[:, :-1], (0, 0, 1, 0))
        x = self._stream(F.linear(past, weight, self.input_bias))
        # Before the first frame there is nothing, not even a bias.
        x = torch.cat((torch.zeros_like(x[:, :1]), x[:, 1:]), 1) + self.tags[tag]
        for i, dilation in enumerate(self.sizes.dilations):
            u = self._activation(x, 1 + 2 * i)
            before = F.pad(u, (0, 0, dilation, 0))[:, : u.shape[1]]
            y = torch.cat((before, u), 2) @ first[i].t() + self.first_bias[i]
            y = self._activation(y, 2 + 2 * i, relu=True)
            x = x + self._stream(F.linear(y, second[i], self.second_bias[i]))
        return self._activation(x, 0)

    def outputs(self, context: Tensor, sums: Tensor, books: Tensor) -> Tensor:
        """What logits are scalar products of, `[S, M, D]`.

        Args:
            context: `[M, C]`.
            sums: of the codes below each book, `[S, M, I]`.
            books: which codebooks, `[S]`, int64.
        """
        inputs = torch.cat((context.expand(len(books), -1, -1), self.inputs(sums)), 2)
        y = torch.baddbmm(self.mix_bias[books][:, None], inputs, self._mix(books).mT)
        first = 1 + 2 * len(self.sizes.dilations)
        y = self._activations(y, first, books, relu=True)
        o = torch.bmm(y, self._weight(self.out[books]).mT)
        return self._activations(o, first + self.sizes.codebooks, books)

    def scores(self, books: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors `[S, bins, D]` and biases `[S, bins]` of codebooks `[S]`, for `code_loss`."""
        return self._weight(self.vectors[books], 2), self.biases[books]

    def inputs(self, sums: Tensor) -> Tensor:
        """Sums of tables as products take them."""
        if not self._rounding:
            return sums
        return rounded_activation(sums, INPUT_EXPONENT, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)

    def watch(self) -> None:
        """From now on keep the largest activation at each place, until `start_rounding`."""
        self._largest = {}

    def start_rounding(self) -> None:
        """Round from now on, in ranges half as large again as what was seen: nothing clips."""
        assert self._largest is not None
        for place, largest in self._largest.items():
            exponent = math.floor(math.log2(ACTIVATION_LIMIT / (1.5 * max(largest, 1e-3))))
            self.exponents[place] = min(exponent, STREAM_EXPONENT - 1)
        self._largest = None
        self.rounding.fill_(True)
        self._rounding = True

    def round_like(self, other: "CodeNetwork") -> None:
        """Round in the ranges of `other`, which rounds."""
        self.exponents.copy_(other.exponents)
        self.rounding.fill_(True)
        self._rounding = True

    def _load_from_state_dict(self, *args: object, **kwargs: object) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._rounding = bool(self.rounding.item())

    def mix_scale(self) -> Tensor:
        """What weights `[C + I]` are multiplied by for context and inputs in steps of one size."""
        inputs = 2.0 ** (int(self.exponents[0]) - INPUT_EXPONENT)
        return F.pad(torch.ones(self.sizes.channels), (0, self.sizes.inputs), value=inputs).to(
            self.mix.device
        )

    def _mix(self, books: Tensor) -> Tensor:
        weight = self.mix[books]
        if not self._rounding:
            return weight
        scale = self.mix_scale()
        return rounded_weight(weight * scale) / scale

    def _weight(self, weight: Tensor, dims: int = 1) -> Tensor:
        return rounded_weight(weight, dims) if self._rounding else weight

    def _stream(self, x: Tensor) -> Tensor:
        limit = float(1 << 23)
        return rounded_activation(x, STREAM_EXPONENT, -limit, limit) if self._rounding else x

    def _activations(self, x: Tensor, first: int, books: Tensor, *, relu: bool = False) -> Tensor:
        """`_activation` of each book `x[i]`."""
        if not self._rounding and self._largest is None:
            return F.relu(x) if relu else x
        return torch.stack(
            [
                self._activation(each, first + book, relu=relu)
                for each, book in zip(x, books.tolist(), strict=True)
            ]
        )

    def _activation(self, x: Tensor, place: int, *, relu: bool = False) -> Tensor:
        if self._largest is not None:
            seen = float(x.max() if relu else x.abs().max())
            self._largest[place] = max(seen, self._largest.get(place, 0.0))
        if not self._rounding:
            return F.relu(x) if relu else x
        low = 0 if relu else -ACTIVATION_LIMIT
        return rounded_activation(x, int(self.exponents[place]), low, ACTIVATION_LIMIT)


def _normal(*shape: int, gain: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * (gain / math.sqrt(shape[-1])))
