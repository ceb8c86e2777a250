"""The least time that the networks of a config can take here, and what they take.

    python benchmarks/network_bounds.py [CONFIG ...] [--runs 5]

One thread, milliseconds of CPU time a second of audio. The bound adds up what the parts would take
alone: products of convolutions and of an LSTM's inputs at the best rate of a large product, an
LSTM's recurrent products (one after the other, so each reads all weights) at the best rate of such
a product, and the exponentials of ELU at the rate of `numpy.exp`. Weights are random; speed does
not depend on them.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before numpy is imported, as in `encodec_cli/__main__.py`.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.layers import LSTM, Activation, ResidualBlock
from encodec_cli.config.plan import NetworkPlan, decoder_plan, encoder_plan
from encodec_cli.runtime.network import Network
from encodec_cli.runtime.sections import sections_of

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("[!t]*hz.yaml"))
RANDOM = np.random.default_rng(0)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("configs", nargs="*", type=Path, default=CONFIGS)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    product, exponential = product_rate(arguments.runs), exp_rate(arguments.runs)
    print(f"products {product / 1e9:.0f} GMAC/s, exp {exponential / 1e9:.2f} G/s")
    for path in arguments.configs:
        config = load_codec_config(path)
        for name, plan in (
            ("encoder", encoder_plan(config.seanet)),
            ("decoder", decoder_plan(config.decoder)),
        ):
            parts = bound(plan, config, product, exponential, arguments.runs)
            taken = measured(plan, config, arguments.runs)
            listed = ", ".join(f"{part} {ms:.0f}" for part, ms in parts.items())
            print(f"{config.name}, {name}: {listed}: {sum(parts.values()):.0f} ms; {taken:.0f} ms")


def bound(
    plan: NetworkPlan, config: CodecConfig, product: float, exponential: float, runs: int
) -> dict[str, float]:
    """Milliseconds for a second of audio, by part."""
    frames = config.sample_rate / config.hop_length
    layers = [layer for section in sections_of(plan)[0] for layer in section.layers]
    products = sum(layer.work for layer in layers if layer.kind != "lstm") * frames
    recurrent = 0.0
    exponentials = 0
    for layer in layers:
        if isinstance(layer.layer, LSTM):
            lstm = layer.layer
            products += 4 * lstm.width**2 * lstm.layers * frames
            recurrent += recurrent_seconds(lstm.width, runs) * lstm.layers * frames
        exponentials += elu_numbers(layer) * int(frames)
    return {
        "products": products / product * 1e3,
        "recurrent": recurrent * 1e3,
        "exp": exponentials / exponential * 1e3,
    }


def elu_numbers(layer: Any) -> int:
    """How many exponentials a layer's activations take for a frame."""
    found = 0
    if isinstance(layer.activation, Activation) and layer.activation.name == "ELU":
        found += layer.rows * layer.layer.inputs
    if isinstance(layer.layer, ResidualBlock) and layer.layer.activation.name == "ELU":
        found += layer.rows * sum(conv.inputs for conv in layer.layer.convolutions)
    return found


def measured(plan: NetworkPlan, config: CodecConfig, runs: int) -> float:
    """Milliseconds that `Network` takes for a second of audio."""
    shapes = plan.shapes()
    weights = {
        name: (RANDOM.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[1:])))).astype("f4")
        for name, shape in shapes.items()
    }
    network = Network(plan, weights.__getitem__)
    seconds = config.segment_samples / config.sample_rate if config.segment_samples else 1.0
    rows = config.segment_samples or config.sample_rate
    shape = (-(-rows // config.hop_length), plan.inputs) if plan.decodes else (rows, plan.inputs)
    signal = RANDOM.standard_normal(shape).astype(np.float32) * 0.1
    taken = best(lambda: network.step([signal], [network.new_state()], [True]), runs)
    return taken / seconds * 1e3


def product_rate(runs: int) -> float:
    """Multiplications a second of a large product."""
    left, right = (RANDOM.standard_normal((n, 256)).astype(np.float32) for n in (2048, 256))
    out = np.empty((2048, 256), np.float32)
    return 2048 * 256 * 256 / best(lambda: np.matmul(left, right, out=out), 4 * runs)


def recurrent_seconds(width: int, runs: int) -> float:
    """Seconds of an LSTM layer's recurrent product, beside those of a second layer."""
    layers = [RANDOM.standard_normal((4 * width, width)).astype(np.float32) for _ in range(2)]
    row, out = RANDOM.standard_normal(width).astype(np.float32), np.empty(4 * width, np.float32)

    def both() -> None:
        for layer in layers:
            np.dot(layer, row, out=out)

    return best(both, 20 * runs) / len(layers)


def exp_rate(runs: int) -> float:
    """Exponentials a second, in the cache."""
    x = -RANDOM.random(16384, np.float32)
    out = np.empty_like(x)
    return x.size / best(lambda: np.exp(x, out=out), 20 * runs)


def best(do: Callable[[], object], runs: int) -> float:
    """The least CPU time of several runs, in seconds."""
    do()
    times = []
    for _ in range(runs):
        started = time.process_time()
        do()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()
