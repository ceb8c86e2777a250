"""The compiled form gives what the modules give, for any cut, any batch, any config it takes."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cases import mostly_slow
from tiny_models import tiny_model, wave
from torch import Tensor

from encodec_cli.config.seanet import SEANetConfig, SEANetDecoderConfig
from encodec_cli.config.timing import decoder_lookahead
from encodec_cli.engine.network import CompiledNetwork, can_compile
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder
from encodec_cli.runtime.protocol import Stepper


def random_config(rng: random.Random) -> dict[str, Any]:
    """A causal config of any shape, small enough to be quick."""
    ratios = rng.sample([1, 2, 3, 4, 5], rng.randint(1, 3))
    compress = rng.choice([1, 2, 3])
    return {
        "channels": rng.choice([1, 2]),
        "dimension": rng.randint(2, 9),
        "n_filters": rng.randint(compress, 6),
        "n_residual_layers": [rng.randint(0, 3) for _ in ratios],
        "ratios": ratios,
        "norm": rng.choice(["none", "weight_norm"]),
        "kernel_size": rng.randint(1, 9),
        "last_kernel_size": rng.randint(1, 9),
        "residual_kernel_size": rng.randint(1, 4),
        "dilation_base": rng.choice([1, 2, 3]),
        "causal": True,
        "pad_mode": rng.choice(["reflect", "constant", "replicate"]),
        "true_skip": rng.choice([True, False]),
        "compress": compress,
        "lstm": rng.choice([0, 1, 2]),
        **rng.choice(
            [{}, {"activation": "LeakyReLU", "activation_params": {"negative_slope": 0.3}}]
        ),
    }


def random_networks(rng: random.Random) -> tuple[SEANetEncoder, SEANetDecoder]:
    """Both of a random config in fp64; half of the decoders look ahead."""
    config = random_config(rng)
    ahead = SEANetDecoderConfig(**config, trim_right_ratio=rng.choice([1.0, 1.0, 0.0, 0.4]))
    return (
        SEANetEncoder(config=SEANetConfig(**config)).double().eval(),
        SEANetDecoder(config=ahead).double().eval(),
    )


def rows_of(network: SEANetEncoder | SEANetDecoder) -> tuple[int, int]:
    """Rows in a frame of the input, and their width."""
    if isinstance(network, SEANetEncoder):
        return network.hop_length, network.config.channels
    return 1, network.config.dimension


def cut(x: Tensor, block: int, *, after: bool = False) -> list[Tensor]:
    """Blocks of `x`; with `after`, nothing at all comes after the last whole one."""
    return [*x.split(block), *([x[:0]] if after and x.shape[0] % block == 0 else [])]


def run(compiled: CompiledNetwork, x: Tensor, block: int) -> Tensor:
    """One stream `[T, C]` in blocks of `block` rows."""
    state, blocks = compiled.new_state(), cut(x, block)
    return torch.cat([compiled.step([b], [state], [b is blocks[-1]])[0] for b in blocks])


@pytest.mark.parametrize("seed", mostly_slow(range(25), 5))
@torch.no_grad()
def test_random_networks_are_those_of_the_modules(seed: int) -> None:
    """Whatever the blocks and the end: equal to the whole signal's in fp64, near in fp32."""
    rng = random.Random(seed)
    for network in random_networks(rng):
        assert can_compile(network)
        hop, width = rows_of(network)
        compiled = CompiledNetwork(network)
        for frames in (compiled.least_frames, compiled.least_frames + 30):
            for rows in (1, rng.randint(1, 3 * hop), rng.randint(1, 5 * frames * hop)):
                x = torch.randn(rows, width, dtype=torch.float64)
                expected = network(x.t()[None])[0].t()
                found = run(compiled, x, frames * hop)
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        single = CompiledNetwork(copy.deepcopy(network).float())
        torch.testing.assert_close(
            run(single, x.float(), frames * hop).double(), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("seed", range(10))
@torch.no_grad()
def test_streams_of_any_lengths_go_together(seed: int) -> None:
    """They begin and end at other times than their neighbours, and give what they give alone."""
    rng = random.Random(100 + seed)
    for network in random_networks(rng):
        hop, width = rows_of(network)
        compiled = CompiledNetwork(network)
        block = compiled.least_frames * hop * rng.randint(1, 2)
        lengths = [rng.randint(1, 6 * block) for _ in range(5)] + [2 * block, 3 * block]
        rng.shuffle(lengths)
        signals = [torch.randn(n, width, dtype=torch.float64) for n in lengths]
        waiting = [
            (i, cut(x, block, after=rng.choice([True, False]))) for i, x in enumerate(signals)
        ]
        active: dict[int, Any] = {}
        found: dict[int, list[Tensor]] = {i: [] for i in range(len(signals))}
        while waiting or active:
            while waiting and len(active) < 3:
                i, blocks = waiting.pop()
                active[i] = (blocks, compiled.new_state())
            ids = list(active)
            inputs = [active[i][0].pop(0) for i in ids]
            last = [not active[i][0] for i in ids]
            for i, out, ends in zip(
                ids, compiled.step(inputs, [active[i][1] for i in ids], last), last, strict=True
            ):
                found[i].append(out)
                if ends:
                    del active[i]
        for i, x in enumerate(signals):
            torch.testing.assert_close(
                torch.cat(found[i]), network(x.t()[None])[0].t(), rtol=0, atol=1e-9
            )


@pytest.mark.parametrize(
    "change",
    [
        {"causal": False},
        {"norm": "layer_norm"},
        {"activation": "ReLU", "activation_params": {}},
        {"activation_params": {"alpha": 0.5}},
        {"activation": "LeakyReLU", "activation_params": {"negative_slope": 2.0}},
        {"decoder": {"final_activation": "Tanh"}},
    ],
)
def test_what_the_compiled_form_lacks_runs_as_modules(change: dict[str, Any]) -> None:
    model = tiny_model(seanet=change).double()
    assert not can_compile(model.decoder)
    x = torch.randn(130, 6, dtype=torch.float64)
    assert_engine_agrees(model.codec().engine.decoder(50), model.decoder, x, 50)


def assert_engine_agrees(
    stepper: Stepper, network: SEANetEncoder | SEANetDecoder, x: Tensor, block: int
) -> None:
    """Rows `[n, C]` in blocks of `block` rows give what the network gives of the whole."""
    state, blocks = stepper.new_state(), cut(x, block)
    found = [stepper.step([b.numpy()], [state], [b is blocks[-1]])[0] for b in blocks]
    expected = network(x.t()[None])[0].t().numpy()
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=0, atol=1e-9)


