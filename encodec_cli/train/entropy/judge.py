"""Bits that a code model takes for recordings it has not seen."""

from collections.abc import Sequence

import numpy as np
import torch

from encodec_cli.train.entropy.codes import CodedRecording
from encodec_cli.train.entropy.loss import code_loss
from encodec_cli.train.entropy.network import CodeNetwork

__all__ = ["bits_per_code"]


@torch.inference_mode()
def bits_per_code(
    network: CodeNetwork, recordings: Sequence[CodedRecording]
) -> dict[str, dict[str, float]]:
    """Mean bits of a code by K, and within it by kind and of "all"; each recording counts once."""
    found: dict[str, dict[str, float]] = {}
    for k in network.sizes.trained:
        bits: dict[str, list[float]] = {}
        for recording in recordings:
            mean = _bits(network, recording, k)
            for group in ("all", recording.kind or "unknown"):
                bits.setdefault(group, []).append(mean)
        found[str(k)] = {group: round(float(np.mean(b)), 4) for group, b in sorted(bits.items())}
    return found


def _bits(network: CodeNetwork, recording: CodedRecording, codebooks: int) -> float:
    device = network.tags.device
    whole = torch.from_numpy(recording.codes[codebooks].astype(np.int64)).to(device)
    chunks = whole.split(recording.chunks.tolist(), dim=1)
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
