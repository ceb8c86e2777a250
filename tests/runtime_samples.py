"""Networks in numpy beside the modules whose weights they have."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encodec_cli.checkpoints.modules import folded_state
from encodec_cli.config.plan import NetworkPlan, decoder_plan, encoder_plan
from encodec_cli.config.seanet import SEANetConfig, SEANetDecoderConfig
from encodec_cli.nn.seanet import SEANetDecoder, SEANetEncoder
from encodec_cli.runtime.network import Network, can_run

__all__ = ["Pair", "pairs", "random_config", "weights_of"]

Numbers = NDArray[np.floating[Any]]
ACTIVATIONS: list[dict[str, Any]] = [
    {},
    {"activation": "ELU", "activation_params": {"alpha": 1.7}},
    {"activation": "ELU", "activation_params": {"alpha": 0.5}},
    {"activation": "LeakyReLU", "activation_params": {"negative_slope": 0.3}},
    {"activation": "LeakyReLU", "activation_params": {"negative_slope": 1.5}},
    {"activation": "ReLU", "activation_params": {}},
    {"activation": "Tanh", "activation_params": {}},
]


def random_config(rng: random.Random) -> dict[str, Any]:
    """A config of any shape that can be streamed, small enough to be quick."""
    ratios = rng.sample([1, 2, 3, 4, 5], rng.randint(1, 3))
    compress = rng.choice([1, 2, 3])
    causal = rng.random() < 0.6
    widths = [rng.randint(compress, 6) for _ in range(len(ratios) + 1)]
    return {
        "channels": rng.choice([1, 2]),
        "dimension": rng.randint(2, 9),
        "n_filters": rng.choice([widths[0], widths]),
        "n_residual_layers": [rng.randint(0, 3) for _ in ratios],
        "ratios": ratios,
        "norm": rng.choice(["none", "weight_norm", "layer_norm"]),
        "kernel_size": rng.randint(1, 9),
        "last_kernel_size": rng.randint(1, 9),
        "residual_kernel_size": rng.randint(1, 4),
        "dilation_base": rng.choice([1, 2, 3]),
        "causal": causal,
        "pad_mode": rng.choice(["reflect", "constant", "replicate"]),
        "true_skip": rng.choice([True, False]),
        "compress": compress,
        "lstm": rng.choice([0, 1, 2]),
        "disable_norm_outer_blocks": rng.choice([0, 1]),
        **rng.choice(ACTIVATIONS),
    }


class Pair:
    """A network of `nn` in fp64, and the same in numpy."""

    def __init__(self, network: SEANetEncoder | SEANetDecoder, plan: NetworkPlan) -> None:
        self.plan = plan
        self._module = network.double().eval().requires_grad_(False)
        assert can_run(plan)
        self.numpy = Network(plan, weights_of(network, plan.name))
        self.rows = 1 if plan.decodes else plan.hop
        """Of a frame of its input."""

    def noise(self, rows: int) -> Numbers:
        return np.random.randn(rows, self.plan.inputs)

    def whole(self, x: Numbers) -> Numbers:
        """What the module makes of a whole signal."""
        found: Numbers = self._module(torch.from_numpy(x).t()[None])[0].t().numpy()
        return found

    def by_torch(self, x: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
        """The module's outputs of a whole signal, and the gradient of their weighted sum by it."""
        inputs = torch.from_numpy(x.T.copy())[None].requires_grad_()
        y = self._module(inputs)
        (gradient,) = torch.autograd.grad((y[0].t() * torch.from_numpy(weights)).sum(), [inputs])
        return y.detach()[0].t().numpy(), gradient[0].t().numpy()

    def cut(self, x: Numbers, sizes: int | Callable[[], int], *, after: bool = False) -> Numbers:
        """What the network makes of blocks; with `after`, an empty one comes last."""
        state, made, start, last = self.numpy.new_state(), [], 0, False
        while not last:
            size = sizes if isinstance(sizes, int) else sizes()
            block = x[start : start + size]
            start += len(block)
            last = start >= len(x) and not (after and len(block))
            made += self.numpy.step([block], [state], [last])
        return np.concatenate(made)


def pairs(rng: random.Random, **changes: Any) -> list[Pair]:
    """Encoder and decoder of a random config; some decoders look ahead, some have a last Tanh."""
    config = random_config(rng) | changes
    decoder = SEANetDecoderConfig(
        **config,
        trim_right_ratio=rng.choice([1.0, 0.0, 0.4]) if config["causal"] else 1.0,
        final_activation=rng.choice([None, None, "Tanh"]),
    )
    encoder = SEANetConfig(**config)
    return [
        Pair(SEANetEncoder(config=encoder), encoder_plan(encoder)),
        Pair(SEANetDecoder(config=decoder), decoder_plan(decoder)),
    ]


def weights_of(module: torch.nn.Module, name: str | None = None) -> Callable[[str], Numbers]:
    """Gives the folded weights of a codec, or of its part `name`."""
    state = folded_state(module)
    prefix = "" if name is None else f"{name}."
    return lambda key: state[key.removeprefix(prefix)].numpy()
