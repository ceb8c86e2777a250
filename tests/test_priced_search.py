"""The rate-aware search: what it minimises, and the plain search where prices are nothing."""

import itertools

import numpy as np
import pytest
from code_model_samples import SMALL, random_model
from numpy.typing import NDArray

from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.runtime.priced_search import encode_priced
from encodec_cli.runtime.search import Quantizer

Floats = NDArray[np.float32]
Codes = NDArray[np.uint16]
WIDTH = 6
ALL = SMALL.bins**2
"""Sums of two codebooks: a search that keeps them all is exhaustive."""


@pytest.fixture(scope="module")
def quantizer() -> Quantizer:
    draw = np.random.default_rng(3)
    return Quantizer(
        [(draw.standard_normal((SMALL.bins, WIDTH)) * 0.6**k).astype(np.float32) for k in range(4)]
    )


def random_latents(*lengths: int) -> list[Floats]:
    draw = np.random.default_rng(4)
    return [draw.standard_normal((t, WIDTH)).astype(np.float32) for t in lengths]


def nats(model: CodeModel, codes: Codes) -> float:
    """What all codes of a chunk take."""
    frequencies = model.frequencies(codes).astype(np.float64)
    own = np.take_along_axis(frequencies, codes.T[:, :, None].astype(np.intp), 2)[..., 0]
    return float(-np.log(own / frequencies.sum(2)).sum())


def test_at_strength_0_it_is_the_plain_search(quantizer: Quantizer) -> None:
    model = random_model()
    chunks = random_latents(7, 30, 1, 0)
    for n_q, beams in itertools.product((1, 2, 3), (1, 8)):
        found = encode_priced(quantizer, chunks, n_q, beams, model, 0.0)
        for codes, latents in zip(found, chunks, strict=True):
            assert codes.dtype == np.uint16
            np.testing.assert_array_equal(codes, quantizer.encode(latents, n_q, beams))


def worths(quantizer: Quantizer, latents: Floats, n_q: int, strength: float) -> NDArray[np.float64]:
    """What a nat costs in each frame: a share of the error of greedy codes."""
    last, after = (np.square(book).sum(1).mean() for book in quantizer.books[n_q - 1 : n_q + 1])
    greedy = latents - quantizer.decode(quantizer.encode(latents, n_q, 1))
    found: NDArray[np.float64] = np.square(greedy).sum(1) / 2 * (1 - after / last)
    return strength * found / np.log(SMALL.bins)


@pytest.mark.parametrize("strength", [0.3, 3.0])
def test_of_all_sums_it_takes_that_of_the_least_error_and_price(
    quantizer: Quantizer, strength: float
) -> None:
    model = random_model()
    price = np.zeros((SMALL.bins, SMALL.bins))  # of a chunk's first frame, by its two codes
    for first in range(SMALL.bins):
        [found] = model.frequencies(np.array([[first], [0]], np.uint16)).astype(np.float64)
        nats_of = -np.log(found / found.sum(1, keepdims=True))
        price[first] = nats_of[0, first] + nats_of[1]
    sums = quantizer.books[0][:, None] + quantizer.books[1]
    for latents in random_latents(*[1] * 20):
        [codes] = encode_priced(quantizer, [latents], 2, ALL, model, strength)
        [worth] = worths(quantizer, latents, 2, strength)
        scores = np.square(latents[0] - sums).sum(2) / 2 + worth * price
        assert scores[codes[0, 0], codes[1, 0]] == pytest.approx(scores.min(), rel=1e-4)


def test_prices_follow_the_codes_that_were_chosen(quantizer: Quantizer) -> None:
    """Greedy choices, frame by frame, with the frequencies that the file's codes will have."""
    model = random_model()
    [latents] = random_latents(12)
    [codes] = encode_priced(quantizer, [latents], 2, 1, model, 2.0)
    frequencies = model.frequencies(codes).astype(np.float64)
    price = -np.log(frequencies / frequencies.sum(2, keepdims=True))
    books = quantizer.books
    worth = worths(quantizer, latents, 2, 2.0)
    rests = latents.astype(np.float64)
    for k in range(2):
        error = np.square(rests[:, None] - books[k]).sum(2) / 2
        scores = error + worth[:, None] * price[:, k]
        own = np.take_along_axis(scores, codes[k][:, None].astype(np.intp), 1)[:, 0]
        np.testing.assert_allclose(own, scores.min(1), rtol=1e-4)
        rests = rests - books[k][codes[k]]


def test_chunks_do_not_depend_on_those_beside_them(quantizer: Quantizer) -> None:
    model = random_model()
    chunks = random_latents(3, 20, 0, 1, 9, 20)
    together = encode_priced(quantizer, chunks, 3, 4, model, 1.0)
    for codes, latents in zip(together, chunks, strict=True):
        [alone] = encode_priced(quantizer, [latents], 3, 4, model, 1.0)
        np.testing.assert_array_equal(codes, alone)
    assert encode_priced(quantizer, [], 3, 4, model, 1.0) == []


def test_more_strength_takes_fewer_bits(quantizer: Quantizer) -> None:
    model = random_model()
    chunks = random_latents(*[60] * 8)
    sizes = []
    for strength in (0.0, 0.5, 1.0, 2.0, 4.0):
        found = encode_priced(quantizer, chunks, 3, 8, model, strength)
        sizes.append(sum(nats(model, codes) for codes in found))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.9 * sizes[0]


def test_silence_and_what_is_no_number_are_coded(quantizer: Quantizer) -> None:
    model = random_model()
    silent = np.zeros((5, WIDTH), np.float32)
    wild = np.full((5, WIDTH), np.nan, np.float32)
    wild[2:] = np.inf
    for codes in encode_priced(quantizer, [silent, wild], 3, 8, model, 1.0):
        assert codes.shape == (3, 5)
        assert int(codes.max()) < SMALL.bins
