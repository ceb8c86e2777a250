"""SEANet: signatures, shapes, an effect of every argument, causality, steps equal to the whole."""

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import mostly_slow
from torch import Tensor

from encodec_cli.errors import ConfigError
from encodec_cli.nn import SEANetDecoder, SEANetEncoder, SEANetResnetBlock
from encodec_cli.nn.seanet import SEANetState

Net = SEANetEncoder | SEANetDecoder

SHARED = {
    "channels": 1,
    "dimension": 128,
    "n_filters": 32,
    "n_residual_layers": 3,
    "ratios": [8, 5, 4, 2],
    "activation": "ELU",
    "activation_params": {"alpha": 1.0},
    "norm": "none",
    "norm_params": {},
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_base": 2,
    "causal": False,
    "pad_mode": "reflect",
    "true_skip": True,
    "compress": 2,
    "lstm": 0,
    "disable_norm_outer_blocks": 0,
}
DECODER_ONLY = {
    "final_activation": None,
    "final_activation_params": None,
    "trim_right_ratio": 1.0,
}
SMALL: dict[str, Any] = {"dimension": 6, "n_filters": 4, "n_residual_layers": 1, "ratios": [3, 2]}


def defaults(cls: Callable[..., Any]) -> dict[str, Any]:
    """Each parameter's name and default, in order; made by the class itself if by a factory."""
    made = cls().config
    names = list(inspect.signature(cls).parameters)
    values = {name: getattr(made, name) for name in names}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def test_the_encoder_takes_audiocrafts_arguments() -> None:
    assert list(defaults(SEANetEncoder).items()) == list(SHARED.items())


def test_the_decoder_takes_three_more() -> None:
    assert list(defaults(SEANetDecoder).items()) == list((SHARED | DECODER_ONLY).items())


def test_arguments_may_be_positional() -> None:
    assert SEANetEncoder(2, 6, 4, 0, [3, 2])(torch.randn(1, 2, 12)).shape == (1, 6, 2)


def test_defaults_are_not_shared_between_networks() -> None:
    SEANetEncoder().config.activation_params["alpha"] = 9.0
    assert SEANetEncoder().config.activation_params == {"alpha": 1.0}


def test_default_networks_code_320_samples_a_frame() -> None:
    encoder, decoder = SEANetEncoder(), SEANetDecoder()
    with torch.no_grad():
        z = encoder(torch.randn(2, 1, 641))
        assert z.shape == (2, 128, 3)
        assert decoder(z).shape == (2, 1, 960)
    assert encoder.hop_length == decoder.hop_length == 320


def seeded(cls: type[Net], **arguments: Any) -> Net:
    torch.manual_seed(5)
    return cls(**(SMALL | arguments)).eval()


def output(cls: type[Net], **arguments: Any) -> Tensor:
    """What the network makes of one fixed input, weights drawn from one fixed seed."""
    net = seeded(cls, **arguments)
    torch.manual_seed(6)
    config = net.config
    inputs = config.channels if isinstance(net, SEANetEncoder) else config.dimension
    with torch.no_grad():
        out: Tensor = net(torch.randn(1, inputs, 36 if isinstance(net, SEANetEncoder) else 6))
    return out


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"channels": 2}),
    ({}, {"dimension": 7}),
    ({}, {"n_filters": 6}),
    ({}, {"n_residual_layers": 2}),
    ({}, {"n_filters": [6, 10, 7]}),
    ({}, {"n_residual_layers": [0, 2]}),
    ({"n_residual_layers": [0, 2]}, {"n_residual_layers": [2, 0]}),
    ({}, {"ratios": [2, 3]}),
    ({}, {"activation": "ReLU", "activation_params": {}}),
    ({}, {"activation_params": {"alpha": 0.5}}),
    ({}, {"norm": "layer_norm"}),
    # Over a single output channel a layer norm is constant.
    ({"norm": "layer_norm", "channels": 2}, {"norm_params": {"eps": 0.5}}),
    ({"norm": "time_group_norm"}, {"norm_params": {"eps": 0.5}}),
    ({}, {"kernel_size": 3}),
    ({}, {"last_kernel_size": 3}),
    ({}, {"residual_kernel_size": 5}),
    ({"n_residual_layers": 2}, {"dilation_base": 3}),
    ({}, {"causal": True}),
    ({}, {"pad_mode": "constant"}),
    ({}, {"pad_mode": "replicate"}),
    ({}, {"true_skip": False}),
    ({}, {"compress": 1}),
    ({}, {"lstm": 1}),
    ({"lstm": 1}, {"lstm": 2}),
    ({"norm": "layer_norm"}, {"disable_norm_outer_blocks": 2}),
]
DECODER_CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"final_activation": "Tanh"}),
    ({"final_activation": "ELU"}, {"final_activation_params": {"alpha": 0.5}}),
    ({"causal": True}, {"trim_right_ratio": 0.5}),
]


