"""Networks in numpy run backwards as torch's autograd does, for any config."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from runtime_samples import Numbers, Pair, pairs

from encodec_cli import load_model, load_module
from encodec_cli.runtime.products import Products
from encodec_cli.runtime.scratch import Scratch


def assert_backwards_as_torch(pair: Pair, length: int) -> None:
    x = pair.noise(length)
    found, back = pair.numpy.traced(x)
    wanted = np.random.randn(*found.shape)
    expected, expected_gradient = pair.by_torch(x, wanted)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(back(wanted), expected_gradient, rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(24))
def test_gradients_are_those_of_torch(seed: int) -> None:
    """From signals shorter than what is reflected to those whose products go in pairs."""
    rng = random.Random(seed)
    for pair in pairs(rng):
        for length in (1, 2, rng.randint(1, 3 * pair.rows + 2), rng.randint(70, 90) * pair.rows):
            assert_backwards_as_torch(pair, length)


@pytest.mark.parametrize("seed", range(16))
def test_gradients_of_late_outputs_are_those_of_torch(seed: int) -> None:
    """What they do not depend on is left out, whatever padding and norms there are."""
    rng = random.Random(100 + seed)
    for pair in pairs(rng, lstm=rng.choice([0, 0, 1])):
        x = pair.noise(rng.randint(2, 90) * pair.rows + rng.randint(0, 3))
        every, back_to_all = pair.numpy.traced(x)
        for first in (1, rng.randint(1, len(every)) - 1, len(every) - 1):
            found, back = pair.numpy.traced(x, first)
            np.testing.assert_allclose(found, every[first:], rtol=0, atol=1e-9)
            gradient = np.random.randn(*found.shape)
            late = np.concatenate((np.zeros_like(every[:first]), gradient))
            np.testing.assert_allclose(back(gradient), back_to_all(late), rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_through_a_norm_over_time(seed: int) -> None:
    changes = {"causal": False, "norm": "time_group_norm", "norm_params": {"eps": 1e-3}}
    for pair in pairs(random.Random(seed), **changes):
        assert_backwards_as_torch(pair, 9 * pair.rows + 1)


@pytest.mark.parametrize("frames", [1, 3, 70, 71])
@pytest.mark.parametrize(
    ("taps", "channels", "outputs", "stride", "dilation"),
    [
        *((2, 64, 64, 1, 1), (16, 12, 90, 8, 1), (3, 64, 64, 1, 4), (7, 4, 1, 1, 1)),
        *((3, 32, 90, 1, 1), (1, 9, 7, 1, 1), (5, 70, 64, 2, 1), (2, 1, 5, 1, 1)),
    ],
)
def test_products_have_their_adjoint(
    taps: int, channels: int, outputs: int, stride: int, dilation: int, frames: int
) -> None:
    """<P x, g> = <x, P' g>, however the products are made."""
    kernel = np.random.randn(taps, channels, outputs)
    products = Products(kernel, np.zeros(outputs), stride, dilation)
    x = np.random.randn(products.rows_for(frames), channels)
    read = (frames - 1) * stride + (taps - 1) * dilation + 1
    x[read:] = 0
    gradient = np.random.randn(frames, outputs)
    scratch = Scratch()
    forth = float(np.vdot(products.over(x, frames, "out", scratch), gradient))
    by_rows = products.adjoint(gradient, scratch)
    assert float(np.vdot(x[:read], by_rows[:read])) == pytest.approx(forth, rel=1e-9, abs=1e-9)


def test_the_gradient_of_the_bundled_decoder() -> None:
    latents = np.random.randn(40, 128).astype(np.float32)
    decoder: Any = load_model().engine.decoder(80)
    found, back = decoder.traced(latents)
    weights = np.random.randn(*found.shape).astype(np.float32)
    z = torch.from_numpy(latents).t()[None].requires_grad_()
    y = load_module().decoder(z)
    np.testing.assert_allclose(found, y.detach()[0].t(), rtol=0, atol=1e-4)
    (expected,) = torch.autograd.grad((y[0].t() * torch.from_numpy(weights)).sum(), [z])
    scale = float(expected.abs().max())
    np.testing.assert_allclose(
        back(weights.copy()) / scale, expected[0].t().numpy() / scale, rtol=0, atol=1e-4
    )


def test_the_way_back_may_be_taken_after_other_runs() -> None:
    for pair in pairs(random.Random(5)):
        x, other = pair.noise(80 * pair.rows), pair.noise(80 * pair.rows)
        found, back = pair.numpy.traced(x)
        gradient: Numbers = np.random.randn(*found.shape)
        expected = back(gradient.copy())
        pair.numpy.traced(other)[1](gradient.copy())
        np.testing.assert_array_equal(back(gradient.copy()), expected)
