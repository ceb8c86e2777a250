"""Residual vector quantization: codes and sums, learning, penalties, dropout, bandwidth."""

import inspect
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from encodec_cli.config.quantizer import QuantizerConfig
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.nn import EuclideanCodebook, ResidualVectorQuantizer, VectorQuantization
from encodec_cli.nn.codebook import kmeans, sample_vectors
from encodec_cli.nn.vq import orthogonal_loss

DEFAULTS = {
    "dimension": 256,
    "n_q": 8,
    "q_dropout": False,
    "bins": 1024,
    "decay": 0.99,
    "kmeans_init": True,
    "kmeans_iters": 10,
    "threshold_ema_dead_code": 2.0,
    "orthogonal_reg_weight": 0.0,
    "orthogonal_reg_active_codes_only": False,
    "orthogonal_reg_max_codes": None,
}


def quantizer(**arguments: Any) -> ResidualVectorQuantizer:
    """4 codebooks of 8 codes in 3 dimensions, random, not from k-means."""
    small: dict[str, Any] = {"dimension": 3, "n_q": 4, "bins": 8, "kmeans_init": False}
    return ResidualVectorQuantizer(**(small | arguments))


def test_the_signature_is_audiocrafts() -> None:
    parameters = inspect.signature(ResidualVectorQuantizer).parameters
    assert {name: p.default for name, p in parameters.items()} == DEFAULTS
    assert list(parameters) == list(DEFAULTS)
    made = ResidualVectorQuantizer()
    assert (made.n_q, made.max_n_q) == (8, 8)
    assert [tuple(book.embed.shape) for book in made.codebooks] == [(1024, 256)] * 8


def test_arguments_may_be_positional() -> None:
    assert ResidualVectorQuantizer(5, 2).config == QuantizerConfig(5, 2)


def test_shapes() -> None:
    result = quantizer().eval()(torch.randn(2, 3, 7), 75)
    assert result.x.shape == (2, 3, 7)
    assert result.codes.shape == (2, 4, 7)
    assert result.codes.dtype == torch.int64
    assert result.bandwidth.tolist() == pytest.approx([4 * 3 * 75 / 1000] * 2)
    assert result.penalty == 0


def test_encode_and_decode_are_the_forward_pass() -> None:
    rvq, x = quantizer().eval(), torch.randn(2, 3, 50)
    for n_q in (1, 2, 4):
        rvq.n_q = n_q
        result = rvq(x, 75)
        assert torch.equal(rvq.encode(x), result.codes)
        assert torch.equal(rvq.decode(result.codes), result.x)


def test_codes_are_the_nearest_of_what_is_left() -> None:
    rvq, x = quantizer().eval(), torch.randn(1, 3, 40)
    codes = rvq.encode(x)[0]
    residual = x[0].t()
    for k, book in enumerate(rvq.codebooks):
        nearest = torch.cdist(residual, book.embed).argmin(1)
        assert torch.equal(codes[k], nearest)
        residual = residual - book.embed[nearest]
    torch.testing.assert_close(rvq.decode(codes[None])[0].t(), x[0].t() - residual)


def test_fewer_codebooks_are_a_prefix_of_more() -> None:
    rvq, x = quantizer().eval(), torch.randn(1, 3, 20)
    full = rvq.encode(x)
    rvq.n_q = 2
    assert torch.equal(rvq.encode(x), full[:, :2])
    assert torch.equal(rvq(x, 75).x, rvq.decode(full[:, :2]))


def test_numbers_of_codebooks_are_checked() -> None:
    rvq = quantizer()
    for wrong in (0, 5):
        with pytest.raises(UsageError, match=f"{wrong} codebooks: this quantizer has 1 to 4"):
            rvq.n_q = wrong
        with pytest.raises(UsageError, match=f"{wrong} codebooks: this quantizer has 1 to 4"):
            rvq.decode(torch.zeros(1, wrong, 3, dtype=torch.long))
    with pytest.raises(TypeError, match="either config, or the arguments"):
        ResidualVectorQuantizer(3, config=QuantizerConfig())


def test_each_item_may_have_its_own_number() -> None:
    rvq, x = quantizer().eval(), torch.randn(3, 3, 9)
    result = rvq(x, 50, n_q=torch.tensor([1, 3, 4]))
    assert result.codes.shape == (3, 4, 9)
    for item, count in enumerate([1, 3, 4]):
        torch.testing.assert_close(
            result.x[item], rvq.decode(result.codes[item : item + 1, :count])[0]
        )
    assert result.bandwidth.tolist() == pytest.approx([0.15, 0.45, 0.6])


