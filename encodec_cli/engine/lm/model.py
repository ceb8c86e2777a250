"""Meta's language model of codes: a small Transformer that predicts each frame from those before.

    codes of frame t-1 [K] --sum of K embeddings--> LayerNorm, + position --> 5 layers --> K heads
                                                                  probabilities of frame t [K, N]

Layers are post-norm, with exact GELU, in fp32. A layer attends to the inputs of the last
`past_context` frames and its own; the frame before the first is a zero vector, attended to like
any other.

Results are the bits of Meta's program (see `layer`) with MKL on x86 and one thread (see
`tests/test_lm.py`), hence one thread, whatever torch is set to: products split among threads
round otherwise. So may other libraries and processors (facebookresearch/encodec#94).

Source: EnCodec (Défossez et al. 2022, section 3.3), and Meta's `encodec` package for the details.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.engine.lm.frame import FrameStep, LmInput
from encodec_cli.engine.lm.layer import LmLayer
from encodec_cli.engine.lm.memory import HEADS, LmMemory
from encodec_cli.engine.lm.row_product import RowProduct, in_fast_memory
from encodec_cli.engine.threads import torch_threads
from encodec_cli.errors import CheckpointError, UsageError

__all__ = ["CodePredictor", "LanguageModel"]

_MAX_PERIOD = 10000
_ROWS = 256


class LanguageModel:
    """Weights of the language model; predictors share them.

    Args:
        state: tensors under the names of Meta's `encodec_lm_*.th` files, which imply all sizes:
            `emb.K.weight` `[N + 1, D]`, `linears.K.weight` `[N, D]`, `transformer.*`.
        past_context: frames that a layer sees beside the present one.

    Attributes:
        codebooks: K, the most that can be predicted.
        bins: N, codes of a codebook.
        recomputed: see `LmMemory`.

    Raises:
        CheckpointError: tensors are missing, left over, or of shapes that do not fit together.
    """

    def __init__(self, state: Mapping[str, Tensor], past_context: int) -> None:
        self.past_context = past_context
        self.codebooks = sum(bool(re.fullmatch(r"emb\.\d+\.weight", name)) for name in state)
        layers = sum(name.endswith(".linear1.weight") for name in state)
        first, hidden = state.get("emb.0.weight"), state.get("transformer.layers.0.linear1.weight")
        if first is None or hidden is None or first.dim() != 2 or hidden.dim() != 2:
            raise CheckpointError(
                "not Meta's language model: it has no emb.0.weight, or no layers; its first "
                f"tensors are {', '.join(sorted(state)[:3]) or 'none'}"
            )
        self.bins, self.dim = first.shape[0] - 1, first.shape[1]
        if self.bins < 1 or self.dim % HEADS or self.dim < 4:
            raise CheckpointError(f"not Meta's language model: emb.0.weight is {first.shape}")
        shapes = _shapes(self.codebooks, self.bins, self.dim, hidden.shape[0], layers)
        _check_shapes(state, shapes)
        weights = {name: value.detach().float().contiguous() for name, value in state.items()}
        books = range(self.codebooks)
        self._tables = torch.cat([weights[f"emb.{k}.weight"] for k in books])
        self._heads_weight = torch.stack([weights[f"linears.{k}.weight"] for k in books], dim=1)
        self._heads_bias = torch.stack([weights[f"linears.{k}.bias"] for k in books], dim=1)
        self._steps: dict[int, FrameStep] = {}
        self._norm = (weights["transformer.norm_in.weight"], weights["transformer.norm_in.bias"])
        with torch_threads(1):
            self.layers = [LmLayer(weights, f"transformer.layers.{i}.") for i in range(layers)]
            in_fast_memory(self.layers)
        self.recomputed = max(layer.kept.enough_rows for layer in self.layers)

    def predictor(self, codebooks: int) -> "CodePredictor":
        """A predictor for a new run of frames; see `entropy.CodeModel`.

        Raises:
            UsageError: this model knows fewer codebooks.
        """
        if not 1 <= codebooks <= self.codebooks:
            raise UsageError(
                f"{codebooks} codebooks: this language model knows 1 to {self.codebooks}"
            )
        return CodePredictor(self, codebooks)

    def step(self, codebooks: int) -> FrameStep:
        """What runs frames of `codebooks` codes.

        Made at the first call and kept: a file of segments asks for it in each.
        """
        if codebooks not in self._steps:
            weight = self._heads_weight[:, :codebooks].reshape(-1, self.dim)
            bias = self._heads_bias[:, :codebooks].reshape(-1)
            with torch_threads(1):
                heads = RowProduct(weight, bias)
                in_fast_memory([heads])
            embed = LmInput(self._tables, self._norm, codebooks)
            self._steps[codebooks] = FrameStep(embed, self.layers, heads, codebooks)
        return self._steps[codebooks]


class CodePredictor:
    """Runs a `LanguageModel` frame by frame; see `entropy.Predictor`."""

    def __init__(self, model: LanguageModel, codebooks: int) -> None:
        self._first_rows = np.arange(codebooks) * (model.bins + 1)
        self._code_rows = self._first_rows + 1
        self._dim = model.dim
        self._step = model.step(codebooks)
        self._recomputed = model.recomputed
        self._memory = LmMemory(len(model.layers), model.dim, model.past_context, model.recomputed)
        self._positions = torch.empty(0, model.dim)
        self._number = 0  # of the next frame, counted from the first of the positions
        self._passed = 0
        self._at_work = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around calls that follow each other: to set this up takes a tenth of a frame's time."""
        # Optimizing takes the first two frames a tenth of a second and gains nothing here.
        plain = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
        with torch.inference_mode(), torch_threads(1), plain:
            self._at_work = True
            try:
                yield
            finally:
                self._at_work = False

    def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
        """Probabilities `[T, K, N]` of the frames after `previous` `[K, T]`, None at the start."""
        if not self._at_work:
            with self.at_work():
                return self(previous)
        rows = self._first_rows[None] if previous is None else previous.T + self._code_rows
        found = self._one(rows[0]) if len(rows) == 1 else self._several(rows)
        probabilities: NDArray[np.float32] = found.numpy()
        return probabilities.transpose(0, 2, 1)

    def _one(self, row: NDArray[np.int64]) -> Tensor:
        """`[K] -> [1, N, K]`"""
        number = self._take_numbers(1)
        return self._step.one(torch.from_numpy(row), self._positions, number, self._memory)

    def _several(self, rows: NDArray[np.int64]) -> Tensor:
        """`[T, K] -> [T, N, K]`"""
        alone = max(0, self._recomputed - self._memory.end)
        parts = [self._one(row) for row in rows[:alone]]
        rest = rows[alone:]
        if len(rest):
            number = self._take_numbers(len(rest))
            positions = self._positions[number : number + len(rest)]
            indices = torch.from_numpy(rest.reshape(-1))
            parts.append(self._step.several(indices, positions, self._memory))
        return torch.cat(parts)

    def _take_numbers(self, count: int) -> int:
        """The place among the positions of the next of `count` frames."""
        number = self._number
        if number + count > len(self._positions):
            self._passed += number
            number = 0
            self._positions = _position_embeddings(self._passed, self._dim)
        self._number = number + count
        return number


