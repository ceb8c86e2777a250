"""The beginning of a recording, as the file that codecs are given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encodec_cli.audio import open_audio, open_audio_writer, prepare_blocks
from encodec_cli.evaluation.evaluate import Reference, read_reference
from encodec_cli.io.temporary import temporary_folder

__all__ = ["open_excerpt"]


@contextmanager
def open_excerpt(
    path: Path, sample_rate: int, channels: int, *, most_seconds: float, kind: str | None = None
) -> Iterator[tuple[Reference, str]]:
    """The first `most_seconds` of `path`, and a line that says what it is part of.

    The reference names a WAV file that exists as long as the context. Memory grows with
    `most_seconds`, not with the recording.

    Raises:
        AudioError: see `open_audio`.
    """
    most = max(1, round(most_seconds * sample_rate))
    with temporary_folder() as folder:
        file = folder / "excerpt.wav"
        samples = 0
        with (
            open_audio(path) as reader,
            open_audio_writer(file, sample_rate, channels, encoding="float") as writer,
        ):
            for block in prepare_blocks(reader, sample_rate, channels, reader.sample_rate):
                writer.write(block[:, : most - samples])
                samples += block.shape[1]
                if samples > most:
                    break
            facts = [f"{reader.sample_rate:,} Hz", _channels(reader.channels)]
            whole = reader.num_frames and f" of {reader.num_frames / reader.sample_rate:.2f} s"
        reference = read_reference(file, sample_rate, channels, kind=kind)
        length = f"{reference.seconds:.2f} s"
        if samples > most:
            length = f"the first {length}{whole or ''}"
        yield reference, ", ".join([length, *facts, *([kind] if kind else [])])


def _channels(number: int) -> str:
    return {1: "mono", 2: "stereo"}.get(number, f"{number} channels")
