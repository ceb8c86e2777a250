"""The codec in a few calls, on whole signals. The command line streams; this is the same path.

model = load_model()
ecdc = encode(model, wav, bandwidth=6)      # wav [C, N] at model.sample_rate
write_ecdc("speech.ecdc", ecdc)
wav = decode(model, read_ecdc("speech.ecdc"))
"""

import warnings
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
from numpy.typing import NDArray

from encodec_cli.audio.samples import as_float32
from encodec_cli.container import Ecdc
from encodec_cli.errors import AudioError, EncodecCliWarning, UsageError
from encodec_cli.model.codec import Codec, Model, codec_of
from encodec_cli.stream.encoder import stream_encoder
from encodec_cli.stream.excerpt import beyond_the_end, sample_range
from encodec_cli.stream.headers import check_same_model, header_for
from encodec_cli.stream.protocols import Samples
from encodec_cli.stream.seek import DecodedFrom, first_chunk_for

if TYPE_CHECKING:
    from torch import Tensor

    from encodec_cli.model.module import CompressionModel

__all__ = ["decode", "encode"]


def encode(
    model: Model,
    wav: "NDArray[Any] | Tensor",
    *,
    bandwidth: float | None = None,
    n_q: int | None = None,
    search: int | None = None,
    refine: bool = False,
    fit: int = 0,
) -> Ecdc:
    """Code `wav` `[C, N]` (N >= 1, at the model's rate), an array or a tensor.

    Floats have the linear range [-1, 1]; integers that of their type, as in WAV files: int16 from
    -32768, int32 from -2^31, uint8 around 128. `bandwidth` in kb/s or `n_q` codebooks; 6 kb/s if
    neither. `search` is how many partial code sequences the encoder keeps, see `stream_encoder`:
    more are slower, nearer to the latents. `refine` corrects latents once by what they decode to,
    and `fit` fits them to `wav` by so many steps, 4 say. The codes are `.codes`, uint16 `[K, T]`,
    T = ceil((N + `.header.end_padding`) / hop).

    Raises:
        UsageError: no model, wrong shape or type, a bandwidth the model cannot code; `search` or
            `fit` out of range, or a model of segments, which are neither refined nor fitted.
        AudioError: no samples, NaN, Inf, or one beyond 256 times full scale.
    """
    codec = codec_of(model)
    n_q = codec.config.choose_codebooks(bandwidth, n_q)
    samples = _in_linear_range(_as_array(wav))
    if samples.ndim != 2 or samples.shape[0] != codec.channels:
        raise UsageError(f"wav of shape {samples.shape}: this model codes [{codec.channels}, N]")
    if samples.shape[1] == 0:
        raise AudioError("wav holds no samples; nothing to encode")
    encoder = stream_encoder(codec, n_q, search=search, refine=refine, fit=fit)
    chunks = encoder.push(samples) + encoder.finish()
    scales = [chunk.scale for chunk in chunks if chunk.scale is not None]
    return Ecdc(
        header=replace(header_for(codec, n_q, code_models=()), num_samples=samples.shape[1]),
        codes=np.concatenate([chunk.codes for chunk in chunks], axis=1),
        scales=np.array(scales, np.float32) if scales else None,
    )


@overload
def decode(
    model: "CompressionModel",
    codes: "Ecdc | NDArray[np.integer[Any]] | Tensor",
    *,
    n_q: int | None = None,
    start: float | Fraction = 0,
    duration: float | Fraction | None = None,
) -> "Tensor": ...


@overload
def decode(
    model: Codec,
    codes: Ecdc | NDArray[np.integer[Any]],
    *,
    n_q: int | None = None,
    start: float | Fraction = 0,
    duration: float | Fraction | None = None,
) -> Samples: ...


@overload
def decode(
    model: Codec,
    codes: "Tensor",
    *,
    n_q: int | None = None,
    start: float | Fraction = 0,
    duration: float | Fraction | None = None,
) -> "Tensor": ...


