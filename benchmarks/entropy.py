"""Language-model coding of codes against Meta's `encodec` package: same weights, same bytes.

    python benchmarks/entropy.py [--seconds 4] [--runs 3] [--n-q 8] [--model 24|48]

Full-size language model, random weights, random codes, one thread; both programs in turn. Times
are of the entropy coding alone, without the codec: medians of processor time, which another
process on the machine disturbs less than time on the clock. Needs the `test` extra.
"""

import argparse
import importlib
import io
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from encodec_cli import read_ecdc, write_ecdc
from encodec_cli.container import Ecdc, Header, v0_header
from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.engine.lm.model import LanguageModel


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--n-q", type=int, default=8)
    parser.add_argument("--model", choices=["24", "48"], default="24")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import_torchaudio()
    compress = importlib.import_module("encodec.compress")
    language_model = importlib.import_module("encodec.model").LMModel

    name = f"encodec_{arguments.model}khz"
    header = replace(v0_header(name, codebooks=arguments.n_q), lm=True)
    samples = round(arguments.seconds * header.sample_rate)
    ecdc = _random_codes(header, samples)
    torch.manual_seed(1)
    books = 32 if header.segment is None else 16
    context = int(3.5 * header.frame_rate)
    theirs = language_model(books, 1024, num_layers=5, dim=200, past_context=context).eval()
    ours = LanguageModel(theirs.state_dict(), context)
    compress.MODELS[name] = lambda: _CodesOnly(ecdc, theirs)
    wave = torch.zeros(header.channels, samples)
    files = {"ours": io.BytesIO(), "Meta's": io.BytesIO()}

    def fresh(who: str) -> io.BytesIO:
        files[who] = io.BytesIO()
        return files[who]

    rows: list[tuple[str, dict[str, Callable[[], object]]]] = [
        (
            "encode",
            {
                "ours": lambda: write_ecdc(fresh("ours"), ecdc, lm=ours),
                "Meta's": lambda: compress.compress_to_file(
                    compress.MODELS[name](), wave, fresh("Meta's"), use_lm=True
                ),
            },
        ),
        (
            "decode",
            {
                "ours": lambda: read_ecdc(io.BytesIO(files["ours"].getvalue()), lm=ours),
                "Meta's": lambda: compress.decompress(files["Meta's"].getvalue()),
            },
        ),
    ]
    frames = ecdc.codes.shape[1]
    print(f"{name}, {arguments.seconds:g} s, {frames} frames of {arguments.n_q} codes, fp32")
    for what, runs in rows:
        times: dict[str, list[float]] = {who: [] for who in runs}
        for _ in range(arguments.runs + 1):
            for who, work in runs.items():
                started = time.process_time()
                work()
                times[who].append(time.process_time() - started)
        medians = {who: statistics.median(values[1:]) for who, values in times.items()}
        words = ", ".join(f"{who} {1e3 * m / frames:.2f} ms/frame" for who, m in medians.items())
        ratio = medians["Meta's"] / medians["ours"]
        print(f"{what}: {words}, ratio {ratio:.2f}")
    print("same bytes:", files["ours"].getvalue() == files["Meta's"].getvalue())


def _random_codes(header: Header, samples: int) -> Ecdc:
    count = header.chunk_count(samples)
    generator = np.random.default_rng(1)
    shape = (header.codebooks, header.frames_before(count, samples))
    scales = np.full(count, 0.1, np.float32) if header.has_scale else None
    codes = generator.integers(0, 1024, shape).astype(np.uint16)
    return Ecdc(replace(header, num_samples=samples), codes, scales)


class _CodesOnly:
    """What Meta's program asks of a codec, without a network: its codes are known already."""

    def __init__(self, ecdc: Ecdc, lm: Any) -> None:
        header, samples = ecdc.header, ecdc.header.num_samples or 0
        bounds = [header.frames_before(i, samples) for i in range(header.chunk_count(samples) + 1)]
        if header.segment is None:
            bounds = [0, bounds[-1]]
        codes = torch.from_numpy(ecdc.codes.astype(np.int64))[None]
        scale = torch.tensor(0.1) if header.has_scale else None
        self._frames = [
            (codes[:, :, start:stop], scale) for start, stop in itertools.pairwise(bounds)
        ]
        self._lm, self._shape = lm, (1, header.channels, samples)
        self.name, self.sample_rate = header.model, header.sample_rate
        self.frame_rate = int(header.frame_rate)
        self.normalize, self.bits_per_codebook = header.has_scale, header.bits
        self.segment_length, self.segment_stride = header.segment, header.stride

    def to(self, device: str) -> "_CodesOnly":
        return self

    def get_lm_model(self) -> Any:
        return self._lm

    def encode(self, wave: torch.Tensor) -> Any:
        return self._frames

    def decode(self, frames: Any) -> torch.Tensor:
        return torch.zeros(self._shape)


if __name__ == "__main__":
    main()
