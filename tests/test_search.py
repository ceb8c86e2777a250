"""The search on PyTorch is that of the runtime; streams and commands search as they are told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_samples import RATE, make_model, mono_config, run, write_audio, write_model
from tiny_models import segment_model, tiny_model, wave
from torch import Tensor

from encodec_cli import decode, encode, read_ecdc
from encodec_cli.config.codec import MOST_BEAMS
from encodec_cli.engine import search
from encodec_cli.engine.search import TorchQuantizer
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.runtime.search import Quantizer
from encodec_cli.stream.encoder import stream_encoder


def random_books(*bins: int, width: int) -> list[Tensor]:
    """Gaussian codebooks of so many codes, each of smaller vectors than the one before."""
    return [torch.randn(count, width) * 0.7**k for k, count in enumerate(bins)]


def test_one_sequence_is_the_choice_of_the_modules_bit_for_bit() -> None:
    model = make_model(mono_config())
    latents = model.encoder(torch.randn(1, 1, 40 * 320))
    codes = model.quantizer.encode(latents)
    quantizer = TorchQuantizer([book.embed for book in model.quantizer.codebooks])
    assert torch.equal(quantizer.encode(latents[0].t(), 8, 1), codes[0])
    assert torch.equal(quantizer.decode(codes[0]).t(), model.quantizer.decode(codes)[0])


@pytest.mark.parametrize("beams", [1, 2, 8, MOST_BEAMS])
@pytest.mark.parametrize("bins", [(1024, 1024, 1024), (3, 70, 9), (2, 2, 2, 2, 2), (40,)])
def test_it_is_the_search_of_the_runtime(bins: tuple[int, ...], beams: int) -> None:
    books = random_books(*bins, width=12)
    quantizer, other = TorchQuantizer(books), Quantizer([book.numpy() for book in books])
    for frames in (0, 1, 30):
        latents = torch.randn(frames, 12)
        codes = quantizer.encode(latents, len(bins), beams)
        assert codes.dtype == torch.int64
        np.testing.assert_array_equal(
            codes.numpy(), other.encode(latents.numpy(), len(bins), beams)
        )


@pytest.mark.parametrize("setting", ["_MOST_SCORES", "_BLOCK"])
def test_portions_and_blocks_change_nothing(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    books, latents = random_books(*[256] * 5, width=8), torch.randn(200, 8).double()
    quantizer = TorchQuantizer([book.double() for book in books])
    codes = quantizer.encode(latents, 5, 4)
    monkeypatch.setattr(search, setting, 4 * 256 * 7 if setting == "_MOST_SCORES" else 1 << 30)
    assert torch.equal(quantizer.encode(latents, 5, 4), codes)


@pytest.mark.parametrize("make", [tiny_model, segment_model])
def test_streams_give_the_same_however_they_are_pushed(make: type[CompressionModel]) -> None:
    model = make()
    x = wave(700, model.channels)
    ecdc = encode(model, torch.from_numpy(x), search=8)
    encoder = stream_encoder(model, ecdc.header.codebooks, search=8)
    chunks = [
        chunk for start in range(0, 700, 37) for chunk in encoder.push(x[:, start : start + 37])
    ]
    chunks += encoder.finish()
    np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks], axis=1), ecdc.codes)
    assert not np.array_equal(encode(model, torch.from_numpy(x)).codes, ecdc.codes)
    same = encode(model, torch.from_numpy(x), search=1)
    np.testing.assert_array_equal(encode(model, torch.from_numpy(x)).codes, same.codes)
    assert decode(model, ecdc).shape == x.shape


def test_a_model_says_how_far_to_search_unless_told() -> None:
    model = tiny_model()
    x = torch.from_numpy(wave(700, model.channels))
    wide = CompressionModel(replace(model.config, search=8))
    wide.load_state_dict(model.state_dict())
    wide.eval()
    for told, expected in ((None, 8), (1, 1)):
        codes = encode(wide, x, search=told).codes
        np.testing.assert_array_equal(codes, encode(model, x, search=expected).codes)
    with pytest.raises(ConfigError, match="search: 0: give at least 1"):
        replace(model.config, search=0)


@pytest.mark.parametrize("beams", [0, -1, 257])
def test_beams_out_of_range(beams: int) -> None:
    with pytest.raises(UsageError, match=f"search {beams}: the encoder keeps 1 to 256"):
        encode(tiny_model(), torch.zeros(1, 100), search=beams)


def test_the_command_line_searches(tmp_path: Path) -> None:
    model = make_model(mono_config())
    weights = write_model(tmp_path / "m.safetensors", model)
    audio = write_audio(tmp_path / "x.wav", RATE)
    for beams in ("1", "4"):
        run("encode", audio, tmp_path / f"{beams}.ecdc", "-m", weights, "--search", beams).ok()
    run("encode", audio, tmp_path / "plain.ecdc", "-m", weights).ok()
    plain, one, four = (tmp_path / f"{name}.ecdc" for name in ("plain", "1", "4"))
    assert one.read_bytes() == plain.read_bytes()
    assert four.stat().st_size == plain.stat().st_size
    assert read_ecdc(four).header == read_ecdc(plain).header
    assert not np.array_equal(read_ecdc(four).codes, read_ecdc(plain).codes)
    run("decode", four, tmp_path / "four.wav", "-m", weights).ok()
    refused = run("encode", audio, "-m", weights, "--search", "0")
    assert (refused.code, "0 is not in the range" in refused.stderr) == (2, True)
    rows = run("evaluate", audio, "-m", weights, "-b", "6", "--search", "4", "--csv").ok().text
    assert ",tiny24 search 4,6.0," in rows
