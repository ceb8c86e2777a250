"""Same weights, same sound, same bits as Meta's `encodec` package; also from stored values."""

import importlib
import io
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from meta_models import (
    FILTER,
    assert_same_codes_but_for_ties,
    exact_wave,
    import_meta,
    meta_model,
    music,
    save_state,
)
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.checkpoints.foreign.meta import rename_meta_state
from encodec_cli.checkpoints.modules import build_and_load, load_module
from encodec_cli.config.codec import CodecConfig
from encodec_cli.container import Ecdc, read_ecdc, write_ecdc
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.signals import decode, encode, header_for

pytestmark = pytest.mark.filterwarnings(FILTER)

GOLDEN = Path(__file__).parent / "golden"
NAMES = ["encodec_24khz", "encodec_48khz"]


@dataclass
class Pair:
    meta: Any
    ours: CompressionModel

    def books(self) -> list[Tensor]:
        return [layer._codebook.embed for layer in self.meta.quantizer.vq.layers]

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """Meta's latents of one segment `[1, C, T]`, `[D, T']`."""
        if self.meta.normalize:
            x = x / (1e-8 + x.mean(1, keepdim=True).pow(2).mean(2, keepdim=True).sqrt())
        out: Tensor = self.meta.encoder(x)[0]
        return out


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Meta's two models, and ours loaded from the files that Meta's state is saved in."""
    folder = tmp_path_factory.mktemp("meta")
    made = {}
    for name in NAMES:
        meta = meta_model(name)
        ours = load_module(save_state(meta, folder / f"{name}.th"))
        assert ours.config.name == name
        made[name] = Pair(meta, ours)
    return made


WHOLE_LENGTHS = [1, 100, 319, 320, 321, 6720, 52345]
SEGMENT_LENGTHS = [1, 321, 47521, 100000]


def cases() -> list[Any]:
    return [pytest.param(NAMES[0], n, id=f"24khz-{n}") for n in WHOLE_LENGTHS] + [
        pytest.param(NAMES[1], n, id=f"48khz-{n}") for n in SEGMENT_LENGTHS
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "samples"), cases())
@torch.no_grad()
def test_codes_and_audio_are_metas(pairs: dict[str, Pair], name: str, samples: int) -> None:
    pair = pairs[name]
    wav = music(samples, pair.ours.channels, pair.ours.sample_rate)
    bandwidth = {1: 24, 52345: 6, 100000: 12}.get(samples, 6)
    pair.meta.set_target_bandwidth(bandwidth)
    frames = pair.meta.encode(torch.from_numpy(wav)[None])
    expected = pair.meta.decode(frames)[0]

    ecdc = encode(pair.ours, torch.from_numpy(wav), bandwidth=bandwidth)
    encoder = stream_encoder(pair.ours, ecdc.header.codebooks)
    chunks = [
        chunk for part in np.array_split(wav, 3, axis=1) for chunk in encoder.push(part)
    ] + encoder.finish()
    assert np.array_equal(np.concatenate([chunk.codes for chunk in chunks], 1), ecdc.codes)

    # Codes, segment by segment (24 kHz: the whole signal is one).
    starts = [0] if pair.meta.segment is None else range(0, samples, pair.meta.segment_stride)
    length = pair.meta.segment_length or samples
    assert len(frames) == len(starts)
    position = 0
    for i, (start, (codes, scale)) in enumerate(zip(starts, frames, strict=True)):
        x = torch.from_numpy(wav[None, :, start : start + length])
        count = codes.shape[-1]
        found = ecdc.codes[:, position : position + count]
        assert_same_codes_but_for_ties(found, codes[0], pair.latents(x), pair.books())
        whole, own_scale = pair.ours.encode(x)  # the model's own call, all codebooks
        k = codes.shape[1]
        assert_same_codes_but_for_ties(
            whole[0, :k].numpy().astype(np.uint16), codes[0], pair.latents(x), pair.books()
        )
        if scale is None:
            assert ecdc.scales is None
            assert own_scale is None
        else:
            assert ecdc.scales is not None
            assert own_scale is not None
            assert ecdc.scales[i] == pytest.approx(float(scale), rel=1e-6)
            assert float(own_scale) == pytest.approx(float(scale), rel=1e-6)
        # The model's own decoder, on Meta's codes.
        torch.testing.assert_close(
            pair.ours.decode(codes, scale), pair.meta._decode_frame((codes, scale)), **EXACT
        )
        position += count
    assert position == ecdc.codes.shape[1]

    # Audio of Meta's codes, by our streaming decoder and by our whole-signal call.
    decoder = stream_decoder(pair.ours)
    parts = [
        decoder.push(codes[0].numpy().astype(np.uint16), None if scale is None else float(scale))
        for codes, scale in frames
    ]
    streamed = np.concatenate([*parts, decoder.finish()], axis=1)
    assert streamed.shape == tuple(expected.shape)
    torch.testing.assert_close(torch.from_numpy(streamed), expected, **EXACT)
    theirs = replace(
        ecdc,
        codes=np.concatenate([codes[0].numpy() for codes, _ in frames], 1).astype(np.uint16),
        scales=None
        if ecdc.scales is None
        else np.array([float(scale) for _, scale in frames], np.float32),
    )
    torch.testing.assert_close(decode(pair.ours, theirs), expected[:, :samples], **EXACT)


EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-5}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_batches_are_metas(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    x = torch.from_numpy(
        np.stack(
            [music(n, pair.ours.channels, pair.ours.sample_rate)[:, :1000] for n in (1000, 1500)]
        )
    )
    torch.testing.assert_close(pair.ours.encoder(x), pair.meta.encoder(x), **EXACT)
    z = pair.meta.encoder(x)
    torch.testing.assert_close(pair.ours.decoder(z), pair.meta.decoder(z), **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_loud_and_silent_sound_is_coded_as_by_meta(pairs: dict[str, Pair], name: str) -> None:
    pair = pairs[name]
    for gain in (0.0, 3.0):
        wav = gain * music(2000, pair.ours.channels, pair.ours.sample_rate)
        pair.meta.set_target_bandwidth(3)
        [(codes, scale)] = pair.meta.encode(torch.from_numpy(wav)[None])
        expected = pair.meta.decode([(codes, scale)])[0, :, :2000]
        ecdc = encode(pair.ours, torch.from_numpy(wav), bandwidth=3)
        if gain:
            latents = pair.latents(torch.from_numpy(wav)[None])
            assert_same_codes_but_for_ties(ecdc.codes, codes[0], latents, pair.books())
        theirs = replace(ecdc, codes=codes[0].numpy().astype(np.uint16))
        torch.testing.assert_close(decode(pair.ours, theirs), expected, rtol=1e-5, atol=1e-5)


# ---- files


def fresh(model: Any) -> Any:
    """In place of Meta's constructor, which would download weights."""
    return lambda *_, **__: model


