"""Frequencies are the same numbers whatever multiplies the matrices, on whatever threads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from code_model_hash import model_hash
from code_model_reference import reference_frequencies
from code_model_samples import USUAL, random_arrays, random_codes, random_model
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.config.bundled import checkpoints_folder
from encodec_cli.entropy.integer.frequencies import FREQUENCIES
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.integer.sizes import Sizes

RANDOM = "3cf83a12daeedfc2ef71e8b33fae4224c6d1e0ec71ae9f3abf84987617e36842"
BUNDLED = "23cbf6d0a51ebda967e8bf2ef5d312117506fe4058c60dfd39f0108e22c26f29"
TESTS = Path(__file__).resolve().parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threads", "kernels"),
    [
        *((1, "Haswell"), (2, "Haswell"), (1, "SkylakeX"), (1, "Sandybridge")),
        *((1, "Nehalem"), (1, "Prescott"), (1, "Zen"), (1, "ARMV8"), (2, "NEOVERSEN1")),
    ],
)
def test_blas_with_other_kernels_and_threads(threads: int, kernels: str) -> None:
    settings = {"OPENBLAS_NUM_THREADS": str(threads), "OPENBLAS_CORETYPE": kernels}
    settings["PYTHONPATH"] = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    result = subprocess.run(
        [sys.executable, str(TESTS / "code_model_hash.py")],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode < 0:
        pytest.skip(f"this processor has no instructions for {kernels}")
    assert result.stdout.strip() == RANDOM, result.stderr


def test_the_bundled_model() -> None:
    path = checkpoints_folder() / "ecli_24khz.codes"
    assert model_hash(CodeModel.load(path)) == BUNDLED


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64], ids=str)
def test_torch(dtype: torch.dtype) -> None:
    codes = random_codes(USUAL, 4, 90)
    found = torch_frequencies(random_arrays(USUAL), USUAL, codes, dtype)
    np.testing.assert_array_equal(found, random_model(USUAL).frequencies(codes))


@pytest.mark.slow
def test_whole_numbers_of_python() -> None:
    codes = random_codes(USUAL, 2, 3)
    expected = reference_frequencies(random_arrays(USUAL), USUAL, codes)
    assert random_model(USUAL).frequencies(codes).tolist() == expected


# ---- the same arithmetic in torch, whose products use MKL or oneDNN, of `dtype`


def torch_frequencies(
    arrays: dict[str, NDArray[np.integer[Any]]],
    sizes: Sizes,
    codes: NDArray[np.uint16],
    dtype: torch.dtype,
) -> NDArray[np.uint32]:
    """Frequencies `[T, K, bins]` where each code of `[K, T]` stands."""
    a = {name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()}
    rows = torch.from_numpy(codes.astype(np.int64))

    def product(name: str, at: tuple[int, ...], x: Tensor) -> Tensor:
        total = (x.to(dtype) @ a[f"{name}.weight"][at].to(dtype).t()).long()
        if f"{name}.bias" in a:
            total += a[f"{name}.bias"][at]
        return total if name == "logits" else rounded(total, a[f"{name}.shift"][at])

    def inputs(sums: Tensor) -> Tensor:
        return rounded(sums, a["inputs.shift"]).clamp(-1023, 1023)

    tables = [a["tables"][k] << a["tables.shift"][k] for k in range(len(codes))]
    parts = torch.stack([table[row] for table, row in zip(tables, rows, strict=True)])
    x = product("input", (), inputs(parts.sum(0)[:-1]))
    x = torch.cat((torch.zeros_like(x[:1]), x)) + a["tags"][sizes.tag(len(codes))]
    for i, dilation in enumerate(sizes.dilations):
        u = rounded(x, a["blocks.shift"][i]).clamp(-1023, 1023)
        past = torch.cat((torch.zeros_like(u[:dilation]), u))[: len(u)]
        y = product("first", (i,), torch.cat((past, u), 1)).clamp(0, 1023)
        x = x + product("second", (i,), y)
    context = rounded(x, a["context.shift"]).clamp(-1023, 1023)
    table = torch.from_numpy(FREQUENCIES.astype(np.int64))
    found = []
    for k in range(len(codes)):
        known = torch.cat((context, inputs(parts[:k].sum(0))), 1)
        y = product("mix", (k,), known).clamp(0, 1023)
        logits = product("logits", (k,), product("out", (k,), y).clamp(-1023, 1023))
        below = (logits.amax(1, keepdim=True) - logits) >> a["logits.shift"][k]
        found.append(table[below.clamp(max=len(table) - 1)])
    return torch.stack(found, 1).numpy()


def rounded(total: Tensor, shift: Tensor) -> Tensor:
    return (total + ((1 << shift) >> 1)) >> shift
