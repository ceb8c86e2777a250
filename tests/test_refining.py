"""`encode --refine`: latents corrected once by what they decode to."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cli_samples import REPOSITORY, run
from tiny_models import segment_model, tiny_model

from encodec_cli import decode, encode, load_model, stream_encoder
from encodec_cli.audio import read_mono
from encodec_cli.config.timing import decoder_lookahead
from encodec_cli.container import read_ecdc
from encodec_cli.errors import UsageError
from encodec_cli.evaluation.distances import mel_distance
from encodec_cli.model.codec import Codec
from encodec_cli.stream.refining import RefiningStepper

SPEECH = REPOSITORY / "samples" / "speech.wav"
RATE = 24_000


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_model()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_mono(SPEECH, RATE)[None, RATE : 3 * RATE]


@pytest.mark.parametrize("seanet", [{}, {"decoder": {"trim_right_ratio": 0.0}}, {"causal": False}])
@pytest.mark.parametrize(("n_q", "gain"), [(1, 0.125), (3, 0.2165), (16, 0.5), (20, 0.5)])
@pytest.mark.parametrize("over", [0, 5, -1])
def test_streams_give_what_the_modules_give(
    seanet: dict[str, object], n_q: int, gain: float, over: int
) -> None:
    """Block by block as in one piece, however far the networks look ahead."""
    torch.manual_seed(0)
    module = tiny_model(seanet=seanet, quantizer={"n_q": 20})
    codec, hop = module.codec(), module.config.hop_length
    x = 0.3 * torch.randn(1, 1, 37 * hop + over)
    with torch.no_grad():
        z = module.encoder(x)
        heard = module.encoder(module.decoder(z)[..., : x.shape[-1]])
        expected = z + gain * (z - heard)
    rows = x[0].t().contiguous().numpy()
    network = RefiningStepper(codec, codec.engine.encoder(8), 8, n_q)
    state = network.new_state()
    found = []
    for at in range(0, len(rows), 8 * hop):
        piece = rows[at : at + 8 * hop]
        found += network.step([piece], [state], [at + 8 * hop >= len(rows)])
    np.testing.assert_allclose(np.concatenate(found).T, expected[0].numpy(), atol=1e-4)
    assert not np.allclose(expected.numpy(), z.numpy(), atol=1e-2)


def test_codes_do_not_depend_on_pushes_or_threads(codec: Codec, speech: np.ndarray) -> None:
    def codes(codec: Codec, size: int) -> np.ndarray:
        encoder = stream_encoder(codec, 4, search=1, refine=True)
        pushes = [speech[:, i : i + size] for i in range(0, speech.shape[1], size)]
        chunks = [chunk for push in pushes for chunk in encoder.push(push)]
        return np.concatenate([c.codes for c in [*chunks, *encoder.finish()]], axis=1)

    whole = codes(codec, speech.shape[1])
    np.testing.assert_array_equal(codes(codec, 7_001), whole)
    beside = replace(codec, engine=codec.engine.overlapped())
    np.testing.assert_array_equal(codes(beside, speech.shape[1]), whole)
    assert not np.array_equal(encode(codec, speech, n_q=4, search=1).codes, whole)


@pytest.mark.slow
@pytest.mark.parametrize("bandwidth", [6, 12])
def test_refined_codes_decode_nearer(codec: Codec, speech: np.ndarray, bandwidth: float) -> None:
    wav = torch.from_numpy(speech[0])
    distances = []
    for refine in (False, True):
        coded = encode(codec, speech, bandwidth=bandwidth, refine=refine)
        decoded = decode(codec, coded)
        distances.append(mel_distance(wav, torch.from_numpy(decoded[0]), RATE))
    assert distances[1] < 0.99 * distances[0]


def test_live_chunks_come_when_the_decoder_has_been_heard(codec: Codec, speech: np.ndarray) -> None:
    """Its look-ahead later, in whole chunks of each of the networks."""
    hop, frames = codec.config.hop_length, 60
    encoder = stream_encoder(codec, 2, chunk_frames=4, search=1, refine=True)
    coded = 0
    for at in range(0, frames * hop, hop):
        coded += sum(chunk.frames for chunk in encoder.push(speech[:, at : at + hop]))
    ahead = decoder_lookahead(codec.config.decoder) / hop
    assert ahead <= frames - coded <= ahead + 8


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 24_001])
def test_any_length_gives_as_many_frames(codec: Codec, samples: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    frames = []
    for refine in (False, True):
        encoder = stream_encoder(codec, 1, search=1, refine=refine)
        chunks = [*encoder.push(noise), *encoder.finish()]
        frames.append(sum(chunk.frames for chunk in chunks))
    assert frames[0] == frames[1]


def test_the_command(tmp_path: Path) -> None:
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(tmp_path / "a.wav", samples[:rate], rate)
    for name, more in (("plain", ()), ("refined", ("--refine",))):
        run("encode", tmp_path / "a.wav", tmp_path / f"{name}.ecdc", "-b", "3", *more).ok()
    run("decode", tmp_path / "refined.ecdc", tmp_path / "b.wav").ok()
    plain, refined = (
        read_ecdc(BytesIO((tmp_path / f"{name}.ecdc").read_bytes()))
        for name in ("plain", "refined")
    )
    assert plain.header.model_sha256 == refined.header.model_sha256
    assert plain.codes.shape == refined.codes.shape
    assert not np.array_equal(plain.codes, refined.codes)


def test_segments_are_refused() -> None:
    with pytest.raises(UsageError, match="refine: tiny codes segments"):
        stream_encoder(segment_model(), 1, refine=True)