def test_gradients_pass_straight_through() -> None:
    for n_q in (None, torch.tensor([1, 4])):
        rvq = quantizer().train()
        x = torch.randn(2, 3, 5, requires_grad=True)
        weight = torch.randn(2, 3, 5)
        (rvq(x, 75, n_q).x * weight).sum().backward()
        torch.testing.assert_close(x.grad, weight)


def test_dropout_draws_a_number_for_each_item_in_training_only() -> None:
    rvq, x = quantizer(q_dropout=True), torch.randn(200, 3, 1)
    rvq.n_q = 3
    drawn = rvq.train()(x, 1000).bandwidth / 3
    assert sorted(set(drawn.round().int().tolist())) == [1, 2, 3]
    assert set((rvq.eval()(x, 1000).bandwidth / 3).tolist()) == {3.0}
    without = quantizer().train()
    assert set((without(x, 1000).bandwidth / 3).tolist()) == {4.0}


# ---- learning


def test_kmeans_finds_separate_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = centres.repeat(50, 1) + torch.randn(150, 2) * 0.1
    # Lloyd's algorithm may start with two means in one cluster: the best of a few draws counts.
    errors = []
    for _ in range(8):
        means, counts = kmeans(points, 3)
        assert counts.sum() == 150
        errors.append(torch.cdist(centres, means).min(1).values.max().item())
    assert min(errors) < 0.1


def test_kmeans_improves_with_iterations_and_keeps_empty_clusters() -> None:
    points = torch.randn(200, 4)

    def error(iterations: int) -> float:
        torch.manual_seed(3)
        means, _ = kmeans(points, 8, iterations)
        return torch.cdist(points, means).min(1).values.pow(2).mean().item()

    assert error(10) < error(1) < error(0)
    means, counts = kmeans(torch.ones(5, 2), 3)
    assert torch.equal(means, torch.ones(3, 2))
    assert sorted(counts.tolist()) == [0, 0, 5]


def test_samples_repeat_only_if_there_are_too_few() -> None:
    vectors = torch.arange(6.0)[:, None]
    assert sample_vectors(vectors, 6).flatten().sort().values.tolist() == [0, 1, 2, 3, 4, 5]
    assert set(sample_vectors(vectors[:2], 40).flatten().tolist()) == {0.0, 1.0}


def test_the_first_training_pass_starts_from_kmeans() -> None:
    points = torch.randn(1, 3, 300)
    rvq = quantizer(kmeans_init=True).train()
    assert not rvq.codebooks[0].embed.any()
    error = (rvq(points, 75).x - points).pow(2).mean()
    # 4 codebooks of 8 code 3-dimensional noise far better than its mean does.
    assert error < 0.1 * points.pow(2).mean()
    assert all(book.inited.item() == 1 for book in rvq.codebooks)

    fixed = quantizer().train().codebooks[0]
    before = fixed.embed.clone()
    fixed.start(points[0].t())
    assert torch.equal(fixed.embed, before)


def test_more_kmeans_iterations_start_nearer() -> None:
    points = torch.randn(400, 3)
    errors = []
    for iterations in (1, 20):
        torch.manual_seed(4)
        book = EuclideanCodebook(3, 16, kmeans_init=True, kmeans_iters=iterations)
        book.start(points)
        errors.append((book.decode(book.encode(points)) - points).pow(2).mean().item())
    assert errors[1] < errors[0]


def test_evaluation_does_not_learn() -> None:
    rvq = quantizer(kmeans_init=True).eval()
    before = {name: value.clone() for name, value in rvq.state_dict().items()}
    rvq(torch.randn(1, 3, 50), 75)
    assert all(torch.equal(value, before[name]) for name, value in rvq.state_dict().items())


def two_clusters(decay: float = 0.5, threshold: float = 0.0) -> tuple[EuclideanCodebook, Tensor]:
    """A codebook at 0 and 10, in use equally, and points around 1 and 9."""
    book = EuclideanCodebook(1, 2, decay=decay, threshold_ema_dead_code=threshold).train()
    book.embed.copy_(torch.tensor([[0.0], [10.0]]))
    book.embed_avg.copy_(book.embed * 4)
    book.cluster_size.fill_(4.0)
    return book, torch.tensor([[0.5], [1.5], [0.0], [2.0], [8.5], [9.5], [8.0], [10.0]])


