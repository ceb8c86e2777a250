"""Products of single rows: the bits of the plain product, however the matrix lies in memory."""

import pytest
import torch

from encodec_cli.engine.lm.big_pages import in_big_pages
from encodec_cli.engine.lm.row_product import LastRowProduct, RowProduct, in_fast_memory


def matrix(rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight, bias and five rows to multiply."""
    torch.manual_seed(rows + width)
    return torch.randn(rows, width), torch.randn(rows), torch.randn(5, width)


@pytest.mark.parametrize("rows", [200, 800, 8192, 30, 7])
@pytest.mark.parametrize("width", [200, 800, 12])
def test_a_row_gets_the_bits_of_the_plain_product(rows: int, width: int) -> None:
    weight, bias, x = matrix(rows, width)
    product = RowProduct(weight, bias)
    in_fast_memory([product])
    several = product.rows(x)

    for row, among_several in zip(x, several, strict=True):
        expected = torch.addmm(bias, row[None], weight.t())
        assert torch.equal(product(row), expected[0])
        assert torch.equal(among_several, expected[0])


@pytest.mark.parametrize("width", [200, 48, 7])
def test_a_last_row_gets_the_bits_it_has_after_others(width: int) -> None:
    weight, bias, x = matrix(400, width)
    product = LastRowProduct(weight, bias, [2, 200])
    in_fast_memory([product])
    out = torch.zeros(2, 200, 3)

    product(x[4], out[:, :, 1])

    assert torch.equal(out[:, :, 1].flatten(), torch.addmm(bias, x, weight.t())[4])
    assert not out[:, :, ::2].any()


def test_from_how_many_rows_on_all_have_those_bits_is_tried_out() -> None:
    weight, bias, x = matrix(400, 200)
    product = LastRowProduct(weight, bias, [400])
    out = torch.empty(400)

    assert 4 <= product.enough_rows <= 16
    x = x.repeat(4, 1)[: product.enough_rows]
    for row, expected in zip(x, torch.addmm(bias, x, weight.t()), strict=True):
        product(row, out)
        assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("odd", "enough"), [((), 4), ((4,), 5), ((9,), 10), ((5, 12), 13), ((18,), 16)]
)
def test_rows_that_kernels_round_otherwise_are_found(
    monkeypatch: pytest.MonkeyPatch, odd: tuple[int, ...], enough: int
) -> None:
    def addmm(bias: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows = torch.stack([(row * weight.t()).sum(1) for row in x]) + bias
        rows[-2, 3] += len(x) in odd
        return rows

    weight, bias, _ = matrix(40, 12)
    monkeypatch.setattr(torch, "addmm", addmm)

    assert LastRowProduct(weight, bias, [40]).enough_rows == enough


def test_where_parts_round_otherwise_the_matrix_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight, bias, x = matrix(64, 200)
    baddbmm, embedding_bag = torch.baddbmm, torch.embedding_bag
    monkeypatch.setattr(torch, "baddbmm", lambda *args: baddbmm(*args).add_(1))
    monkeypatch.setattr(torch, "embedding_bag", lambda *args: [embedding_bag(*args)[0].add_(1)])
    row, last = RowProduct(weight, bias), LastRowProduct(weight, bias, [64])
    out = torch.empty(64)
    last(x[0], out)

    expected = torch.addmm(bias, x[:1], weight.t())
    assert torch.equal(row(x[0]), expected[0])
    assert torch.equal(row.rows(x)[:1], expected)
    assert torch.equal(out, torch.addmm(bias, x[:1].expand(4, -1), weight.t())[0])


def test_copies_in_big_pages_keep_shape_strides_and_values() -> None:
    tensors = [torch.randn(3, 5).t(), torch.empty(0), torch.randn(7)]

    copies = in_big_pages(tensors)

    assert [copy.stride() for copy in copies] == [(1, 5), (1,), (1,)]
    assert all(map(torch.equal, copies, tensors))
    copies[0].zero_()
    assert torch.equal(copies[2], tensors[2])
    assert all(copy.data_ptr() % 64 == 0 for copy in copies)
