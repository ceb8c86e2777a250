"""The compression model: one segment in, codes, the same segment out."""

from fractions import Fraction

import pytest
import torch
from tiny_models import segment_model, tiny_model, wave

from encodec_cli.errors import UsageError


def test_rates_are_those_of_the_config() -> None:
    model = tiny_model()
    assert (model.sample_rate, model.channels) == (1000, 1)
    assert model.frame_rate == Fraction(1000, 12)
    assert model.target_bandwidths == (0.7,)


@pytest.mark.parametrize("samples", [1, 11, 12, 13, 60])
def test_shapes(samples: int) -> None:
    model, x = tiny_model(), torch.randn(2, 1, samples)
    codes, scale = model.encode(x)
    assert scale is None
    assert codes.shape == (2, 3, -(-samples // 12))
    assert int(codes.max()) < 16
    assert model.decode(codes).shape == (2, 1, 12 * codes.shape[2])
    result = model(x)
    assert result.x.shape == x.shape
    assert torch.equal(result.codes, codes)


def test_forward_is_encode_and_decode() -> None:
    for model in (tiny_model(), segment_model()):
        x = torch.from_numpy(wave(50, model.channels))[None]
        torch.testing.assert_close(model(x).x, model.decode(*model.encode(x))[..., :50])


def test_fewer_codebooks_decode() -> None:
    model = tiny_model()
    codes, _ = model.encode(torch.randn(1, 1, 36))
    assert model.decode(codes[:, :1]).shape == (1, 1, 36)
    with pytest.raises(UsageError, match="4 codebooks: this quantizer has 1 to 3"):
        model.decode(codes[:, [0, 1, 2, 2]])


def test_the_target_bandwidth_sets_the_codebooks() -> None:
    model = tiny_model()
    per_codebook = 4 * 1000 / 12 / 1000
    for n_q in (1, 2, 3):
        model.set_target_bandwidth(n_q * per_codebook)
        assert model.quantizer.n_q == n_q
        assert model.encode(torch.randn(1, 1, 24))[0].shape[1] == n_q
        result = model(torch.randn(1, 1, 24))
        assert result.bandwidth.item() == pytest.approx(n_q * per_codebook)
    with pytest.raises(UsageError, match=r"bandwidth 9 kb/s: tiny codes 0\.333333 to 1 kb/s"):
        model.set_target_bandwidth(9)


def test_bandwidth_may_differ_from_item_to_item() -> None:
    model = tiny_model()
    result = model(torch.randn(3, 1, 24), n_q=torch.tensor([1, 2, 3]))
    assert result.bandwidth.tolist() == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("shape", [(1, 24), (1, 2, 24), (1, 1, 0)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"tiny codes \[B, 1, T\], T >= 1"):
        tiny_model().encode(torch.zeros(shape))


def test_the_scale_is_the_loudness_of_the_mean_channel() -> None:
    model = segment_model()
    x = torch.from_numpy(wave(48, 2))[None]
    scaled, scale = model.normalize(x)
    assert scale is not None
    assert scale.shape == (1, 1)
    assert scale.item() == pytest.approx(x.mean(1).pow(2).mean().sqrt().item(), rel=1e-5)
    torch.testing.assert_close(scaled * scale, x)
    # Louder by 2 (exact in floating point): the same codes, twice the sound.
    codes, one = model.encode(x)
    louder, two = model.encode(2 * x)
    assert torch.equal(codes, louder)
    assert one is not None
    assert two is not None
    torch.testing.assert_close(model.decode(louder, two), 2 * model.decode(codes, one))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_silence_has_a_scale_in_any_precision(dtype: torch.dtype) -> None:
    model = segment_model().to(dtype)
    codes, scale = model.encode(torch.zeros(1, 2, 60, dtype=dtype))
    assert scale is not None
    assert scale.item() > 0
    assert torch.isfinite(model.decode(codes, scale)).all()


def test_training_reaches_every_part() -> None:
    model = tiny_model().train()
    model.requires_grad_(True)
    result = model(torch.randn(2, 1, 48))
    (result.x.pow(2).mean() + result.penalty).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