def name_of(change: dict[str, Any]) -> str:
    return "-".join(f"{k}={v}" for k, v in change.items()) or "defaults"


@pytest.mark.parametrize("cls", [SEANetEncoder, SEANetDecoder])
@pytest.mark.parametrize(("base", "change"), CHANGES, ids=name_of)
def test_every_argument_has_an_effect(
    cls: type[Net], base: dict[str, Any], change: dict[str, Any]
) -> None:
    assert_effect(cls, base, change)


@pytest.mark.parametrize(("base", "change"), DECODER_CHANGES, ids=name_of)
def test_every_argument_of_the_decoder_has_an_effect(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    assert_effect(SEANetDecoder, base, change)


def assert_effect(cls: type[Net], base: dict[str, Any], change: dict[str, Any]) -> None:
    before, after = output(cls, **base), output(cls, **(base | change))
    # Same weights, same input: if the argument were ignored, the outputs would be equal.
    assert torch.isfinite(after).all()
    assert torch.equal(before, output(cls, **base)), "not reproducible"
    assert before.shape != after.shape or not torch.allclose(before, after, atol=1e-5)


def test_the_effects_cover_all_arguments() -> None:
    tried = {name for _, change in CHANGES + DECODER_CHANGES for name in change}
    assert tried == set(SHARED | DECODER_ONLY)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("cls", [SEANetEncoder, SEANetDecoder])
def test_norms_of_weights_hold_for_any_weight(cls: type[Net], norm: str) -> None:
    net = seeded(cls, norm=norm)
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv1d | torch.nn.ConvTranspose1d)]
    assert convs
    for conv in convs:
        stored = dict(conv.parametrizations.named_parameters())
        with torch.no_grad():
            (stored.get("weight.original1", stored.get("weight.original"))).mul_(7)
        if norm == "weight_norm":  # per first dimension, the gain alone is the length
            expected = stored["weight.original0"].flatten()
            found = conv.weight.flatten(1).norm(dim=1)
        else:  # the largest singular value is 1, whatever the stored weight
            net.train()
            for _ in range(50):
                _ = conv.weight
            net.eval()
            matrix = conv.weight
            if isinstance(conv, torch.nn.ConvTranspose1d):
                matrix = matrix.transpose(0, 1)
            found = torch.linalg.matrix_norm(matrix.flatten(1), 2)
            expected = torch.ones(())
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("blocks", range(5))
def test_outer_norms_go_from_the_waveform_inwards(blocks: int) -> None:
    """4 blocks: the waveform's convolution, one per ratio, the latents' convolution."""
    where = {
        SEANetEncoder: [[0], [1, 3], [4, 6], [8]],
        SEANetDecoder: [[8], [5, 6], [2, 3], [0]],
    }
    for cls, numbers in where.items():
        net = seeded(cls, norm="layer_norm", disable_norm_outer_blocks=blocks)
        layers = list(net.model)
        for block, indices in enumerate(numbers):
            for index in indices:
                norms = any(isinstance(m, torch.nn.LayerNorm) for m in layers[index].modules())
                assert norms == (block >= blocks), (cls, block, index)