def decode(
    model: "Codec | CompressionModel",
    codes: "Ecdc | NDArray[np.integer[Any]] | Tensor",
    *,
    n_q: int | None = None,
    start: float | Fraction = 0,
    duration: float | Fraction | None = None,
) -> "Samples | Tensor":
    """Audio `[C, N]`, float32, of what `encode` or `read_ecdc` returned, or of codes `[K, T]`.

    It is a tensor if `codes` is one or `model` is a `CompressionModel`, else an array.

    `n_q` uses only that many of the stored codebooks. Bare codes of a segment model are not
    enough, they lack scales and boundaries. N is the encoded length, or T * hop for bare codes:
    all that the frames hold, `end_padding` included.

    `start` and `duration`, in seconds, decode only that part, see `sample_range`; it differs from
    the same part of the whole by less than -60 dB, for how long a model remembers see `seek`.

    Raises:
        UsageError: no model, codes that this model does not have, or a part beyond the end.

    Warns:
        EncodecCliWarning: a part that such a memory reaches into.
    """
    codec = codec_of(model)
    ecdc = codes if isinstance(codes, Ecdc) else _bare(codec, _as_array(codes))
    check_same_model(codec, ecdc.header)
    if ecdc.header.has_scale and ecdc.scales is None:
        raise UsageError("codes without the scales that their header speaks of")
    if n_q is not None and not 1 <= n_q <= ecdc.codes.shape[0]:
        raise UsageError(f"{n_q} codebooks: only 1 to {ecdc.codes.shape[0]} are stored")
    total = ecdc.header.num_samples
    assert total is not None
    first, end = sample_range(start, duration, codec.sample_rate)
    if first >= total:
        raise beyond_the_end(start, total, codec.sample_rate)
    end = total if end is None else min(end, total)
    start = first_chunk_for(codec.config, ecdc.header, first)
    chunks = replace(ecdc, codes=ecdc.codes[:n_q]).chunks(start)
    pieces, position = [], first
    decoded = DecodedFrom(codec, ecdc.header, chunks, first)
    for piece in decoded:
        pieces.append(piece[:, : end - position])
        position += piece.shape[1]
        if position >= end:
            break
    for note in decoded.notes:
        warnings.warn(note, EncodecCliWarning, stacklevel=2)
    audio = np.concatenate(pieces, axis=1)
    if isinstance(model, Codec) and isinstance(codes, Ecdc | np.ndarray):
        return audio

    import torch

    return torch.from_numpy(audio)


def _as_array(x: "NDArray[Any] | Tensor") -> NDArray[Any]:
    """An array of what is one, or a tensor on any device.

    Raises:
        UsageError: neither array nor tensor, or of a number type that numpy lacks.
    """
    if hasattr(x, "detach"):
        tensor = cast("Tensor", x).detach().cpu()
        x = tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
    if not isinstance(x, np.ndarray):
        raise UsageError(f"a {type(x).__name__}: give an array or a tensor")
    if isinstance(x, np.ma.MaskedArray):
        raise UsageError("a MaskedArray: give what it holds, with filled(0)")
    return np.asarray(x)


def _in_linear_range(samples: NDArray[Any]) -> Samples:
    """float32 in [-1, 1] of floats in that range, or of integers in that of their type."""
    if samples.dtype.kind == "f":
        return as_float32(samples)
    if samples.dtype in (np.int16, np.int32):
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    if samples.dtype == np.uint8:
        return ((samples - 128.0) / 128).astype(np.float32)
    raise UsageError(f"samples of type {samples.dtype}: give floats, int16, int32 or uint8")


def _bare(codec: Codec, codes: NDArray[Any]) -> Ecdc:
    """Codes `[K, T]` that nothing else is known of, as a file without gain.

    Raises:
        UsageError: codes that the model does not have, or a segment model.
    """
    config = codec.config
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "iu":
        raise UsageError(
            f"codes of shape {codes.shape}, {codes.dtype}: give whole numbers [K, T], not empty"
        )
    if config.segment_samples is not None:
        raise UsageError(f"{config.name} codes segments; give an Ecdc")
    config.check_codebooks(codes.shape[0])
    bins = config.quantizer.bins
    if not 0 <= int(codes.min()) <= int(codes.max()) < bins:
        raise UsageError(
            f"codes {int(codes.min())} to {int(codes.max())}: {config.name} has codes "
            f"0 to {bins - 1}; were these made by another model?"
        )
    header = replace(
        header_for(codec, codes.shape[0]),
        num_samples=codes.shape[1] * config.hop_length,
        end_padding=0,
        has_scale=False,
    )
    return Ecdc(header, codes.astype(np.uint16))