def _position_embeddings(first: int, dim: int) -> Tensor:
    """Embeddings `[_ROWS, D]` of the numbers of frames from `first` on."""
    half = dim // 2
    phase = torch.arange(first, first + _ROWS).view(-1, 1) / (
        _MAX_PERIOD ** (torch.arange(half) / (half - 1))
    )
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=1)


def _shapes(
    codebooks: int, bins: int, dim: int, hidden: int, layers: int
) -> dict[str, tuple[int, ...]]:
    """Every tensor of a language model, with its shape."""
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.norm_in.weight": (dim,),
        "transformer.norm_in.bias": (dim,),
    }
    for k in range(codebooks):
        shapes[f"emb.{k}.weight"] = (bins + 1, dim)
        shapes[f"linears.{k}.weight"] = (bins, dim)
        shapes[f"linears.{k}.bias"] = (bins,)
    for i in range(layers):
        for name, shape in LmLayer.shapes(dim, hidden).items():
            shapes[f"transformer.layers.{i}.{name}"] = shape
    return shapes


def _check_shapes(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing, left_over = sorted(shapes.keys() - state.keys()), sorted(state.keys() - shapes.keys())
    if missing or left_over:
        raise CheckpointError(
            "does not fit Meta's language model: "
            f"missing {', '.join(missing[:3]) or 'nothing'}; "
            f"left over {', '.join(left_over[:3]) or 'nothing'}"
        )
    for name, value in state.items():
        if tuple(value.shape) != shapes[name]:
            raise CheckpointError(f"{name}: shape {tuple(value.shape)}, expected {shapes[name]}")
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{name}: holds numbers that are not finite")
