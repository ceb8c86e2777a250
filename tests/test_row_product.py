"""Products of single rows: the bits of the plain product, however the matrix lies in memory."""

import pytest
import torch

from encodec_cli.nn.big_pages import in_big_pages
from encodec_cli.nn.row_product import LastRowProduct, RowProduct, in_fast_memory


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
        assert torch.equal(product(row[None]), expected)
        assert torch.equal(among_several, expected[0])


@pytest.mark.parametrize("parts", [1, 16])
def test_a_last_row_gets_the_bits_it_has_after_others(parts: int) -> None:
    weight, bias, x = matrix(400, 200)
    product = LastRowProduct(weight, bias, rows=4, parts=parts)
    in_fast_memory([product])
    block = torch.cat([torch.zeros(3, 200), x[:1]])

    got = product(x[:1], torch.zeros(4, 200))

    assert got.shape == (parts, 400 // parts)
    assert torch.equal(got.reshape(-1), torch.addmm(bias, block, weight.t())[-1])


def test_where_parts_round_otherwise_the_matrix_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight, bias, x = matrix(64, 200)
    honest = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda *args: honest(*args).add_(1))
    row = RowProduct(weight, bias)
    last = LastRowProduct(weight, bias, rows=4, parts=2)

    expected = torch.addmm(bias, x[:1], weight.t())
    assert torch.equal(row(x[:1]), expected)
    assert torch.equal(row.rows(x)[:1], expected)
    torch.testing.assert_close(last(x[:1], torch.zeros(4, 200)).view(1, -1), expected)


def test_copies_in_big_pages_keep_shape_strides_and_values() -> None:
    tensors = [torch.randn(3, 5).t(), torch.empty(0), torch.randn(7)]

    copies = in_big_pages(tensors)

    assert [copy.stride() for copy in copies] == [(1, 5), (1,), (1,)]
    assert all(map(torch.equal, copies, tensors))
    copies[0].zero_()
    assert torch.equal(copies[2], tensors[2])
    assert all(copy.data_ptr() % 64 == 0 for copy in copies)