def test_blocks_too_short_to_reflect_run_as_modules() -> None:
    x = torch.randn(12 * 40, 1, dtype=torch.float64)
    for pad_mode, least in (("reflect", 7), ("constant", 1)):
        model = tiny_model(seanet={"pad_mode": pad_mode}).double()
        assert CompiledNetwork(model.encoder).least_frames == least
        for frames in (1, 6, 7, 8):
            stepper = model.codec().engine.encoder(frames)
            assert_engine_agrees(stepper, model.encoder, x, 12 * frames)
    # 16 samples that the layers before look ahead come on top of the 7 that the last one reflects.
    for trim_right_ratio, least in ((1.0, 1), (0.0, 2)):
        ahead = {"kernel_size": 1, "decoder": {"trim_right_ratio": trim_right_ratio}}
        assert CompiledNetwork(tiny_model(seanet=ahead).decoder).least_frames == least


@pytest.mark.parametrize("pad_mode", ["reflect", "constant", "replicate"])
@pytest.mark.parametrize("ratios", mostly_slow([[1, 2, 3], [4, 3], [1, 2, 6]]))
@pytest.mark.parametrize("lstm", [0, 1])
@torch.no_grad()
def test_what_looks_ahead_lags_by_that_and_no_more(
    ratios: list[int], pad_mode: str, lstm: int
) -> None:
    """From blocks so short that the first ones complete nothing, to the last, empty or not."""
    seanet = {"ratios": ratios, "pad_mode": pad_mode, "lstm": lstm, "n_residual_layers": 2}
    model = tiny_model(seanet={**seanet, "decoder": {"trim_right_ratio": 0.0}}).double()
    hop, lag = model.config.hop_length, decoder_lookahead(model.config.decoder)
    compiled = CompiledNetwork(model.decoder)
    least = compiled.least_frames
    for block in (least, least + 1, least + 5):
        for rows in (1, 2, block, 2 * block, 3 * block + 1):
            x = torch.randn(rows, 6, dtype=torch.float64)
            state, found, given = compiled.new_state(), x.new_zeros(0, 1), 0
            blocks = cut(x, block, after=True)
            for i, part in enumerate(blocks):
                last = i == len(blocks) - 1
                found = torch.cat((found, compiled.step([part], [state], [last])[0]))
                given += part.shape[0]
                assert found.shape[0] == max(0, given * hop - (0 if last else lag))
            expected = model.decoder(x.t()[None])[0].t()
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_stream_may_end_with_its_last_whole_block() -> None:
    model = tiny_model()
    for network, rows, width in ((model.encoder, 120, 1), (model.decoder, 10, 6)):
        compiled = CompiledNetwork(network)
        state, other, x = compiled.new_state(), compiled.new_state(), torch.randn(rows, width)
        [first] = compiled.step([x], [state], [False])
        nothing, alone = compiled.step([x[:0], x], [state, other], [True, False])
        assert nothing.shape == (0, first.shape[1])
        torch.testing.assert_close(alone, first)
        torch.testing.assert_close(first, network(x.t()[None])[0].t())


