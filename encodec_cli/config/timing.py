"""How far a model looks ahead and back, from its plan alone: latency, and what seeking needs.

Each layer looks some rows of its own input ahead and back. Summed over the layers, each at its own
rate, that is

    encoder:  frame t needs samples up to (t + 1) * hop + look-ahead
    decoder:  sample n needs frames from n / hop - history to (n + look-ahead) / hop

An LSTM looks back over everything; how soon it forgets is a property of its weights, see
`stream.seek`.
"""

import math

from encodec_cli.config.codec import CodecConfig
from encodec_cli.config.layers import Convolution, ResidualBlock, TransposedConvolution
from encodec_cli.config.plan import decoder_plan, encoder_plan
from encodec_cli.config.seanet import SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import UsageError, parameter

__all__ = [
    "algorithmic_latency_ms",
    "block_frames_for",
    "carries_scale",
    "decoder_history",
    "decoder_lookahead",
    "encoder_lookahead",
    "end_padding",
    "timing_ms",
]


def encoder_lookahead(config: SEANetConfig) -> int:
    """Samples beyond the end of a frame that the encoder needs to code it; 0 if causal."""
    samples, hop = 0, 1
    for layer in encoder_plan(config).layers:
        match layer:
            case Convolution():
                samples += hop * layer.ahead
                hop *= layer.stride
            case ResidualBlock():
                samples += hop * layer.ahead
    return samples


def decoder_lookahead(config: SEANetDecoderConfig) -> int:
    """Samples by which what can be decoded lags behind the frames that came; 0 if causal."""
    lag = 0
    for layer in decoder_plan(config).layers:
        match layer:
            case TransposedConvolution():
                lag = lag * layer.stride + layer.trim_left
            case Convolution() | ResidualBlock():
                lag += layer.ahead
    return lag


def end_padding(config: CodecConfig) -> int:
    """Samples of silence that encoding a whole signal appends, so that its end decodes in full.

    At most a hop, where a causal decoder looks ahead: its frames overlap like an MDCT's, and the
    last one needs a successor. More than one changes the end no further, even if the decoder sees
    more (measured, see docs/streaming.md). Centred networks and segments end as they were trained
    to, and Meta's codes stay Meta's.
    """
    if config.decoder.trim_right_ratio == 1.0 or config.segment_samples is not None:
        return 0
    return min(config.hop_length, decoder_lookahead(config.decoder))


def carries_scale(config: CodecConfig) -> bool:
    """Whether an encoder gives chunks a scale. Decoders go by what the file's header says."""
    return config.normalize or config.level_db is not None


def decoder_history(config: SEANetDecoderConfig) -> int:
    """Frames before its own that the first sample of a frame depends on, an LSTM aside."""
    back = 0
    for layer in reversed(decoder_plan(config).layers):
        match layer:
            case TransposedConvolution():
                # Inputs i reach the untrimmed outputs i * stride to i * stride + kernel - 1.
                back = (back + layer.kernel - 1 - layer.trim_left) // layer.stride
            case Convolution() | ResidualBlock():
                back += layer.back
    return back


def algorithmic_latency_ms(config: CodecConfig) -> float:
    """Least delay in ms from a sample into the encoder to the same one out of the decoder.

    One frame and what both networks look ahead; of a segment model, a segment. Where an encoder
    looks ahead at whole blocks, see `block_frames_for`, whole frames. Computing, pipes and sound
    cards come on top.
    """
    if config.segment_samples is not None:
        return 1000 * config.segment_samples / config.sample_rate
    samples = _encoder_wait(config, 1) + decoder_lookahead(config.decoder)
    return 1000 * samples / config.sample_rate


def timing_ms(config: CodecConfig) -> dict[str, float]:
    """What users are told of a model's delays, in ms; see `algorithmic_latency_ms`.

    `block_ms` is how long an encoder waits unless told otherwise, `decoder_history_ms` how far a
    decoder looks back, its LSTM aside. A segment is coded by itself, whatever surrounds it.
    """
    samples = {"block_ms": config.segment_samples or 0}
    if config.segment_samples is None:
        samples = {
            "block_ms": config.chunk_frames * config.hop_length,
            "encoder_lookahead_ms": encoder_lookahead(config.seanet),
            "decoder_lookahead_ms": decoder_lookahead(config.decoder),
            "decoder_history_ms": decoder_history(config.decoder) * config.hop_length,
        }
    return {
        "latency_ms": round(algorithmic_latency_ms(config), 3),
        **{name: round(1000 * n / config.sample_rate, 3) for name, n in samples.items()},
    }


def block_frames_for(config: CodecConfig, latency_ms: float | None) -> int:
    """Frames in a block, so that encoding waits at most `latency_ms` for samples.

    About a second if that is None; more than that it never is. A model with a level gives it to
    whole blocks, so its encoder waits for those that it looks ahead at.

    Raises:
        UsageError: less than a frame and the look-ahead, or a segment model.
    """
    most = config.chunk_frames
    if latency_ms is None:
        return most
    if config.segment_samples is not None:
        raise UsageError(
            f"{parameter('latency_ms')}: {config.name} codes segments of "
            f"{config.segment_seconds:g} s; its latency cannot be changed"
        )
    # 5 parts in 10^4, so that 13.33 holds a frame of 13 1/3 ms.
    samples = latency_ms * (1 + 5e-4) / 1000 * config.sample_rate
    least = _encoder_wait(config, 1)
    if not (math.isfinite(latency_ms) and samples >= least):
        raise UsageError(
            f"{parameter('latency_ms', f'{latency_ms:g}')}: {config.name} needs at least "
            f"{1000 * least / config.sample_rate:.2f} ms, one frame"
            + (" and what it looks ahead" if encoder_lookahead(config.seanet) else "")
        )
    return max(n for n in range(1, most + 1) if _encoder_wait(config, n) <= samples)


def _encoder_wait(config: CodecConfig, frames: int) -> int:
    """Samples from the beginning of a block of so many frames until it can be coded."""
    block, ahead = frames * config.hop_length, encoder_lookahead(config.seanet)
    return block + ahead if config.level_db is None else block * (1 + math.ceil(ahead / block))