def metas_constructors() -> dict[str, Any]:
    # By name: in the package, the function of that name hides the module.
    models: dict[str, Any] = importlib.import_module("encodec.compress").MODELS
    return models


def metas_reader_counts_right(model: Any, samples: int) -> bool:
    """Whether encodec 0.1.1, which counts frames in floats, reads a file of that length."""
    sizes = [samples]
    if model.segment is not None:
        length, stride = model.segment_length, model.segment_stride
        sizes = [min(length, samples - start) for start in range(0, samples, stride)]
    return all(
        math.ceil(size / model.sample_rate * model.frame_rate) == -(-size // 320) for size in sizes
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "samples"), [(NAMES[0], 7001), (NAMES[1], 50001)])
def test_our_format_0_file_decodes_at_metas(
    pairs: dict[str, Pair], name: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, encodec = pairs[name], import_meta()
    assert metas_reader_counts_right(pair.meta, samples)
    monkeypatch.setitem(metas_constructors(), name, fresh(pair.meta))
    wav = torch.from_numpy(music(samples, pair.ours.channels, pair.ours.sample_rate))
    ecdc = encode(pair.ours, wav, bandwidth=6)
    header = replace(header_for(pair.ours, ecdc.header.codebooks, version=0), num_samples=samples)
    file = io.BytesIO()
    write_ecdc(file, Ecdc(header, ecdc.codes, ecdc.scales))

    theirs, rate = encodec.decompress(file.getvalue())
    assert rate == pair.ours.sample_rate
    assert theirs.shape == (pair.ours.channels, samples)
    torch.testing.assert_close(decode(pair.ours, ecdc), theirs, **EXACT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "samples"), [(NAMES[0], 7001), (NAMES[0], 6720), (NAMES[1], 50001)]
)
def test_metas_file_decodes_here(pairs: dict[str, Pair], name: str, samples: int) -> None:
    """Also of 6720 samples, which Meta's own released reader cannot read back."""
    pair, encodec = pairs[name], import_meta()
    if samples == 6720:
        assert not metas_reader_counts_right(pair.meta, samples)
    pair.meta.set_target_bandwidth(6)
    wav = torch.from_numpy(music(samples, pair.ours.channels, pair.ours.sample_rate))
    ecdc = read_ecdc(io.BytesIO(encodec.compress(pair.meta, wav, use_lm=False)))
    with torch.no_grad():
        expected = pair.meta(wav[None])[0]
    assert ecdc.header.num_samples == samples
    torch.testing.assert_close(decode(pair.ours, ecdc), expected, **EXACT)