def test_averages_move_codes_to_the_means_of_their_clusters() -> None:
    book, points = two_clusters()
    book(points)
    # Half way after one batch, as the decay says; there after many.
    torch.testing.assert_close(book.embed, torch.tensor([[0.5], [9.5]]), rtol=0, atol=1e-4)
    for _ in range(30):
        book(points)
    torch.testing.assert_close(book.embed, torch.tensor([[1.0], [9.0]]), rtol=0, atol=1e-4)
    torch.testing.assert_close(book.cluster_size, torch.tensor([4.0, 4.0]))


def test_decay_sets_the_pace() -> None:
    moved = []
    for decay in (0.9, 0.5):
        book, points = two_clusters(decay)
        book(points)
        moved.append(book.embed[0].item())
    assert moved == pytest.approx([0.1, 0.5], abs=1e-4)


def test_dead_codes_are_replaced_by_vectors_of_the_batch() -> None:
    book, points = two_clusters(threshold=1.0)
    book.embed[1], book.embed_avg[1], book.cluster_size[1] = 1e3, 1e3 * 0.5, 0.5
    book(points)
    assert (points - book.embed[1]).abs().min() < 1e-3
    assert book.cluster_size[1] == 2.0  # twice the threshold: it outlives the next batch

    kept, points = two_clusters(threshold=0.25)
    kept.embed[1], kept.embed_avg[1], kept.cluster_size[1] = 1e3, 1e3 * 0.5, 0.5
    kept(points)
    assert kept.embed[1].item() == pytest.approx(1e3, rel=1e-3)


