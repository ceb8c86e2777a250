"""What `.ecdc` headers say of a model's codes, and which files a model can decode."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from encodec_cli.config.timing import carries_scale, decoder_lookahead, end_padding
from encodec_cli.container import Header
from encodec_cli.container.coders import coder_for
from encodec_cli.errors import UsageError, parameter
from encodec_cli.io.kept import find_kept
from encodec_cli.model.codec import Codec

__all__ = ["check_same_model", "header_for"]


def header_for(
    codec: Codec,
    n_q: int,
    *,
    version: int = 2,
    chunk_frames: int | None = None,
    code_models: Sequence[Path] | None = None,
) -> Header:
    """The `.ecdc` header of codes that `codec` makes, lengths and source still unknown.

    Format 2 names the code model for them, from one of the files `code_models` or of the package,
    if there is one; none if `code_models` is None.

    Raises:
        ContainerError: format 0 cannot name this model.
        CheckpointError: a code model's file cannot be read.
    """
    config = codec.config
    if chunk_frames is None or config.segment_samples is not None:
        chunk_frames = config.chunk_frames
    header = Header(
        version=version,
        model=config.name,
        model_sha256=codec.sha256 if version > 0 else None,
        sample_rate=config.sample_rate,
        channels=config.channels,
        hop=config.hop_length,
        codebooks=n_q,
        bits=config.quantizer.bits,
        chunk_frames=chunk_frames,
        segment=config.segment_samples,
        stride=config.stride_samples,
        end_padding=end_padding(config),
        has_scale=carries_scale(config),
    )
    if version < 2 or code_models is None or codec.sha256 is None:
        return header
    coder = coder_for(header, codec.sha256, code_models)
    return header if coder is None else replace(header, code_model=coder.sha256)


def check_same_model(codec: Codec, header: Header) -> None:
    """Refuse codes that another model made; they would decode to noise.

    Raises:
        UsageError: the model's name, or the hash of its weights where known, is another.
    """
    config = codec.config
    if header.model != config.name:
        raise UsageError(
            f"coded by model {header.model}, not {config.name}; name it with {parameter('model')}"
        )
    # Format 2 keeps the first digits.
    said, own = header.model_sha256 or "", codec.sha256 or ""
    if said and own and not own.startswith(said):
        kept = None if codec.path is None else find_kept(codec.path, said)
        place = "their file" if kept is None else f"{kept}, where they were kept,"
        raise UsageError(
            f"coded by other weights of {header.model} (SHA-256 {said[:12]}..., "
            f"not {own[:12]}...); name {place} with {parameter('model')}"
        )
    found = (header.sample_rate, header.channels, header.hop, header.bits)
    if found != (config.sample_rate, config.channels, config.hop_length, config.quantizer.bits):
        raise UsageError(f"rates of the file do not fit model {config.name}; is it damaged?")
    if header.has_scale and not config.normalize and config.level_db is None:
        raise UsageError(
            f"carries scales, which model {config.name} has no use for; is it damaged?"
        )
    if header.end_padding > decoder_lookahead(config.decoder):
        raise UsageError(
            f"has {header.end_padding} samples of end padding, more than model {config.name} "
            "looks ahead; is it damaged?"
        )
