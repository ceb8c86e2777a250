"""Beam search over the residual stages: greedy with one beam, exhaustive with enough, exact."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_samples import RATE, make_model, mono_config, run, write_audio, write_model
from tiny_models import segment_model, tiny_model, wave
from torch import Tensor

from encodec_cli import decode, encode, read_ecdc
from encodec_cli.engine import search
from encodec_cli.engine.search import beam_search
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.encoder import stream_encoder


def random_tables(stages: int, bins: int, width: int) -> list[Tensor]:
    return [torch.randn(bins, width) * 0.7**k for k in range(stages)]


def errors(vectors: Tensor, tables: list[Tensor], codes: Tensor) -> Tensor:
    """Squared distance `[M]` of each vector to what its codes decode to."""
    decoded = sum(table[row] for table, row in zip(tables, codes, strict=True))
    return (vectors - decoded).pow(2).sum(1)


def test_one_beam_is_the_greedy_choice_bit_for_bit() -> None:
    model = make_model(mono_config())
    latents = model.encoder(torch.randn(1, 1, 40 * 320))
    greedy = model.quantizer.encode(latents)[0]
    tables = model.quantizer.tables(8)
    assert torch.equal(beam_search(latents[0].t(), tables, 1), greedy)


def test_enough_beams_find_the_best_of_all_sums() -> None:
    tables, vectors = random_tables(3, 5, 2), torch.randn(50, 2)
    every = torch.tensor(list(itertools.product(range(5), repeat=3))).t()
    sums = sum(table[row] for table, row in zip(tables, every, strict=True))
    best = torch.cdist(vectors, sums).pow(2).amin(1)
    found = errors(vectors, tables, beam_search(vectors, tables, 25))
    torch.testing.assert_close(found, best, rtol=1e-4, atol=1e-6)
    greedy = errors(vectors, tables, beam_search(vectors, tables, 1))
    assert bool((greedy > found + 1e-6).any())


def test_more_beams_come_nearer() -> None:
    tables, vectors = random_tables(6, 64, 8), torch.randn(300, 8)
    means = [
        float(errors(vectors, tables, beam_search(vectors, tables, beams)).mean())
        for beams in (1, 2, 4, 16)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.8 * means[0]


def test_tables_of_unequal_size() -> None:
    tables = [torch.randn(3, 4), torch.randn(70, 4), torch.randn(9, 4)]
    codes = beam_search(torch.randn(20, 4), tables, 16)
    assert codes.shape == (3, 20)
    assert all(int(row.max()) < len(table) for row, table in zip(codes, tables, strict=True))
    assert beam_search(torch.randn(0, 4), tables, 16).shape == (3, 0)


@pytest.mark.parametrize("setting", ["_MOST_SCORES", "_BLOCK"])
def test_portions_and_blocks_change_nothing(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables, vectors = random_tables(5, 256, 8), torch.randn(200, 8).double()
    codes = beam_search(vectors, tables, 4)
    monkeypatch.setattr(search, setting, 4 * 256 * 7 if setting == "_MOST_SCORES" else 1 << 30)
    assert torch.equal(beam_search(vectors, tables, 4), codes)


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
