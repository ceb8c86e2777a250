"""How near the end of a recording is that stops in mid-sound, by what is coded after it.

    python benchmarks/ends.py MANIFEST [--model M] [--bandwidth 6] [--cuts 10]

Cuts each recording at random places in sound and codes the second before the cut: as it was without
end padding, as it is, and with other continuations in front of the padding. Prints the error of the
last frame's length, relative to the signal, as Markdown.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from encodec_cli import decode, encode, load_model
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.container import Ecdc
from encodec_cli.evaluation.evaluate import read_reference
from encodec_cli.io.manifest import read_manifest_rows

_QUIET_RMS = 0.02
_PARTS = 8
"""Of a frame; the last one is shown by itself."""

# From a signal `[1, N]` and a hop of what followed it: what to code after the signal.
CONTINUATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a hop of silence": lambda signal, after: signal[:, :0],
    "two hops of silence": lambda signal, after: torch.zeros_like(after),
    "a hop of the last sample": lambda signal, after: signal[:, -1:].expand_as(after),
    "a hop mirrored": lambda signal, after: signal[:, -after.shape[1] :].flip(1),
    "a hop of what followed": lambda signal, after: after,
}


def cuts(
    wav: Tensor, rate: int, hop: int, count: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """`count` times up to a second of `wav` `[1, N]` that ends in sound, and the hop after it."""
    generator = np.random.default_rng(seed)
    for _ in range(100 * count):
        if not count:
            return
        end = int(generator.integers(rate, wav.shape[1] - hop))
        if float(wav[:, end - hop : end].square().mean().sqrt()) >= _QUIET_RMS:
            count -= 1
            start = end - rate + int(generator.integers(hop))  # all lengths of the last frame
            yield wav[:, start:end], wav[:, end : end + hop]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--bandwidth", type=float, default=6.0)
    parser.add_argument("--cuts", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model)
    hop = model.config.hop_length
    energies: dict[str, list[Tensor]] = {}
    for seed, line in enumerate(read_manifest_rows(arguments.manifest, ("file",))):
        reference = read_reference(arguments.manifest.parent / line["file"], model.sample_rate)
        wav = torch.from_numpy(reference.audio)
        for signal, after in cuts(wav, model.sample_rate, hop, arguments.cuts, seed):
            samples = signal.shape[1]
            coded = encode(model, signal, bandwidth=arguments.bandwidth)
            frames = model.config.frames(samples)
            header = replace(coded.header, end_padding=0)
            scales = None if coded.scales is None else coded.scales[: header.chunk_count(samples)]
            without = Ecdc(header, coded.codes[:, :frames], scales)
            decoded = {"nothing": torch.from_numpy(decode(model, without))}
            for name, continuation in CONTINUATIONS.items():
                longer = torch.cat((signal, continuation(signal, after)), dim=1)
                coded = encode(model, longer, bandwidth=arguments.bandwidth)
                decoded[name] = torch.from_numpy(decode(model, coded))[:, :samples]
            for name, audio in decoded.items():
                pair = torch.stack((audio - signal, signal))[:, 0, -hop:]
                energies.setdefault(name, []).append(
                    pair.unflatten(1, (_PARTS, -1)).square().sum(2)
                )
    print(f"| after the end | mean dB | worst tenth from | last 1/{_PARTS}, pooled |")
    print("|---" * 4 + "|")
    for name, found in energies.items():
        parts = torch.stack(found)  # [cuts, (error, signal), parts]
        error, signal = parts.sum(2).unbind(1)
        each = 10 * (error / signal).log10()
        error, signal = parts[:, :, -1].sum(0)
        last = float(10 * (error / signal).log10())
        print(f"| {name} | {each.mean():.1f} | {each.quantile(0.9):.1f} | {last:.1f} |")
    print(f"\n{len(found)} cuts")


if __name__ == "__main__":
    main()
