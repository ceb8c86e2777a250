"""Change files of formats 1 and 2 at random:  python tests/mutate_ecdc.py 1000000 [SEED]

Each changed file is noticed, by readers of files and of pipes; nothing but errors of ours is
raised; a chunk that is given out has the codes and the scale that were written. The tests take a
few thousand, this script as many as it is told.
"""

import io
import random
import sys
import time

from ecdc_samples import (
    CODER,
    Pipe,
    chunks_of,
    make_ecdc,
    segment_header,
    small_header,
    streamed_bytes,
    v2_header,
    varied,
)

from encodec_cli.container import CodeChunk, Ecdc, EcdcReader, summarize
from encodec_cli.errors import ContainerError

__all__ = ["SAMPLES", "check_mutation"]

SAMPLES: dict[str, Ecdc] = {
    "v1": make_ecdc(small_header(), 4 * 2560 + 900),
    "v2": make_ecdc(v2_header(codebooks=4, has_scale=True), 4 * 2560 + 900),
    "v2-raw": make_ecdc(v2_header(coded=False), 3 * 2560),
    "v2-segments": make_ecdc(segment_header(version=2, code_model=CODER.sha256[:16]), 100_000),
}
_REPORT_SECONDS = 30


def check_mutation(name: str, data: bytes, generator: random.Random) -> None:
    """Change `data`, the file of sample `name`, and read it.

    Raises:
        AssertionError: what was changed was not noticed, or gave codes that nobody wrote.
    """
    edited = varied(data, generator)
    noticed, chunks = False, chunks_of(SAMPLES[name])
    try:
        reader = EcdcReader(io.BytesIO(edited), coder=CODER)
        for number, got in enumerate(reader):
            if isinstance(got, CodeChunk):
                assert got.scale == chunks[number].scale, edited.hex()
                assert (got.codes == chunks[number].codes).all(), edited.hex()
        noticed = bool(reader.problems)
    except ContainerError:
        noticed = True
    assert noticed == (edited != data), edited.hex()
    assert bool(summary_problems(Pipe(edited))) == noticed, edited.hex()


def summary_problems(file: Pipe) -> list[str]:
    """What a reader of a pipe, which cannot seek, notices without a code model."""
    try:
        return list(summarize(file).problems)
    except ContainerError as error:
        return [str(error)]


def main(count: int, seed: int = 1) -> None:
    files = {name: streamed_bytes(ecdc, 9999) for name, ecdc in SAMPLES.items()}
    generator, told = random.Random(seed), time.monotonic()
    for number in range(count):
        name = generator.choice(list(files))
        check_mutation(name, files[name], generator)
        if time.monotonic() - told > _REPORT_SECONDS:
            told = time.monotonic()
            print(f"{number + 1} of {count} files: none missed", flush=True)
    print(f"{count} files: none missed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
