"""The quantizer in numpy: greedy with one sequence, exhaustive with enough, bounded, in range."""

import itertools
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from encodec_cli.config.codec import MOST_BEAMS
from encodec_cli.runtime import search
from encodec_cli.runtime.search import Quantizer

Floats = NDArray[np.float32]


def random_books(*bins: int, width: int, seed: int = 0) -> list[Floats]:
    """Gaussian codebooks of so many codes, each of smaller vectors than the one before."""
    draw = np.random.default_rng(seed)
    return [
        (draw.standard_normal((count, width)) * 0.7**k).astype(np.float32)
        for k, count in enumerate(bins)
    ]


def random_latents(frames: int, width: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal((frames, width)).astype(np.float32)


def plain_search(latents: Floats, books: list[Floats], beams: int) -> NDArray[np.uint16]:
    """The M-L search as the paper tells it: frame by frame, all sums, sorted, in fp64."""
    found = []
    for frame in latents.astype(np.float64):
        kept: list[tuple[tuple[int, ...], NDArray[np.float64]]] = [((), frame)]
        for k, book in enumerate(books):
            every = [
                ((*codes, code), rest - vector)
                for codes, rest in kept
                for code, vector in enumerate(book.astype(np.float64))
            ]
            every.sort(key=lambda sequence: float(sequence[1] @ sequence[1]))
            kept = every[: 1 if k == len(books) - 1 else beams]
        found.append(kept[0][0])
    return np.array(found, dtype=np.uint16).reshape(-1, len(books)).T


def errors(latents: Floats, books: list[Floats], codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Squared distance `[T]` of latents to what their codes decode to."""
    left = latents.astype(np.float64)
    for book, row in zip(books, codes, strict=True):
        left -= book[row]
    squares: NDArray[np.float64] = np.square(left).sum(axis=1)
    return squares


@pytest.mark.parametrize("beams", [1, 2, 3, 8, 40, MOST_BEAMS])
@pytest.mark.parametrize(
    ("bins", "width"), [((16, 16, 16), 4), ((2, 2, 2, 2), 1), ((70, 3, 33, 5), 6), ((64,), 3)]
)
def test_it_is_the_search_of_the_paper(bins: tuple[int, ...], width: int, beams: int) -> None:
    books, latents = random_books(*bins, width=width), random_latents(10, width)
    codes = Quantizer(books).encode(latents, len(bins), beams)
    assert codes.dtype == np.uint16
    np.testing.assert_array_equal(codes, plain_search(latents, books, beams))


def test_one_sequence_takes_the_nearest_of_what_is_left() -> None:
    books, left = random_books(100, 100, 100, width=8), random_latents(200, 8)
    codes = Quantizer(books).encode(left, 3, 1)
    for book, row in zip(books, codes, strict=True):
        distances = np.square(left[:, None].astype(np.float64) - book).sum(axis=2)
        np.testing.assert_array_equal(row, distances.argmin(axis=1))
        left = left - book[row]


def test_enough_sequences_find_the_best_of_all_sums() -> None:
    books, latents = random_books(5, 5, 5, width=2), random_latents(50, 2)
    every = np.array(list(itertools.product(range(5), repeat=3)), dtype=np.uint16).T
    best = np.min([errors(latents, books, np.tile(c[:, None], 50)) for c in every.T], axis=0)
    quantizer = Quantizer(books)
    found = errors(latents, books, quantizer.encode(latents, 3, 25))
    np.testing.assert_allclose(found, best, rtol=1e-5, atol=1e-9)
    assert (errors(latents, books, quantizer.encode(latents, 3, 1)) > best + 1e-6).any()


def test_more_sequences_come_nearer_on_average() -> None:
    books, latents = random_books(*[64] * 6, width=8), random_latents(300, 8)
    quantizer = Quantizer(books)
    means = [
        float(errors(latents, books, quantizer.encode(latents, 6, beams)).mean())
        for beams in (1, 2, 4, 16)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.8 * means[0]


@pytest.mark.parametrize("beams", [1, 8])
def test_frames_have_no_company(beams: int) -> None:
    """Whatever comes with a frame, and in whatever portions, its codes are the same."""
    quantizer = Quantizer(random_books(*[256] * 4, width=16))
    latents = random_latents(150, 16)
    whole = quantizer.encode(latents, 4, beams)
    for size in (1, 7, 80):
        parts = [
            quantizer.encode(latents[start : start + size], 4, beams)
            for start in range(0, 150, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer, latents = Quantizer(random_books(*[256] * 4, width=16)), random_latents(150, 16)
    whole = quantizer.encode(latents, 4, 4)
    monkeypatch.setattr(search, "_MOST_SCORES", 4 * 256 * 7)
    np.testing.assert_array_equal(quantizer.encode(latents, 4, 4), whole)


def test_memory_does_not_grow_with_the_frames() -> None:
    latents = random_latents(5_000, 4)
    quantizer = Quantizer(random_books(256, 256, width=4))
    tracemalloc.start()
    try:
        codes = quantizer.encode(latents, 2, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert codes.shape == (2, 5_000)
    assert peak < 24 << 20  # all the scores at once would take 330 MB


@pytest.mark.parametrize("beams", [1, 16])
def test_no_frames_and_one(beams: int) -> None:
    books = random_books(9, 9, width=3)
    assert Quantizer(books).encode(np.zeros((0, 3), np.float32), 2, beams).shape == (2, 0)
    assert Quantizer(books).decode(np.zeros((2, 0), np.uint16)).shape == (0, 3)
    one = random_latents(1, 3)
    codes = Quantizer(books).encode(one, 2, beams)
    np.testing.assert_array_equal(codes, plain_search(one, books, beams))


def test_fewer_codebooks_than_there_are() -> None:
    books, latents = random_books(20, 20, 20, width=4), random_latents(30, 4)
    codes = Quantizer(books).encode(latents, 2, 4)
    np.testing.assert_array_equal(codes, Quantizer(books[:2]).encode(latents, 2, 4))


def test_the_largest_codebook() -> None:
    books = random_books(65536, 65536, width=3)
    books[1] *= 0.01
    pairs = np.array([[7, 40_000, 65_535], [65_535, 0, 50_000]], dtype=np.uint16)
    latents = books[0][pairs[0]] + books[1][pairs[1]]
    quantizer = Quantizer(books)
    assert (errors(latents, books, quantizer.encode(latents, 2, 2)) < 1e-4).all()
    np.testing.assert_array_equal(quantizer.decode(pairs), latents)


def test_decoding_adds_the_vectors() -> None:
    books = random_books(65, 7, 3, width=5)
    codes = np.stack([np.random.default_rng(2).integers(0, len(b), 40) for b in books])
    quantizer = Quantizer(books)
    for count in (1, 2, 3):
        expected = np.zeros((40, 5), np.float32)
        for book, row in zip(books[:count], codes[:count], strict=True):
            expected += book[row]
        decoded = quantizer.decode(codes[:count].astype(np.uint16))
        assert decoded.dtype == np.float32
        np.testing.assert_array_equal(decoded, expected)
    with pytest.raises(IndexError):
        quantizer.decode(np.array([[65]], dtype=np.uint16))


@pytest.mark.parametrize("beams", [1, 2, 8, 200])
def test_codes_are_within_their_codebooks_whatever_comes(beams: int) -> None:
    """NaN, infinities, the largest numbers, equal codes: no warning, and codes that decode."""
    latents = np.zeros((12, 3), np.float32)
    latents[1] = np.nan
    latents[2] = np.inf
    latents[3] = -np.inf
    latents[4:8, 1] = [3e38, -3e38, np.nan, 1e-45]
    latents[8:] = random_latents(4, 3)
    for books in (
        random_books(5, 33, 2, width=3),
        [np.zeros((40, 3), np.float32)] * 3,
        [np.repeat(book, 9, axis=0) for book in random_books(5, 5, 5, width=3)],
    ):
        quantizer = Quantizer(books)
        codes = quantizer.encode(latents, 3, beams)
        assert (codes.max(axis=1) < [len(book) for book in books]).all()
        assert np.isfinite(quantizer.decode(codes)).all()
        left = errors(latents[8:], books, codes[:, 8:])
        greedy = errors(latents[8:], books, quantizer.encode(latents[8:], 3, 1))
        assert left.mean() <= greedy.mean() + 1e-6


def test_latents_are_left_as_they_were_and_results_are_the_callers() -> None:
    quantizer, latents = Quantizer(random_books(64, 64, width=4)), random_latents(20, 4)
    latents.flags.writeable = False
    first = quantizer.encode(latents, 2, 4)
    kept = first.copy()
    decoded = quantizer.decode(first)
    kept_too = decoded.copy()
    quantizer.decode(quantizer.encode(-latents, 2, 4))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(decoded, kept_too)


def test_threads_share_a_quantizer() -> None:
    quantizer = Quantizer(random_books(*[256] * 4, width=16))
    blocks = [random_latents(40 + 5 * n, 16, seed=n) for n in range(12)]
    alone = [quantizer.encode(block, 4, 8) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda block: quantizer.encode(block, 4, 8), blocks * 3))
    for one, other in zip(alone * 3, together, strict=True):
        np.testing.assert_array_equal(one, other)