@pytest.mark.slow
def test_a_file_of_the_same_codes_has_metas_bytes(pairs: dict[str, Pair]) -> None:
    pair, encodec = pairs[NAMES[1]], import_meta()
    pair.meta.set_target_bandwidth(3)
    theirs = encodec.compress(pair.meta, torch.from_numpy(music(50001, 2, 48000)), use_lm=False)
    file = io.BytesIO()
    write_ecdc(file, read_ecdc(io.BytesIO(theirs)))
    assert file.getvalue() == theirs


# ---- stored values (tests/golden/make_golden.py wrote them)


def golden(name: str) -> tuple[CompressionModel, dict[str, NDArray[Any]]]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        values = dict(file)
    config = CodecConfig.from_dict(json.loads(str(values.pop("config"))))
    state = {
        key.removeprefix("state."): torch.from_numpy(values.pop(key)).float()
        for key in list(values)
        if key.startswith("state.")
    }
    return build_and_load(config, rename_meta_state(state), name), values


@pytest.mark.parametrize("name", NAMES)
def test_stored_values_of_metas_package_are_met(name: str) -> None:
    model, stored = golden(name)
    samples = read_ecdc(io.BytesIO(stored["ecdc"].tobytes())).header.num_samples
    assert samples is not None
    wav = torch.from_numpy(exact_wave(samples, model.channels))
    books = [book.embed for book in model.quantizer.codebooks]
    ecdc = encode(model, wav, n_q=2)
    assert ecdc.codes.shape == stored["codes"].shape
    # 1024 codes over latents that hardly vary: even fp64 differs from Meta's fp32 in two frames.
    assert_same_codes_but_for_ties(
        ecdc.codes,
        torch.from_numpy(stored["codes"]),
        torch.from_numpy(stored["latents"]),
        books,
        allowed=2,
    )
    theirs = replace(ecdc, codes=stored["codes"])
    if model.config.normalize:
        np.testing.assert_allclose(ecdc.scales, stored["scales"], rtol=1e-6)
        theirs = replace(theirs, scales=stored["scales"])
    np.testing.assert_allclose(
        decode(model, theirs)[:, ::7].numpy(), stored["every_7th_sample"], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_stored_files_of_metas_package_decode(name: str) -> None:
    model, stored = golden(name)
    ecdc = read_ecdc(io.BytesIO(stored["ecdc"].tobytes()))
    np.testing.assert_array_equal(ecdc.codes, stored["codes"])
    np.testing.assert_allclose(
        decode(model, ecdc)[:, ::7].numpy(), stored["every_7th_sample"], rtol=0, atol=1e-5
    )
    file = io.BytesIO()
    write_ecdc(file, ecdc)
    assert file.getvalue() == stored["ecdc"].tobytes()
