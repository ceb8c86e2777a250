"""Products of single rows: the bits of the plain product, however the matrix lies in memory."""

import numpy as np
import pytest
import torch

from encodec_cli.nn.row_product import LastRowProduct, RowProduct


def matrix(rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight, bias and five rows to multiply."""
    torch.manual_seed(rows + width)
    return torch.randn(rows, width), torch.randn(rows), torch.randn(5, width)


@pytest.mark.parametrize("rows", [200, 800, 8192, 30, 7])
@pytest.mark.parametrize("width", [200, 800, 12])
def test_a_row_gets_the_bits_of_the_plain_product(rows: int, width: int) -> None:
    weight, bias, x = matrix(rows, width)
    product = RowProduct(weight, bias)
    one, several = product.bind(), product.rows(x)

    for row, among_several in zip(x, several, strict=True):
        expected = torch.addmm(bias, row[None], weight.t())[0]
        np.testing.assert_array_equal(one(row.numpy()), expected.numpy())
        np.testing.assert_array_equal(among_several.numpy(), expected.numpy())


def test_the_row_may_lie_where_another_product_puts_it() -> None:
    weight, bias, x = matrix(64, 200)
    first = RowProduct(torch.eye(200), torch.zeros(200)).bind()
    second = RowProduct(weight, bias).bind(first.y_tensor)

    first(x[0].numpy())
    second.run()

    expected = torch.addmm(bias, x[:1], weight.t())[0]
    np.testing.assert_array_equal(second.y, expected.numpy())


@pytest.mark.parametrize("parts", [1, 16])
def test_a_last_row_gets_the_bits_it_has_after_others(parts: int) -> None:
    weight, bias, x = matrix(400, 200)
    product = LastRowProduct(weight, bias, rows=4, parts=parts).bind()
    block = torch.cat([torch.zeros(3, 200), x[:1]])

    got = product(x[0].numpy())

    assert got.shape == (parts, 400 // parts)
    expected = torch.addmm(bias, block, weight.t())[-1]
    np.testing.assert_array_equal(got.reshape(-1), expected.numpy())


def test_where_parts_round_otherwise_the_matrix_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weight, bias, x = matrix(64, 200)
    honest = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda *args, out=None: honest(*args, out=out).add_(1))
    product = RowProduct(weight, bias)
    row, several = product.bind(), product.rows(x)
    last = LastRowProduct(weight, bias, rows=4, parts=2).bind()

    expected = torch.addmm(bias, x[:1], weight.t())[0]
    np.testing.assert_array_equal(row(x[0].numpy()), expected.numpy())
    np.testing.assert_array_equal(several[0].numpy(), expected.numpy())
    np.testing.assert_allclose(last(x[0].numpy()).reshape(-1), expected.numpy(), atol=1e-4)