@pytest.mark.parametrize("samples", [1, 2, 5, 6, 7, 11, 40])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant", "replicate"])
@pytest.mark.parametrize("causal", [False, True], ids=["centred", "causal"])
def test_lengths_are_exact(samples: int, pad_mode: str, causal: bool) -> None:
    arguments: dict[str, Any] = {"pad_mode": pad_mode, "causal": causal, "n_residual_layers": 2}
    encoder, decoder = seeded(SEANetEncoder, **arguments), seeded(SEANetDecoder, **arguments)
    with torch.no_grad():
        z = encoder(torch.randn(1, 1, samples))
        y = decoder(z)
    assert z.shape == (1, 6, -(-samples // 6))
    assert y.shape == (1, 1, 6 * z.shape[-1])
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("norm", ["none", "weight_norm", "spectral_norm", "layer_norm"])
@pytest.mark.parametrize("lstm", [0, 1])
def test_causal_networks_do_not_look_ahead(norm: str, lstm: int) -> None:
    arguments: dict[str, Any] = {"causal": True, "norm": norm, "lstm": lstm, "pad_mode": "constant"}
    arguments["disable_norm_outer_blocks"] = 1  # a layer norm over one channel is constant
    encoder, decoder = seeded(SEANetEncoder, **arguments), seeded(SEANetDecoder, **arguments)
    x, z = torch.randn(1, 1, 60), torch.randn(1, 6, 10)
    later_x, later_z = x.clone(), z.clone()
    later_x[..., 31:] = 9.0
    later_z[..., 5:] = 9.0
    with torch.no_grad():
        # Sample 31 lies in frame 6 (it begins at 30 = 5 * 6, where "extra" padding may see it).
        torch.testing.assert_close(encoder(x)[..., :5], encoder(later_x)[..., :5])
        torch.testing.assert_close(decoder(z)[..., :30], decoder(later_z)[..., :30])
        assert not torch.allclose(encoder(x)[..., 5:], encoder(later_x)[..., 5:])
        assert not torch.allclose(decoder(z)[..., 30:], decoder(later_z)[..., 30:])


def test_centred_networks_do_look_ahead() -> None:
    encoder = seeded(SEANetEncoder)
    x = torch.randn(1, 1, 60)
    later = x.clone()
    later[..., 31:] = 9.0
    with torch.no_grad():
        assert not torch.allclose(encoder(x)[..., :5], encoder(later)[..., :5])


def test_trimming_less_on_the_right_looks_ahead_by_less_than_a_stride_each() -> None:
    """With ratio 0, an output waits for the next input; with 1 it does not."""
    z = torch.randn(1, 6, 8)
    later = z.clone()
    later[..., 4:] = 9.0
    for ratio, sees in ((0.0, True), (1.0, False)):
        decoder = seeded(SEANetDecoder, causal=True, pad_mode="constant", trim_right_ratio=ratio)
        with torch.no_grad():
            same = torch.allclose(decoder(z)[..., :24], decoder(later)[..., :24])
        assert same != sees


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratios": []}, "ratios: .*at least one factor"),
        ({"ratios": [2, 0]}, "ratios: .*>= 1"),
        ({"n_residual_layers": [1]}, "n_residual_layers: .*a list of 2"),
        ({"n_residual_layers": -1}, "n_residual_layers: "),
        ({"norm": "batch_norm"}, "norm: 'batch_norm' is not one of none, weight_norm"),
        ({"pad_mode": "zero"}, "pad_mode: 'zero' is not one of reflect"),
        ({"activation": "NoSuch"}, "activation: 'NoSuch' is not a class of torch.nn"),
        ({"activation_params": {"beta": 1}}, "activation_params: .*do not fit torch.nn.ELU"),
        ({"causal": True, "norm": "time_group_norm"}, "causal: .*time_group_norm"),
        ({"kernel_size": 0}, "kernel_size: 0: give at least 1"),
        ({"compress": 5}, r"compress: 5: leaves none of n_filters \(4\) channels"),
        ({"disable_norm_outer_blocks": 5}, "disable_norm_outer_blocks: 5: .*only 4 blocks"),
    ],
)
@pytest.mark.parametrize("cls", [SEANetEncoder, SEANetDecoder])
def test_bad_arguments_are_named(cls: type[Net], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cls(**(SMALL | arguments))


def test_bad_arguments_of_the_decoder_are_named() -> None:
    with pytest.raises(ConfigError, match=r"trim_right_ratio: 1\.5: give 0 to 1"):
        SEANetDecoder(**SMALL, causal=True, trim_right_ratio=1.5)
    with pytest.raises(ConfigError, match="only a causal decoder"):
        SEANetDecoder(**SMALL, trim_right_ratio=0.5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'dim'"):
        SEANetEncoder(dim=3)
    with pytest.raises(ConfigError, match="2 kernel_sizes, but 1 dilations"):
        SEANetResnetBlock(4, kernel_sizes=(3, 1), dilations=(1,))


# ---- steps


def cuts(total: int, choices: list[int]) -> list[int]:
    """Random step sizes (0 too) that add up to `total`."""
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(min(random.choice(choices), total - sum(sizes)))
    return sizes


def in_steps(net: Net, x: Tensor, sizes: list[int], *, flush_apart: bool) -> Tensor:
    """All outputs of `x` cut into `sizes`; the last cut is the last step, or an empty one is."""
    state = SEANetState()
    pieces = list(x.split(sizes, dim=-1))
    if flush_apart:
        pieces.append(x[..., :0])
    last = len(pieces) - 1
    return torch.cat([net.step(piece, state, i == last) for i, piece in enumerate(pieces)], dim=-1)


def random_arguments(causal: bool, pad_mode: str) -> dict[str, Any]:
    ratios = random.choice([[2, 3], [4, 2], [5], [1, 2], [2, 2, 2]])
    return {
        "n_filters": 4,
        "dimension": 5,
        "ratios": ratios,
        "n_residual_layers": random.choice([0, 1, 2, [i % 3 for i in range(len(ratios))]]),
        "causal": causal,
        "pad_mode": pad_mode,
        "true_skip": random.random() < 0.5,
        "lstm": random.choice([0, 0, 1]),
        "norm": random.choice(["none", "weight_norm", "layer_norm"]),
        "kernel_size": random.choice([1, 2, 3, 7]),
        "last_kernel_size": random.choice([1, 3, 5, 8]),
        "residual_kernel_size": random.choice([2, 3, 5]),
        "dilation_base": random.choice([1, 2, 3]),
    }


@pytest.mark.parametrize("trial", mostly_slow(range(8), 1))
@pytest.mark.parametrize("pad_mode", ["reflect", "constant", "replicate"])
@pytest.mark.parametrize("causal", [False, True], ids=["centred", "causal"])
@torch.no_grad()
def test_steps_are_the_whole(causal: bool, pad_mode: str, trial: int) -> None:
    random.seed(100 * trial + 10 * causal + len(pad_mode))
    arguments = random_arguments(causal, pad_mode)
    trim = {"trim_right_ratio": random.choice([1.0, 0.5, 0.0])} if causal else {}
    encoder = SEANetEncoder(**arguments).double().eval()
    decoder = SEANetDecoder(**arguments, **trim).double().eval()
    for samples in (1, random.choice([2, 3, 5]), 17, random.randint(18, 140)):
        x = torch.randn(2, 1, samples, dtype=torch.float64)
        z = encoder(x)
        y = decoder(z)
        for net, source, expected in ((encoder, x, z), (decoder, z, y)):
            for choices in ([1], [0, 1, 2, 7, 30], [1000]):
                sizes = cuts(source.shape[-1], choices)
                found = in_steps(net, source, sizes, flush_apart=random.random() < 0.5)
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=str(arguments))


@torch.no_grad()
def test_causal_steps_give_each_frame_as_soon_as_its_samples_are_in() -> None:
    encoder, decoder = seeded(SEANetEncoder, causal=True), seeded(SEANetDecoder, causal=True)
    warm, state, decoder_state = 20, SEANetState(), SEANetState()
    z = encoder.step(torch.randn(1, 1, 6 * warm), state, False)
    decoder.step(z, decoder_state, False)
    for _ in range(3):  # a hop in, a frame out; a frame in, a hop out
        z = encoder.step(torch.randn(1, 1, 6), state, False)
        assert z.shape[-1] == 1
        assert decoder.step(z, decoder_state, False).shape[-1] == 6


@torch.no_grad()
def test_interleaved_streams_do_not_touch_each_other() -> None:
    for cls, channels in ((SEANetEncoder, 1), (SEANetDecoder, 6)):
        net = seeded(cls, causal=True, lstm=1).double()
        a, b = torch.randn(2, 1, channels, 50, dtype=torch.float64)
        states = SEANetState(), SEANetState()
        outs: tuple[list[Tensor], list[Tensor]] = [], []
        for start in range(0, 50, 5):
            for i, x in enumerate((a, b)):
                piece = x[..., start : start + 5]
                outs[i].append(net.step(piece, states[i], start == 45))
        for i, x in enumerate((a, b)):
            torch.testing.assert_close(torch.cat(outs[i], -1), net(x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_stream_of_nothing_gives_nothing() -> None:
    assert seeded(SEANetEncoder).step(torch.zeros(1, 1, 0), SEANetState(), True).shape == (1, 6, 0)
    assert seeded(SEANetDecoder).step(torch.zeros(1, 6, 0), SEANetState(), True).shape == (1, 1, 0)


def test_gradients_reach_every_parameter() -> None:
    for cls, channels in ((SEANetEncoder, 1), (SEANetDecoder, 6)):
        net = cls(**SMALL, norm="weight_norm", lstm=1, true_skip=False)
        net(torch.randn(1, channels, 30)).pow(2).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
