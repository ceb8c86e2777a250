"""How a file comes to its rate: how many codebooks, and how strongly bits are weighed."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from code_model_samples import SMALL, random_codes, random_model

from encodec_cli.container import Header
from encodec_cli.container.codes import CodeChunk
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.pipeline.rate_control import chunks_at_rate
from encodec_cli.pipeline.target_rate import RatePlan
from encodec_cli.stream.encoder import ChunkLatents

MODEL = random_model()


class Recording:
    """Chunks whose codes are their bytes: `plain`, and fewer the stronger bits are weighed."""

    def __init__(self, plain: Sequence[float], slope: float, power: float) -> None:
        self.plain, self.slope, self.power = plain, slope, power
        self.strengths: list[float] = []
        self.most = 0
        self.latents: Iterator[ChunkLatents] = (
            ChunkLatents(np.full((1, 1), size, np.float32), None) for size in plain
        )

    @property
    def header(self) -> Header:
        raise NotImplementedError

    @property
    def chunks(self) -> Iterator[CodeChunk]:
        raise NotImplementedError

    @property
    def samples(self) -> int:
        raise NotImplementedError

    def quantize_priced(
        self, costs: CodeModel, chunks: Sequence[ChunkLatents], strength: float
    ) -> list[CodeChunk]:
        self.strengths.append(strength)
        self.most = max(self.most, len(chunks))
        share = math.exp(-self.slope * strength**self.power)
        sizes = [round(float(chunk.latents[0, 0]) * share) for chunk in chunks]
        return [CodeChunk(np.full((1, 1), size, np.uint16), None) for size in sizes]


def cost(chunks: Sequence[CodeChunk]) -> int:
    return sum(int(chunk.codes[0, 0]) for chunk in chunks)


def plain_sizes(chunks: int) -> list[float]:
    """They change from chunk to chunk and in the long run."""
    draw = np.random.default_rng(chunks)
    drift = np.exp(np.sin(np.arange(chunks) / 50))
    return list(200 * drift * draw.uniform(0.5, 1.5, chunks))


@pytest.mark.parametrize("chunks", [1, 5, 16, 17, 100, 1000])
@pytest.mark.parametrize(("slope", "power"), [(0.07, 0.8), (0.3, 0.8), (0.02, 1.3), (0.2, 0.4)])
@pytest.mark.parametrize("share", [0.95, 0.8, 0.6])
def test_all_chunks_together_get_the_bytes_there_are(
    chunks: int, slope: float, power: float, share: float
) -> None:
    if share < math.exp(-slope * 15**power):
        pytest.skip("more than the strongest price saves")
    plain = plain_sizes(chunks)
    recording = Recording(plain, slope, power)
    off = np.random.default_rng(1).uniform(0.9, 1.1, chunks)  # what is expected is not exact
    budget = share * sum(plain)
    plan = RatePlan(4, np.array(plain) * off, budget, MODEL, enough=True)
    found = list(chunks_at_rate(recording, plan, cost))

    assert len(found) == chunks
    rounding = 1 / min(plain)
    assert cost(found) / budget == pytest.approx(1, abs=0.006 + rounding)
    assert recording.most <= 16
    if chunks >= 100:
        assert len(recording.strengths) < 2 * chunks / 16 + 8


@pytest.mark.parametrize(("share", "strength"), [(3.0, 0.0), (0.001, 16.0)])
def test_what_cannot_be_had_is_come_near_to(share: float, strength: float) -> None:
    plain = plain_sizes(40)
    recording = Recording(plain, 0.1, 0.8)
    plan = RatePlan(4, np.array(plain), share * sum(plain), MODEL, enough=True)
    assert len(list(chunks_at_rate(recording, plan, cost))) == 40
    assert recording.strengths == pytest.approx([strength] * 3, rel=0.01)


def test_a_recording_that_grew_or_was_cut_meanwhile_is_coded_to_its_end() -> None:
    for expected in (3, 40):
        recording = Recording(plain_sizes(20), 0.1, 0.8)
        plan = RatePlan(4, np.full(expected, 200.0), 150.0 * expected, MODEL, enough=True)
        assert len(list(chunks_at_rate(recording, plan, cost))) == 20


def test_the_fewest_codebooks_that_take_enough_are_chosen() -> None:
    bits = np.array([[800.0, 1600, 2400], [1600, 2400, 3200]])  # with 9 bytes a chunk 318, 518, 718
    for budget, codebooks in ((310, 1), (320, 2), (505, 2), (520, 3)):
        plan = RatePlan.of(bits, budget, MODEL)
        assert (plan.codebooks, plan.enough) == (codebooks, True)
    assert RatePlan.of(bits, 490, MODEL).expected.tolist() == [209, 309]
    assert not RatePlan.of(bits, 720, MODEL).enough
    assert RatePlan.of(bits, 720, MODEL).codebooks == 3
    assert RatePlan.of(np.zeros((0, 3)), 0, MODEL).codebooks == 1


def test_bits_are_what_the_frequencies_say() -> None:
    codes = random_codes(SMALL, 3, 50)
    frequencies = MODEL.frequencies(codes).astype(np.float64)
    own = np.take_along_axis(frequencies, codes.T[:, :, None].astype(np.intp), 2)[..., 0]
    expected = -np.log2(own / frequencies.sum(2)).sum(0)
    np.testing.assert_allclose(MODEL.bits(codes), expected, rtol=1e-9)
    [run] = MODEL.encode_chunks([codes])
    assert len(run) == pytest.approx(expected.sum() / 8, abs=3)
