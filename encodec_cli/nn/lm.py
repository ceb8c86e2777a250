"""Meta's language model of codes: a small Transformer that predicts each frame from those before.

    codes of frame t-1 [K] --sum of K embeddings--> LayerNorm, + position --> 5 layers --> K heads
                                                                  probabilities of frame t [K, N]

Layers are post-norm, with exact GELU, in fp32. A layer attends to the inputs of the last
`past_context` frames and its own; the frame before the first is a zero vector, attended to like
any other.

The arithmetic coder needs the very bits that Meta's program computes, so the order of operations
is part of the format. That program projects keys and values of the whole context anew for every
frame, as one matrix product; here they are kept:

    rows of the product   1     2 or 3     4 and more
    kernel                A     B          C             each rounds in its own way

With 4 rows or more a row's result does not depend on the others. So the newest row is projected in
a block of `_BLOCK` rows, and the first frames, whose contexts are smaller, as Meta's program does
it: all rows anew. All other products have one row there, so here they are batches of one-row
products, of several frames at once where an encoder knows them.

That holds for MKL on x86 with one thread (see `tests/test_lm.py`), hence one thread, whatever torch
is set to. Other libraries and processors may round otherwise (facebookresearch/encodec#94).

Source: EnCodec (Défossez et al. 2022, section 3.3), and Meta's `encodec` package for the details.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.errors import CheckpointError, UsageError

__all__ = ["CodePredictor", "LanguageModel"]

_HEADS = 8
_BLOCK = 4
_ANEW = 16
_MOST_ROWS = 64
_MAX_PERIOD = 10000
_ROWS = 256


@dataclass(frozen=True, eq=False)
class _Layer:
    """Weights of one layer, D wide; `in_weight` `[3 * D, D]` makes queries, keys and values."""

    in_weight: Tensor
    in_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    bias2: Tensor
    norm1_weight: Tensor
    norm1_bias: Tensor
    norm2_weight: Tensor
    norm2_bias: Tensor


_LAYER_NAMES = (
    *(f"self_attn.{name}" for name in ("in_proj_weight", "in_proj_bias")),
    *("self_attn.out_proj.weight", "self_attn.out_proj.bias"),
    *("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"),
    *("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"),
)


class LanguageModel:
    """Weights of the language model; predictors share them.

    Args:
        state: tensors under the names of Meta's `encodec_lm_*.th` files, which imply all sizes:
            `emb.K.weight` `[N + 1, D]`, `linears.K.weight` `[N, D]`, `transformer.*`.
        past_context: frames that a layer sees beside the present one.

    Attributes:
        codebooks: K, the most that can be predicted.
        bins: N, codes of a codebook.

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
        if self.bins < 1 or self.dim % _HEADS or self.dim < 4:
            raise CheckpointError(f"not Meta's language model: emb.0.weight is {first.shape}")
        shapes = _shapes(self.codebooks, self.bins, self.dim, hidden.shape[0], layers)
        _check_shapes(state, shapes)
        weights = {name: value.detach().float().contiguous() for name, value in state.items()}
        self.tables = torch.stack([weights[f"emb.{k}.weight"] for k in range(self.codebooks)])
        """`[K, N + 1, D]`"""
        heads = [f"linears.{k}" for k in range(self.codebooks)]
        self.heads_weight = torch.cat([weights[f"{name}.weight"] for name in heads])
        """`[K * N, D]`"""
        self.heads_bias = torch.cat([weights[f"{name}.bias"] for name in heads])
        """`[K * N]`"""
        self.norm_weight = weights["transformer.norm_in.weight"]
        self.norm_bias = weights["transformer.norm_in.bias"]
        self.layers = [
            _Layer(*(weights[f"transformer.layers.{i}.{name}"] for name in _LAYER_NAMES))
            for i in range(layers)
        ]

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