@pytest.mark.parametrize("trim_right_ratio", [1.0, 0.0])
def test_a_stream_of_nothing_gives_nothing(trim_right_ratio: float) -> None:
    model = tiny_model(seanet={"decoder": {"trim_right_ratio": trim_right_ratio}})
    compiled = CompiledNetwork(model.decoder)
    x, states = torch.randn(10, 6), [compiled.new_state() for _ in range(2)]
    nothing, all_of_it = compiled.step([x[:0], x], states, [True, True])
    assert nothing.shape == (0, 1)
    torch.testing.assert_close(all_of_it, model.decoder(x.t()[None])[0].t())


@pytest.fixture
def memory_of_nan() -> Iterator[None]:
    """Memory that nobody has written is NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("memory_of_nan")
@pytest.mark.parametrize("trim_right_ratio", [1.0, 0.0])
@pytest.mark.parametrize("ratios", mostly_slow([[1, 2, 3], [3, 4], [3]]))
@torch.no_grad()
def test_what_was_in_memory_does_not_matter(ratios: list[int], trim_right_ratio: float) -> None:
    config = {"dimension": 6, "n_filters": 4, "ratios": ratios, "causal": True}
    decoder = SEANetDecoder(
        **config, pad_mode="replicate", trim_right_ratio=trim_right_ratio
    ).double()
    for rows, block in ((1, 1), (5, 1), (20, 8)):
        x = torch.randn(rows, 6, dtype=torch.float64)
        found = run(CompiledNetwork(decoder), x, block)
        torch.testing.assert_close(found, decoder(x.t()[None])[0].t(), rtol=0, atol=1e-9)


def test_the_engine_follows_the_weights() -> None:
    model = tiny_model()
    engine = model.codec().engine
    assert model.codec().engine is engine
    with torch.no_grad():
        next(model.decoder.parameters()).mul_(2)
    assert model.codec().engine is not engine
    other = copy.deepcopy(model)
    assert other.codec().engine is not model.codec().engine
    with torch.inference_mode():
        made = tiny_model()
    assert made.codec().engine is made.codec().engine


@torch.no_grad()
def test_codes_are_the_quantizers() -> None:
    model = tiny_model().double()
    latents = model.encoder(torch.from_numpy(wave(500)).double()[None])
    engine = model.codec().engine
    for n_q in (1, 3):
        expected = model.quantizer.vq.encode(latents, n_q)
        codes = engine.quantizer().encode(latents[0].t().numpy(), n_q, 1)
        assert codes.dtype == np.uint16
        np.testing.assert_array_equal(codes, expected[:, 0])
        found = engine.quantizer().decode(codes).T
        np.testing.assert_allclose(found, model.quantizer.decode(expected[:, 0][None])[0])
