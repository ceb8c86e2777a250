"""What bounds a model: its codes, its networks, and of these the encoder or the decoder.

    python benchmarks/bounds.py MANIFEST [--model M] [--clips N] [--fit STEPS] [--books 16 8]

Two tables, in Markdown. The first passes latents that are more or less exact through the decoder:
those of the encoder, those of K codebooks, those with half the error of K codebooks. The second
leaves the decoder as it is and fits the latents of the middle 3 s to the recording, by STEPS
gradient steps: what they give unquantized bounds the decoder, what their codes give shows how much
the encoder leaves. Fitting takes about 5 s of CPU time for a second of audio.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

from encodec_cli import load_module
from encodec_cli.audio import read_mono
from encodec_cli.config.bundled import DEFAULT_MODEL
from encodec_cli.config.timing import end_padding
from encodec_cli.dsp.spectra import squared_magnitudes, stft
from encodec_cli.evaluation.evaluate import is_speech
from encodec_cli.evaluation.metric_names import METRICS
from encodec_cli.evaluation.metrics import measure
from encodec_cli.io.manifest import read_manifest_rows
from encodec_cli.model.module import CompressionModel
from encodec_cli.train.losses import spectral_loss, waveform_loss
from encodec_cli.train.perception import intelligibility_loss, loudness_loss

SECONDS, FITTED_SECONDS = 10.0, 3.0
WINDOWS = (256, 512, 1024, 2048)
BEAMS = 8
EDGES_HZ = (0, 1000, 2000, 4000, 6000, 8000, 10000, 12000)
RATE, PULL, NEAR_EVERY = 0.06, 1.0, 8
"""Of fitting: step against the latents' deviation, weight and renewal of the pull to codes."""

Scores = dict[str, float]


def at_level(x: Tensor, level_db: float) -> Tensor:
    """`[N]` at an RMS level in dBFS."""
    return x * 10 ** (level_db / 20) / x.square().mean().sqrt().clamp(min=1e-6)


def quantized(model: CompressionModel, latents: Tensor, books: int) -> Tensor:
    """Latents `[1, D, T]` as their codes say."""
    engine = model.codec().engine
    codes = engine.quantizer().encode(latents.detach()[0].t().contiguous().numpy(), books, BEAMS)
    return torch.from_numpy(engine.quantizer().decode(codes).copy()).t()[None]


def levels_by_band(reference: Tensor, estimate: Tensor) -> dict[str, float]:
    """dB, estimate over reference, mean over patches of 0.1 s that are not silent, by band."""
    powers = [squared_magnitudes(stft(x[None], 1024, 256))[0] for x in (reference, estimate)]
    hz = torch.arange(len(powers[0])) * 24000 / 1024
    found = {}
    for low, high in pairwise(EDGES_HZ):
        band = [avg_pool1d(p[(hz >= low) & (hz < high)].mean(0)[None], 9)[0] for p in powers]
        heard = band[0] > 1e-5
        if int(heard.sum()) > 3:
            ratio = (band[1][heard] + 1e-7) / (band[0][heard] + 1e-7)
            found[f"{low / 1000:g}-{high / 1000:g} kHz"] = float(10 * ratio.log10().mean())
    return found


def fitted(
    model: CompressionModel, x: Tensor, start: Tensor, steps: int, speech: bool, books: int | None
) -> Tensor:
    """Latents `[1, D, T]` whose decoding is near `x` `[N]`; with `books` also near their codes."""
    z = start.clone().requires_grad_()
    deviation = float(start.std())
    optimizer = torch.optim.Adam([z])
    level = float(x.square().mean().sqrt())
    target, near = x[None] / level, start
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * deviation * (1 - step / steps)
        if books is not None and step % NEAR_EVERY == 0:
            near = quantized(model, z, books)
        y = model.decoder(z)[0, :, : len(x)] / level
        loss = 0.5 * waveform_loss(y, target)
        loss = loss + 4 * spectral_loss(y, target, model.sample_rate, WINDOWS, 1e-3, 0.5)
        if speech:
            loss = loss + 2 * intelligibility_loss(y, target, model.sample_rate)
            loss = loss + 0.1 * loudness_loss(y, target, model.sample_rate)
        if books is not None:
            loss = loss + PULL * (z - near).square().mean() / deviation**2
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return z.detach()