def test_unused_codes_that_may_live_stay_where_they_are() -> None:
    book = EuclideanCodebook(3, 8, threshold_ema_dead_code=0.0).train()
    before = book.embed.clone()
    _, codes = book(torch.randn(1, 3))
    unused = torch.arange(8) != codes
    torch.testing.assert_close(book.embed[unused], before[unused], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(book.embed[codes], before[codes], rtol=1e-3, atol=1e-3)


def test_learning_fits_the_data() -> None:
    rvq = quantizer(decay=0.8).train()
    errors = []
    for _ in range(60):
        x = torch.randn(4, 3, 64)
        errors.append((rvq(x, 75).x - x).pow(2).mean().item())
    assert sum(errors[-5:]) < 0.3 * sum(errors[:5])


def test_half_precision_latents_learn_in_full_precision() -> None:
    rvq = quantizer(kmeans_init=True).train()
    result = rvq(torch.randn(1, 3, 64).bfloat16(), 75)
    assert result.codes.shape == (1, 4, 64)
    assert all(book.embed.dtype == torch.float32 for book in rvq.codebooks)


def test_codebooks_that_were_loaded_do_not_start_again() -> None:
    trained = quantizer(kmeans_init=True).train()
    trained(torch.randn(1, 3, 64), 75)
    fresh = quantizer(kmeans_init=True)
    fresh.load_state_dict(trained.state_dict())
    before = fresh.codebooks[0].embed.clone()
    fresh.codebooks[0].start(torch.randn(64, 3) + 100)
    assert torch.equal(fresh.codebooks[0].embed, before)


# ---- penalties


def test_commitment_is_the_mean_squared_distance_to_the_code() -> None:
    rvq, x = quantizer(threshold_ema_dead_code=0.0), torch.randn(2, 3, 11)
    codes = rvq.eval().encode(x)
    residual, distances = x, []
    for k, layer in enumerate(rvq.vq.layers):
        quantized = layer.decode(codes[:, k])
        distances.append(F.mse_loss(residual, quantized))
        residual = residual - quantized
    result = rvq.train()(x, 75)
    assert result.penalty is not None
    torch.testing.assert_close(result.penalty, torch.stack(distances).mean())


def test_commitment_pulls_latents_to_their_codes() -> None:
    rvq = quantizer(n_q=1, threshold_ema_dead_code=0.0)
    x = torch.randn(1, 3, 6, requires_grad=True)
    with torch.no_grad():
        to_code = rvq.decode(rvq.encode(x)) - x
    rvq.train()
    penalty = rvq(x, 75).penalty
    assert penalty is not None
    penalty.backward()
    assert x.grad is not None
    # Down the gradient is towards the code; the penalty is a mean over 18 squares.
    torch.testing.assert_close(-x.grad, 2 * to_code / 18)


def test_commitment_weight_scales_the_penalty() -> None:
    x, found = torch.randn(1, 3, 9), []
    for weight in (0.0, 1.0, 0.25):
        torch.manual_seed(0)
        layer = VectorQuantization(
            3, 8, commitment_weight=weight, threshold_ema_dead_code=0.0
        ).train()
        found.append(layer(x)[2].item())
    assert found[0] == 0
    assert found[2] == pytest.approx(0.25 * found[1])


def test_orthogonality_is_the_mean_squared_cosine_beside_the_diagonal() -> None:
    rows = torch.randn(5, 3)
    by_hand = sum(
        F.cosine_similarity(rows[i], rows[j], dim=0).item() ** 2
        for i in range(5)
        for j in range(5)
        if i != j
    )
    assert orthogonal_loss(rows).item() == pytest.approx(by_hand / 25, abs=1e-6)
    assert orthogonal_loss(torch.eye(4)).item() == pytest.approx(0, abs=1e-7)
    assert orthogonal_loss(torch.ones(4, 2)).item() == pytest.approx(12 / 16)


def with_orthogonality(**arguments: Any) -> ResidualVectorQuantizer:
    torch.manual_seed(2)
    return quantizer(
        n_q=1, orthogonal_reg_weight=10.0, threshold_ema_dead_code=0.0, decay=0.999, **arguments
    )


def test_the_orthogonality_penalty_is_added_with_its_weight() -> None:
    x = torch.randn(1, 3, 30)
    torch.manual_seed(2)
    plain = quantizer(n_q=1, threshold_ema_dead_code=0.0, decay=0.999).train()
    book = plain.codebooks[0].embed.clone()
    rvq = with_orthogonality().train()
    assert torch.equal(rvq.codebooks[0].embed, book)
    # The penalty is of the codebook as this pass has moved it.
    with_penalty, without = rvq(x, 75).penalty, plain(x, 75).penalty
    expected = without + 10 * orthogonal_loss(rvq.codebooks[0].embed)
    torch.testing.assert_close(with_penalty, expected)


def test_only_active_codes_or_only_some_codes_are_penalised() -> None:
    x = torch.zeros(1, 3, 4)  # all in one cluster: a single active code has no pairs
    active = with_orthogonality(orthogonal_reg_active_codes_only=True).train()
    everything = with_orthogonality().train()
    two = with_orthogonality(orthogonal_reg_max_codes=2).train()
    values = [m(x, 75).penalty.item() for m in (active, everything, two)]
    base = values[0]
    assert values[1] > base + 0.1
    book = everything.codebooks[0].embed.detach()
    pairs = [
        10 * float(orthogonal_loss(book[[i, j]])) for i in range(8) for j in range(8) if i != j
    ]
    assert min(abs(values[2] - base - pair) for pair in pairs) < 1e-3


def test_optimising_the_penalty_lowers_the_cosines() -> None:
    """Averages and optimizer share the codebook: neither undoes the other."""
    cosines = {}
    for weight in (0.0, 10.0):
        torch.manual_seed(2)
        rvq = quantizer(n_q=1, orthogonal_reg_weight=weight, threshold_ema_dead_code=0.0).train()
        learnt = list(rvq.parameters())
        assert len(learnt) == (1 if weight else 0)
        optimizer = torch.optim.SGD(learnt, lr=0.05) if learnt else None
        x = torch.randn(1, 3, 64) + 2.0
        for _ in range(60):
            penalty = rvq(x, 75).penalty
            if optimizer is not None:
                optimizer.zero_grad()
                penalty.backward()
                optimizer.step()
        cosines[weight] = orthogonal_loss(rvq.codebooks[0].embed.detach()).item()
    assert cosines[10.0] < 0.8 * cosines[0.0]


def test_channels_may_come_last() -> None:
    first, last = VectorQuantization(6, 8).eval(), VectorQuantization(6, 8, channels_last=True)
    last.load_state_dict(first.state_dict())
    x = torch.randn(1, 6, 5)
    quantized, codes, _ = first(x)
    torch.testing.assert_close(first.decode(codes), quantized)
    torch.testing.assert_close(last.eval()(x.transpose(1, 2))[0], quantized.transpose(1, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_q": 0}, "n_q: 0: give at least 1"),
        ({"bins": 1}, "bins: 1: give at least 2"),
        ({"bins": 65537}, "bins: 65537: codes are stored in 16 bits"),
        ({"decay": 1.0}, r"decay: 1\.0: give 0 <= decay < 1"),
        ({"kmeans_iters": 0}, "kmeans_iters: 0: give at least 1"),
        ({"threshold_ema_dead_code": -1}, "threshold_ema_dead_code: -1: give at least 0"),
        ({"orthogonal_reg_weight": -1}, "orthogonal_reg_weight: -1: give at least 0"),
        ({"orthogonal_reg_max_codes": 0}, "orthogonal_reg_max_codes: 0: give at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        quantizer(**arguments)
