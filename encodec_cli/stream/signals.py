"""The codec in a few calls, on whole signals. The command line streams; this is the same path.

model = load_model()
ecdc = encode(model, wav, bandwidth=6)      # wav [C, N] at model.sample_rate
write_ecdc("speech.ecdc", ecdc)
wav = decode(model, read_ecdc("speech.ecdc"))
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encodec_cli.config.timing import carries_scale, decoder_lookahead, end_padding
from encodec_cli.container import Ecdc, Header
from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import AudioError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.coder import grid_frames, stream_encoder
from encodec_cli.stream.excerpt import beyond_the_end, sample_range
from encodec_cli.stream.seek import decoded_from, first_chunk_for

__all__ = ["check_same_model", "choose_codebooks", "decode", "encode", "header_for"]

DEFAULT_BANDWIDTH_KBPS = 6.0


def choose_codebooks(
    model: CompressionModel, bandwidth: float | None = None, n_q: int | None = None
) -> int:
    """Codebooks for a bandwidth in kb/s or a number; if neither, for what is nearest to 6 kb/s.

    Raises:
        UsageError: both given, or out of the model's range.
    """
    config = model.config
    if bandwidth is not None and n_q is not None:
        raise UsageError("give --bandwidth or --n-q, not both")
    if n_q is not None:
        return config.check_codebooks(n_q)
    if bandwidth is not None:
        return config.codebooks_for(bandwidth)
    most = config.bandwidth_kbps(config.quantizer.n_q)
    least = config.bandwidth_kbps(1)
    return config.codebooks_for(max(least, min(DEFAULT_BANDWIDTH_KBPS, most)))


def header_for(
    model: CompressionModel, n_q: int, *, version: int = 1, chunk_frames: int | None = None
) -> Header:
    """The `.ecdc` header of codes that `model` makes, lengths and source still unknown.

    Raises:
        ContainerError: format 0 cannot name this model.
    """
    config = model.config
    segment = config.segment_samples
    if segment is not None:
        chunk_frames = config.frames(segment)
    elif chunk_frames is None:
        chunk_frames = grid_frames(model)
    return Header(
        version=version,
        model=config.name,
        model_sha256=model.sha256 if version > 0 else None,
        sample_rate=config.sample_rate,
        channels=config.channels,
        hop=config.hop_length,
        codebooks=n_q,
        bits=config.quantizer.bits,
        chunk_frames=chunk_frames,
        segment=segment,
        stride=config.stride_samples,
        end_padding=end_padding(config),
        has_scale=carries_scale(config, chunk_frames),
    )


def check_same_model(model: CompressionModel, header: Header) -> None:
    """Refuse codes that another model made; they would decode to noise.

    Raises:
        UsageError: the model's name, or the hash of its weights where known, is another.
    """
    config = model.config
    if header.model != config.name:
        raise UsageError(f"coded by model {header.model}, not {config.name}; name it with --model")
    if header.model_sha256 and model.sha256 and header.model_sha256 != model.sha256:
        raise UsageError(
            f"coded by other weights of {header.model} (SHA-256 {header.model_sha256[:12]}..., "
            f"not {model.sha256[:12]}...); name their file with --model"
        )
    found = (header.sample_rate, header.channels, header.hop, header.bits)
    if found != (config.sample_rate, config.channels, config.hop_length, config.quantizer.bits):
        raise UsageError(f"rates of the file do not fit model {config.name}; is it damaged?")
    if header.has_scale and not carries_scale(config, header.chunk_frames):
        raise UsageError(
            f"carries scales, which model {config.name} has no use for; is it damaged?"
        )
    if header.end_padding > decoder_lookahead(config.decoder):
        raise UsageError(
            f"has {header.end_padding} samples of end padding, more than model {config.name} "
            "looks ahead; is it damaged?"
        )


def encode(
    model: CompressionModel,
    wav: Tensor,
    *,
    bandwidth: float | None = None,
    n_q: int | None = None,
    search: int | None = None,
) -> Ecdc:
    """Code `wav` `[C, N]` (N >= 1, at the model's rate, linear range [-1, 1]).

    `bandwidth` in kb/s or `n_q` codebooks; 6 kb/s if neither. `search` is how many partial code
    sequences the encoder keeps, see `stream_encoder`: more are slower, nearer to the latents. The
    codes are `.codes`, uint16 `[K, T]`, T = ceil((N + `.header.end_padding`) / hop).

    Raises:
        UsageError: wrong shape, a bandwidth the model cannot code, or `search` out of range.
        AudioError: no samples, NaN or Inf.
    """
    n_q = choose_codebooks(model, bandwidth, n_q)
    if wav.dim() != 2 or wav.shape[0] != model.channels:
        raise UsageError(f"wav of shape {tuple(wav.shape)}: this model codes [{model.channels}, N]")
    if wav.shape[1] == 0:
        raise AudioError("wav holds no samples; nothing to encode")
    if not bool(torch.isfinite(wav).all()):
        raise AudioError("wav holds NaN or Inf")
    encoder = stream_encoder(model, n_q, search=search)
    chunks = encoder.push(wav.detach().float().cpu().numpy()) + encoder.finish()
    scales = [chunk.scale for chunk in chunks if chunk.scale is not None]
    return Ecdc(
        header=replace(header_for(model, n_q), num_samples=wav.shape[1]),
        codes=np.concatenate([chunk.codes for chunk in chunks], axis=1),
        scales=np.array(scales, np.float32) if scales else None,
    )


def decode(
    model: CompressionModel,
    codes: Ecdc | NDArray[np.integer] | Tensor,
    *,
    n_q: int | None = None,
    start: float | Fraction = 0,
    duration: float | Fraction | None = None,
) -> Tensor:
    """Audio `[C, N]` of what `encode` or `read_ecdc` returned, or of bare codes `[K, T]`.

    `n_q` uses only that many of the stored codebooks. Bare codes of a segment model are not
    enough, they lack scales and boundaries. N is the encoded length, or T * hop for bare codes:
    all that the frames hold, `end_padding` included.

    `start` and `duration`, in seconds, decode only that part, see `sample_range`; it differs from
    the same part of the whole by less than -60 dB, for how long a model remembers see `seek`.

    Raises:
        UsageError: codes that this model does not have, or a part beyond the end.
    """
    if isinstance(codes, Ecdc):
        header, scales, array = codes.header, codes.scales, codes.codes
        check_same_model(model, header)
        if header.has_scale and scales is None:
            raise UsageError("codes without the scales that their header speaks of")
    else:
        array = np.asarray(codes.cpu() if isinstance(codes, Tensor) else codes)
        if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iu":
            raise UsageError(
                f"codes of shape {array.shape}, {array.dtype}: give whole numbers [K, T], not empty"
            )
        if model.config.segment_samples is not None:
            raise UsageError(f"{model.config.name} codes segments; give an Ecdc")
        model.config.check_codebooks(array.shape[0])
        bins = model.config.quantizer.bins
        if not 0 <= int(array.min()) <= int(array.max()) < bins:
            raise UsageError(
                f"codes {int(array.min())} to {int(array.max())}: {model.config.name} has codes "
                f"0 to {bins - 1}; were these made by another model?"
            )
        samples = array.shape[1] * model.config.hop_length
        header = header_for(model, array.shape[0])
        header = replace(header, num_samples=samples, end_padding=0, has_scale=False)
        scales = None
    if n_q is not None and not 1 <= n_q <= array.shape[0]:
        raise UsageError(f"{n_q} codebooks: only 1 to {array.shape[0]} are stored")
    array = array[:n_q].astype(np.uint16)
    assert header.num_samples is not None
    first, end = sample_range(start, duration, model.sample_rate)
    if first >= header.num_samples:
        raise beyond_the_end(start, header.num_samples, model.sample_rate)
    end = header.num_samples if end is None else min(end, header.num_samples)
    chunks = _chunks(header, array, scales, first_chunk_for(model.config, header, first))
    pieces, position = [], first
    for piece in decoded_from(model, header, chunks, first, []):
        pieces.append(piece[:, : end - position])
        position += piece.shape[1]
        if position >= end:
            break
    return torch.from_numpy(np.concatenate(pieces, axis=1))


def _chunks(
    header: Header, codes: NDArray[np.uint16], scales: NDArray[np.float32] | None, start: int
) -> Iterator[CodeChunk]:
    """The chunks of `codes` `[K, T]` from number `start` on."""
    assert header.num_samples is not None
    position = header.frames_before(start, header.num_samples)
    for chunk in range(start, header.chunk_count(header.num_samples)):
        frames = header.frames_in_chunk(chunk, header.num_samples)
        scale = None if scales is None else float(scales[chunk])
        yield CodeChunk(codes[:, position : position + frames], scale)
        position += frames
