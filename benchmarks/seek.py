"""How far `decode(start=...)` is from the same part of a full decoding, in dB.

    python benchmarks/seek.py [AUDIO] [--start 7.3]

The bundled model; EnCodec 24 kHz with random weights as torch makes them, and with LSTMs whose
forget gates are biased to remember longer; EnCodec 48 kHz and MusicGen's codec with random weights.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from encodec_cli import Codec, decode, encode, get_compression_model, load_model
from encodec_cli.audio import open_audio, prepare_blocks
from encodec_cli.config.bundled import configs_folder
from encodec_cli.nn.lstm import StreamableLSTM

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "speech.wav"
CASES: list[tuple[str, float | None]] = [
    ("ecli_24khz", None),
    ("encodec_24khz", 0.0),
    ("encodec_24khz", 2.0),
    ("encodec_24khz", 4.0),
    ("encodec_48khz", 0.0),
    ("musicgen_32khz", 0.0),
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("audio", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--start", type=float, default=7.3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, bias in CASES:
        model = load_model(name) if bias is None else random_model(name, bias)
        with open_audio(arguments.audio) as reader:
            blocks = list(prepare_blocks(reader, model.sample_rate, model.channels, 1 << 16))
        coded = encode(model, np.concatenate(blocks, axis=1))
        full = decode(model, coded)
        started = time.process_time()
        part = decode(model, coded, start=arguments.start)
        seconds = time.process_time() - started
        expected = full[:, -part.shape[1] :]
        error = float(np.square(part - expected).mean() / np.square(expected).mean())
        remembers = f", forget gates +{bias:g}" if bias else ""
        level = f"{10 * math.log10(error):.0f} dB" if error else "no difference"
        print(f"{name}{remembers}: {level}, {seconds:.2f} s of CPU time", flush=True)


def random_model(name: str, forget_bias: float) -> Codec:
    """A model of one of our configs with random weights and codebooks as wide as its latents."""
    torch.manual_seed(0)
    model = get_compression_model(configs_folder() / f"{name}.yaml").eval().requires_grad_(False)
    noise = 0.1 * torch.randn(1, model.channels, model.sample_rate // 2)
    width = float(model.encoder(noise).std())
    for k, codebook in enumerate(model.quantizer.codebooks):
        codebook.embed.normal_(std=width * 0.7**k)
    for module in model.modules():
        if isinstance(module, StreamableLSTM):
            size = module.lstm.hidden_size
            for layer in range(module.lstm.num_layers):
                bias = getattr(module.lstm, f"bias_hh_l{layer}")
                bias[size : 2 * size] += forget_bias
    return model.codec()


if __name__ == "__main__":
    main()
