"""Bits that a code model takes for recordings it has not seen."""

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import torch

from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.train.entropy.codes import CodedRecording
from encodec_cli.train.entropy.loss import code_loss
from encodec_cli.train.entropy.network import CodeNetwork

__all__ = ["bits_per_code", "coded_bits"]

Bits = dict[str, dict[str, float]]


def bits_per_code(network: CodeNetwork, recordings: Sequence[CodedRecording]) -> Bits:
    """Mean bits of a code by K, and within it by kind and of "all"; each recording counts once."""
    return _means(network.sizes.trained, recordings, lambda r, k: _bits(network, r, k))


def coded_bits(model: CodeModel, recordings: Sequence[CodedRecording]) -> Bits:
    """The same, of the bytes that `model` makes."""

    def bits(recording: CodedRecording, k: int) -> float:
        ends = np.cumsum(recording.chunks)[:-1]
        codes = recording.codes[k]
        runs = model.encode_chunks(np.split(codes, ends, axis=1))
        return 8 * sum(len(run) for run in runs) / codes.size

    return _means(model.sizes.trained, recordings, bits)


def _means(
    trained: Sequence[int],
    recordings: Sequence[CodedRecording],
    bits: Callable[[CodedRecording, int], float],
) -> Bits:
    found: Bits = {}
    for k in trained:
        by_kind: dict[str, list[float]] = {}
        for recording in recordings:
            mean = bits(recording, k)
            for group in ("all", recording.kind or "unknown"):
                by_kind.setdefault(group, []).append(mean)
        found[str(k)] = {kind: round(fmean(each), 4) for kind, each in sorted(by_kind.items())}
    return found


@torch.inference_mode()
def _bits(network: CodeNetwork, recording: CodedRecording, codebooks: int) -> float:
    device = network.tags.device
    whole = torch.from_numpy(recording.codes[codebooks].astype(np.int64)).to(device)
    chunks = torch.split(whole, recording.chunks.tolist(), dim=1)
    codes = torch.nn.utils.rnn.pad_sequence([c.t() for c in chunks], batch_first=True)
    codes = codes.permute(2, 0, 1)  # [K, B, T]
    sums = network.sums(codes)
    tag = network.sizes.tag(codebooks)
    context = network.context(network.inputs(sums[-1]), tag).flatten(0, 1)
    frames = torch.tensor([c.shape[1] for c in chunks], device=device)
    inside = torch.arange(codes.shape[2], device=device) < frames[:, None]
    books = torch.arange(codebooks, device=device)
    outputs = network.outputs(context, sums[:-1].flatten(1, 2), books)
    loss = code_loss(outputs, *network.scores(books), codes.flatten(1), inside.flatten().float())
    return float(loss) / whole.numel()