def passed(
    model: CompressionModel, x: Tensor, books: Sequence[int]
) -> Iterator[tuple[str, Tensor]]:
    """Names and latents of the first table, for `x` `[N]`."""
    z = model.encoder(pad(x[None, None], (0, end_padding(model.config))))
    yield "no quantizer", z
    for k in books:
        codes = quantized(model, z, k)
        yield f"{k} books", codes
        yield f"{k} books, half the error", z + (codes - z) / 2


def fits(
    model: CompressionModel, x: Tensor, books: Sequence[int], steps: int, speech: bool
) -> Iterator[tuple[str, Tensor]]:
    """Names and latents of the second table, for `x` `[N]`."""
    with torch.no_grad():
        z = model.encoder(pad(x[None, None], (0, end_padding(model.config))))
    yield "encoder, no quantizer", z
    yield "fitted, no quantizer", fitted(model, x, z, steps, speech, None)
    near = fitted(model, x, z, steps, speech, books[0])
    for k in books:
        yield f"encoder, {k} books", quantized(model, z, k)
        yield f"fitted to {books[0]} books, {k} books", quantized(model, near, k)


def table(title: str, kind: str, rows: dict[str, list[Scores]]) -> None:
    """Print means over the clips."""
    first = next(iter(rows.values()))
    names = [*(n for n in METRICS if n in first[0]), *(n for n in first[0] if n not in METRICS)]
    labels = [METRICS[n].label if n in METRICS else n for n in names]
    print(f"\n{title}, {kind}, {len(first)} clips:\n")
    print(f"| latents | {' | '.join(labels)} |\n|---{'|---' * len(names)}|")
    for case, scores in rows.items():
        means = {n: fmean(s[n] for s in scores if n in s) for n in names}
        cells = (f"{means[n]:.{METRICS[n].digits if n in METRICS else 1}f}" for n in names)
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


def judge(
    model: CompressionModel,
    x: Tensor,
    cases: Iterable[tuple[str, Tensor]],
    speech: bool,
    rows: dict[str, list[Scores]],
) -> None:
    """Add to `rows` what the latents of `cases` decode to, against `x` `[N]`."""
    for name, latents in cases:
        with torch.no_grad():
            y = model.decoder(latents)[0, 0, : len(x)]
        scores = measure(x, y, model.sample_rate, speech=speech)
        rows.setdefault(name, []).append(scores | levels_by_band(x, y))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--clips", type=int, help="of each kind; all unless given")
    parser.add_argument("--fit", type=int, default=0, metavar="STEPS", help="0: no second table")
    parser.add_argument("--books", type=int, nargs="+", default=[16, 8, 4])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, books, steps = load_module(arguments.model), arguments.books, arguments.fit
    level_db = model.config.level_db or -23.0
    lines = read_manifest_rows(arguments.manifest, ("file", "kind"))
    count = round(FITTED_SECONDS * model.sample_rate)
    for kind in dict.fromkeys(line["kind"] for line in lines):
        speech = is_speech(kind)
        through: dict[str, list[Scores]] = {}
        fit: dict[str, list[Scores]] = {}
        for line in [line for line in lines if line["kind"] == kind][: arguments.clips]:
            path = arguments.manifest.parent / line["file"]
            whole = torch.from_numpy(read_mono(path, model.sample_rate))
            x = at_level(whole[: round(SECONDS * model.sample_rate)], level_db)
            with torch.no_grad():
                judge(model, x, passed(model, x, books), speech, through)
            if steps:
                first = max(0, (len(whole) - count) // 2)
                x = at_level(whole[first : first + count], level_db)
                judge(model, x, fits(model, x, books, steps, speech), speech, fit)
        table("Through the networks", kind, through)
        if steps:
            table(f"Latents fitted in {steps} steps", kind, fit)


if __name__ == "__main__":
    main()