class CodePredictor:
    """Runs a `LanguageModel` frame by frame; see `entropy.Predictor`."""

    def __init__(self, model: LanguageModel, codebooks: int) -> None:
        self._model = model
        self._codebooks = codebooks
        self._tables = model.tables.numpy()
        self._books = np.arange(codebooks)
        self._heads_weight = model.heads_weight[: codebooks * model.bins].t()
        self._heads_bias = model.heads_bias[: codebooks * model.bins]
        self._steps = [_LayerStep(layer, model.past_context) for layer in model.layers]
        self._positions = torch.empty(0, model.dim)
        self._first_position = -1
        self._frame = 0

    @torch.inference_mode()
    def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
        """Probabilities `[T, K, N]` of the frames after `previous` `[K, T]`, None at the start."""
        model = self._model
        if previous is None:
            codes = np.zeros((1, self._codebooks), int)
        else:
            codes = previous.T.astype(int) + 1
        with _one_thread():
            # numpy adds such rows one by one, like Meta's program; torch in another order.
            x = torch.from_numpy(np.add.reduce(self._tables[self._books, codes], axis=1))
            x = F.layer_norm(x, (model.dim,), model.norm_weight, model.norm_bias)
            x = x + torch.cat([self._position(self._frame + row) for row in range(len(x))])
            alone = max(0, min(len(x), _ANEW - self._frame))
            blocks = [*torch.split(x[:alone], 1), x[alone:]] if alone else [x]
            x = torch.cat([self._through_layers(block) for block in blocks if len(block)])
            # Meta's softmax runs down the columns of [N, K], which adds up in its own order.
            down = self._logits(x).transpose(1, 2).contiguous()
            probabilities = torch.softmax(down, dim=1).transpose(1, 2).contiguous()
        self._frame += len(x)
        return probabilities.numpy()

    def _through_layers(self, x: Tensor) -> Tensor:
        for layer in self._steps:
            x = layer(x)
        return x

    def _logits(self, x: Tensor) -> Tensor:
        """`[T, D] -> [T, K, N]`"""
        bins = self._model.bins
        if len(x) == 1:
            return _product(self._heads_bias, x, self._heads_weight).view(1, -1, bins)
        # Book by book, so that the weights stay in the cache for all frames.
        books = zip(
            torch.split(self._heads_bias, bins),
            torch.split(self._heads_weight, bins, dim=1),
            strict=True,
        )
        return torch.stack([_product(bias, x, weight) for bias, weight in books], dim=1)

    def _position(self, frame: int) -> Tensor:
        """Embedding `[1, D]` of a frame's number."""
        start = frame - frame % _ROWS
        if start != self._first_position:
            self._first_position = start
            half = self._model.dim // 2
            numbers = torch.arange(start, start + _ROWS).view(-1, 1)
            phase = numbers / (_MAX_PERIOD ** (torch.arange(half) / (half - 1)))
            self._positions = torch.cat([torch.cos(phase), torch.sin(phase)], dim=1)
        return self._positions[frame - start : frame - start + 1]


class _LayerStep:
    """One layer with what it remembers.

    Rows up to `end` of `inputs` `[R, D]` and of `kept` `[R, 2 * D]`, keys and values, are those of
    past frames; when R is reached, those still in sight move to the front.
    """

    def __init__(self, layer: _Layer, past_context: int) -> None:
        self._layer = layer
        self._context = past_context
        self._dim = dim = layer.in_weight.shape[1]
        self._query_weight = layer.in_weight[:dim].t()
        self._query_bias = layer.in_bias[:dim]
        self._kept_weight = layer.in_weight[dim:].t()
        self._kept_bias = layer.in_bias[dim:]
        self._out_weight, self._weight1, self._weight2 = (
            weight.t() for weight in (layer.out_weight, layer.weight1, layer.weight2)
        )
        rows = 2 * past_context + _MOST_ROWS
        self._inputs = torch.zeros(rows, dim)
        self._kept = torch.zeros(rows, 2 * dim)
        self._heads = self._kept.view(1, rows, 2, _HEADS, dim // _HEADS).permute(2, 0, 3, 1, 4)
        self._end = 1  # the zero vector before the first frame

    def __call__(self, x: Tensor) -> Tensor:
        """`[T, D] -> [T, D]`, T new frames"""
        layer, size = self._layer, (self._dim,)
        x = F.layer_norm(x + self._attend(x), size, layer.norm1_weight, layer.norm1_bias)
        y = F.gelu(_product(layer.bias1, x, self._weight1))
        y = _product(layer.bias2, y, self._weight2)
        return F.layer_norm(x + y, size, layer.norm2_weight, layer.norm2_bias)

    def _attend(self, x: Tensor) -> Tensor:
        self._remember(x)
        queries = _product(self._query_bias, x, self._query_weight)
        queries = queries.view(-1, 1, _HEADS, 1, self._dim // _HEADS)
        seen = []
        for query, stop in zip(queries, range(self._end - len(x) + 1, self._end + 1), strict=True):
            start = max(0, stop - 1 - self._context)
            keys, values = self._heads[:, :, :, start:stop]
            seen.append(F.scaled_dot_product_attention(query, keys, values).view(1, -1))
        return _product(self._layer.out_bias, torch.cat(seen), self._out_weight)

    def _remember(self, x: Tensor) -> None:
        """Append rows; the oldest make room once they are out of sight."""
        if self._end + len(x) > len(self._inputs):
            kept = min(self._end, self._context)
            for rows in (self._inputs, self._kept):
                rows[:kept] = rows[self._end - kept : self._end].clone()
            self._end = kept
        self._inputs[self._end : self._end + len(x)] = x
        self._end += len(x)
        first = 0 if self._end <= _ANEW else self._end - len(x) - (_BLOCK - 1)
        # Rows made before come out the same, but for the first few, which Meta's program changes.
        torch.addmm(
            self._kept_bias,
            self._inputs[first : self._end],
            self._kept_weight,
            out=self._kept[first : self._end],
        )


def _product(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`[T, A] -> [T, B]` with `weight` `[A, B]`, each row as if it came alone."""
    if len(x) == 1:
        return torch.addmm(bias, x, weight)
    rows = len(x)
    return torch.baddbmm(bias.expand(rows, 1, -1), x[:, None], weight.expand(rows, -1, -1))[:, 0]


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
    of_layer: tuple[tuple[int, ...], ...] = (
        *((3 * dim, dim), (3 * dim,), (dim, dim), (dim,)),
        *((hidden, dim), (hidden,), (dim, hidden), (dim,)),
        *[(dim,)] * 4,
    )
    for i in range(layers):
        for name, shape in zip(_LAYER_NAMES, of_layer, strict=True):
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


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread for a moment: products split among threads round otherwise."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
