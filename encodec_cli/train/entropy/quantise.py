"""The integer code model of a network that rounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from encodec_cli.checkpoints.safetensors_bytes import sorted_metadata
from encodec_cli.entropy.integer.model import FORMAT, FORMAT_VERSION
from encodec_cli.entropy.integer.sizes import OCTAVE, WEIGHT_LIMIT, Sizes
from encodec_cli.entropy.integer.weights import check_arrays, sizes_json
from encodec_cli.errors import CheckpointError
from encodec_cli.train.entropy.network import INPUT_EXPONENT, STREAM_EXPONENT, CodeNetwork
from encodec_cli.train.entropy.rounding import weight_exponent
from encodec_cli.train.entropy.start import TABLE_EXPONENT, table_shifts

__all__ = ["code_model_bytes", "integer_arrays"]

Arrays = dict[str, NDArray[np.integer[Any]]]

_LOGIT_EXPONENT = OCTAVE.bit_length() - 1


@torch.no_grad()
def integer_arrays(network: CodeNetwork) -> Arrays:
    """The arrays of `CodeModel`; `network` rounds already.

    Raises:
        CheckpointError: an activation is in finer steps than the sum it is made of.
    """
    n, blocks = network, len(network.sizes.dilations)
    places = n.exponents.cpu().long()
    u, y = places[1 : 1 + 2 * blocks : 2], places[2 : 2 + 2 * blocks : 2]
    books = places[1 + 2 * blocks :].view(2, -1)
    stream = torch.tensor(STREAM_EXPONENT)
    shifts = table_shifts(n.tables.cpu())
    scale = torch.exp2(TABLE_EXPONENT - shifts)[:, None, None]
    arrays: Arrays = {
        "tables": _numbers(n.tables.cpu() * scale, np.int8),
        "tables.shift": _shift("tables", shifts),
        "inputs.shift": _shift("inputs", torch.tensor([TABLE_EXPONENT - INPUT_EXPONENT])),
        "tags": _numbers(n.tags * 2.0**STREAM_EXPONENT, np.int32),
        "blocks.shift": _shift("blocks", stream - u),
        "context.shift": _shift("context", (stream - places[0])[None]),
    }
    inputs = torch.tensor(INPUT_EXPONENT)
    arrays |= _layer("input", n.input, n.input_bias, inputs, stream)
    arrays |= _layer("first", n.first, n.first_bias, u[:, None], y[:, None])
    arrays |= _layer("second", n.second, n.second_bias, y[:, None], stream)
    arrays |= _layer("mix", n.mix * n.mix_scale(), n.mix_bias, places[0], books[0][:, None])
    arrays |= _layer("out", n.out, None, books[0][:, None], books[1][:, None])
    arrays |= _logits(n, books[1])
    return arrays


def code_model_bytes(
    arrays: Arrays, sizes: Sizes, model_sha256: str, metadata: Mapping[str, str]
) -> bytes:
    """The file that `CodeModel.load` reads; equal numbers and words give equal bytes.

    Raises:
        CheckpointError: see `CodeModel`.
    """
    check_arrays(arrays, sizes, "code model")
    header = {
        **metadata,
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "sizes": sizes_json(sizes),
        "model": model_sha256,
    }
    return sorted_metadata(save(arrays, header))


def _layer(
    name: str, weight: Tensor, bias: Tensor | None, inputs: Tensor, outputs: Tensor
) -> Arrays:
    """A layer whose inputs and outputs are in steps of 2 ** -exponent, broadcast over rows."""
    weight = weight.cpu()
    own = weight_exponent(weight)
    steps = own[..., 0].long() + inputs
    found = {
        f"{name}.weight": _numbers(weight * torch.exp2(own), np.int8),
        f"{name}.shift": _shift(name, (steps - outputs).expand(weight.shape[:-1])),
    }
    if bias is not None:
        found[f"{name}.bias"] = _numbers(bias.cpu() * torch.exp2(steps), np.int32)
    return found


def _logits(n: CodeNetwork, outputs: Tensor) -> Arrays:
    vectors = n.vectors.cpu()
    own = weight_exponent(vectors, 2)
    steps = own[:, 0, 0].long() + outputs
    return {
        "logits.weight": _numbers(vectors * torch.exp2(own), np.int8),
        "logits.bias": _numbers(n.biases.cpu() * torch.exp2(steps)[:, None], np.int32),
        "logits.shift": _shift("logits", steps - _LOGIT_EXPONENT),
    }


def _numbers(values: Tensor, dtype: type[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    whole = torch.round(values.double()).cpu().numpy()
    if dtype is np.int8:
        assert abs(whole).max() <= WEIGHT_LIMIT  # by the choice of exponents
    return whole.astype(dtype)


def _shift(name: str, shift: Tensor) -> NDArray[np.integer[Any]]:
    whole = shift.cpu().numpy().astype(np.int64)
    if whole.size and whole.min() < 0:
        raise CheckpointError(
            f"{name}: {int(whole.min())} bits short; the network was not trained enough to round"
        )
    return whole.astype(np.uint8)
