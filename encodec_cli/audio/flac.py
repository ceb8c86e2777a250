"""Audio as the bytes of a FLAC file, to be embedded in something else."""

import io

import soundfile

from encodec_cli.audio.samples import FloatBlock, quantize

__all__ = ["flac_bytes"]


def flac_bytes(audio: FloatBlock, sample_rate: int) -> bytes:
    """`audio` [C, N] at `sample_rate` Hz in 16-bit FLAC; beyond [-1, 1] it is clamped.

    Raises:
        soundfile.LibsndfileError: more than 8 channels, or a rate that FLAC does not have.
    """
    file = io.BytesIO()
    samples = quantize(audio, 16).astype("int16").T
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
